import errno
import os
import stat
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from vulsweb.local.errors import StackError
from vulsweb.local.folder import explain, open_folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_private_and_generated_once(tmp_path: Path) -> None:
    with open_folder(tmp_path / "data") as folder:
        first = folder.secret_file("secret_key").read_text()
    with open_folder(tmp_path / "data") as folder:
        path = folder.secret_file("secret_key")
        other = folder.secret_file("executor_api_key").read_text()

    assert (mode(path.parent), mode(path)) == (0o700, 0o600)
    assert path.read_text() == first != other
    assert len(first) >= 43


def test_everything_private_is_in_a_closed_folder(tmp_path: Path) -> None:
    with open_folder(tmp_path / "data") as folder:
        folder.subfolder("config")

    modes = {path.name: mode(path) for path in (tmp_path / "data").iterdir() if path.is_dir()}
    assert modes == {"secrets": 0o700, "logs": 0o700, "config": 0o700}


def test_a_second_start_on_the_same_folder_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with open_folder(tmp_path), pytest.raises(StackError) as caught, open_folder(tmp_path):
        pass

    assert str(caught.value) == (
        f"Process {os.getpid()} already runs Vuls Web on {tmp_path}; stop it first or set VULSWEB_DATA_DIR."
    )


def test_a_start_waits_for_a_stack_that_is_stopping(tmp_path: Path) -> None:
    with ExitStack() as first:
        first.enter_context(open_folder(tmp_path)).mark_stopping()
        threading.Timer(0.3, first.pop_all().close).start()

        with open_folder(tmp_path) as second:
            assert second.path == tmp_path


def test_a_start_waits_for_children_of_a_stack_that_was_killed(tmp_path: Path) -> None:
    with open_folder(tmp_path) as folder:
        inherited = os.dup(folder.children_lock.fileno())  # as a child holds it
    threading.Timer(0.3, os.close, [inherited]).start()

    with open_folder(tmp_path) as second:
        assert second.path == tmp_path


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").touch()

    with pytest.raises(StackError) as caught, open_folder(tmp_path / "data"):
        pass

    assert str(caught.value) == (
        f"The data folder {tmp_path}/data cannot be used: Not a directory ({tmp_path}/data/lock)."
    )


def test_a_folder_on_a_read_only_disk_is_one_sentence(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("ro")

    with pytest.raises(StackError) as caught, open_folder(disk / "data"):
        pass

    assert str(caught.value) == (
        f"The data folder {disk}/data cannot be used: Read-only file system ({disk}/data)."
    )


def test_a_folder_without_the_right_to_write_is_one_sentence() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/srv/data")

    assert explain(error, Path("/srv/data")) == (
        "The data folder /srv/data cannot be used: Permission denied (/srv/data)."
    )


def test_a_full_disk_is_one_sentence(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("size=1m")

    with pytest.raises(StackError) as caught, open_folder(disk / "data"):
        pass

    assert str(caught.value).startswith(f"The disk that holds {disk}/data is full")


def test_a_disk_that_fills_up_is_named_as_the_reason(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("size=110m")

    def fill_up() -> None:
        with open_folder(disk / "data"):
            (disk / "rubbish").write_bytes(bytes(100 << 20))
            raise StackError("postgres ended.")

    with pytest.raises(StackError) as caught:
        fill_up()

    assert str(caught.value) == f"The disk that holds {disk}/data is full: postgres ended."
