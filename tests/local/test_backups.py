"""Backups of the local stack, with its real PostgreSQL."""

import io
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.local.conftest import ask
from vulsweb.local import backups
from vulsweb.local.errors import StackError
from vulsweb.local.folder import open_folder as locked

DATA = "INSERT INTO hosts VALUES ('web-1')"


def environ(data: Path) -> dict[str, str]:
    return {"VULSWEB_DATA_DIR": str(data)}


def execute(data: Path, *statements: str) -> list[object]:
    with locked(data) as folder, backups._own_server(folder) as url:
        return [ask(url, statement) for statement in statements]


@pytest.fixture(scope="module")
def data(open_folder: Path) -> Path:
    """A data folder with a table, a configuration and a key, of a stack that does not run."""
    folder = open_folder / "backed-up"
    execute(folder, "CREATE TABLE hosts (name text)", DATA)
    (folder / "secrets" / "secret_key").write_text("s" * 43)
    keys = folder / "config" / "ssh" / "keys"
    keys.mkdir(parents=True)
    (keys / "scanner").write_text("private")
    (keys / "scanner").chmod(0o600)
    (folder / "config" / "config.toml").write_text("[servers.web-1]\n")
    (folder / "config" / "link").symlink_to("/etc/passwd")
    return folder


@pytest.fixture(scope="module")
def backup(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("backup") / "vulsweb.tar"
    backups.back_up(environ(data), file)
    return file


def changed(backup: Path, tmp_path: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> Path:
    """Copy a backup, with a change to each of its files."""
    made = tmp_path / "changed.tar"
    with tarfile.open(backup) as source, tarfile.open(made, "w") as target:
        for member in source:
            content = source.extractfile(member)
            assert content is not None
            if new := change(member.name, content.read()):
                member.name, member.size = new[0], len(new[1])
                target.addfile(member, io.BytesIO(new[1]))
    return made


def test_a_backup_has_the_parts_that_the_production_stack_reads(backup: Path) -> None:
    with tarfile.open(backup) as archive:
        parts = {member.name: member for member in archive}
        files = archive.extractfile(parts["vulsweb/files.tar"])
        assert files is not None
        with tarfile.open(fileobj=files) as inner:
            names = {member.name: member.mode for member in inner}

    assert set(parts) == {f"vulsweb/{name}" for name in ("database", "files.tar", "secret_key", "SHA256SUMS")}
    assert set(names) == {"config", "config/config.toml", "ssh", "ssh/keys", "ssh/keys/scanner"}
    assert names["ssh/keys/scanner"] == 0o600
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600


def test_a_backup_is_restored_into_an_empty_folder(backup: Path, place: Path) -> None:
    new = place / "new"

    backups.restore(environ(new), backup, replace=False)

    assert execute(new, "SELECT name FROM hosts") == ["web-1"]
    assert (new / "secrets" / "secret_key").read_text() == "s" * 43
    key = new / "config" / "ssh" / "keys" / "scanner"
    assert (key.read_text(), stat.S_IMODE(key.stat().st_mode)) == ("private", 0o600)
    assert (new / "config" / "config.toml").read_text() == "[servers.web-1]\n"


def test_data_is_replaced_only_when_asked_to(backup: Path, data: Path) -> None:
    execute(data, "INSERT INTO hosts VALUES ('later')")
    (data / "config" / "later").touch()

    with pytest.raises(StackError, match="This stack is not empty"):
        backups.restore(environ(data), backup, replace=False)
    before = execute(data, "SELECT count(*) FROM hosts")
    backups.restore(environ(data), backup, replace=True)

    assert (before, execute(data, "SELECT count(*) FROM hosts")) == ([2], [1])
    assert not (data / "config" / "later").exists()


def test_a_running_stack_is_not_restored(backup: Path, place: Path) -> None:
    with locked(place / "data"), pytest.raises(StackError, match="already runs Vuls Web"):
        backups.restore(environ(place / "data"), backup, replace=True)


def test_an_existing_file_is_not_overwritten(backup: Path, data: Path) -> None:
    with pytest.raises(StackError, match="exists already"):
        backups.back_up(environ(data), backup)


def test_an_empty_folder_has_nothing_to_back_up(place: Path, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="nothing to back up"):
        backups.back_up(environ(place / "none"), tmp_path / "backup.tar")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda name, content: (name, content.replace(b"private", b"PRIVATE")),
            "the checksum of files.tar differs",
        ),
        (lambda name, content: None if name.endswith("SHA256SUMS") else (name, content), "SHA256SUMS"),
        (lambda name, content: (name.replace("vulsweb/", ""), content), "vulsweb/database"),
    ],
    ids=["damaged", "without checksums", "of another program"],
)
def test_a_wrong_backup_changes_nothing(
    backup: Path,
    tmp_path: Path,
    place: Path,
    change: Callable[[str, bytes], tuple[str, bytes] | None],
    said: str,
) -> None:
    wrong = changed(backup, tmp_path, change)

    with pytest.raises(StackError, match=said):
        backups.restore(environ(place / "data"), wrong, replace=True)

    assert not (place / "data").exists()


def test_what_is_no_archive_is_refused(tmp_path: Path, place: Path) -> None:
    (tmp_path / "file").write_text("hello")

    with pytest.raises(StackError, match="is not a backup of Vuls Web"):
        backups.restore(environ(place / "data"), tmp_path / "file", replace=True)


@pytest.mark.parametrize("name", ["../outside", "/outside", "config/../../outside", "other/file"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE])
def test_files_outside_of_the_two_folders_are_refused(tmp_path: Path, name: str, kind: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "files.tar", "w") as made:
        made.addfile(member)

    with tarfile.open(tmp_path / "files.tar") as archive, pytest.raises(ValueError, match="unexpected file"):
        backups._unpack_member(archive, archive.getmembers()[0], tmp_path / "files")


def test_a_link_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("config/link")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "files.tar", "w") as made:
        made.addfile(member)

    with tarfile.open(tmp_path / "files.tar") as archive, pytest.raises(ValueError, match="is not a file"):
        backups._unpack_member(archive, archive.getmembers()[0], tmp_path / "files")
