"""The data folder: one stack at a time, its secrets and its logs."""

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from vulsweb.local.errors import StackError

MINIMUM_FREE_BYTES = 100 * 1024 * 1024
NEARLY_FULL_BYTES = 20 * 1024 * 1024  # PostgreSQL's log grows by 16 MiB at a time
ENDING_SECONDS = 60


@dataclass(frozen=True)
class DataFolder:
    """The folder that one running stack owns."""

    path: Path
    lock: TextIO  # held by this process
    family: TextIO  # held by this process and by each child that inherits it

    @property
    def logs(self) -> Path:
        """Return the folder of the children's logs."""
        return self.path / "logs"

    def secret_file(self, name: str, length: int = 32) -> Path:
        """Return the file of the secret `name`; make the secret when there is none yet."""
        path = self.path / "secrets" / name
        if not path.exists():
            write_private(path, secrets.token_urlsafe(length))
        return path

    def subfolder(self, name: str) -> Path:
        """Return a folder that is readable to its owner alone."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def mark_stopping(self) -> None:
        """Tell a start that finds the folder locked to wait for a moment."""
        with suppress(OSError):  # a full disk must not keep the stack from stopping
            self.lock.write(" stopping")
            self.lock.flush()

    def nearly_full(self) -> bool:
        """Tell whether the disk has no room for the servers to work."""
        return shutil.disk_usage(self.path).free < NEARLY_FULL_BYTES


@contextmanager
def open_folder(path: Path) -> Iterator[DataFolder]:
    """Lock the data folder, making it if need be, once nothing of an earlier stack runs there."""
    try:
        _make(path)
        with (path / "lock").open("a+") as lock, (path / "children").open("a+") as family:
            folder = DataFolder(path, lock, family)
            _take(folder)
            _wait_for_earlier_children(folder)
            for name in ("secrets", "logs"):
                folder.subfolder(name).chmod(0o700)
            try:
                yield folder
            except StackError as error:
                if folder.nearly_full():
                    raise StackError(f"The disk that holds {path} is full: {error}") from error
                raise
    except OSError as error:
        raise StackError(explain(error, path)) from error


def write_private(path: Path, text: str) -> None:
    """Put a file in place that only its owner may read, whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def explain(error: OSError, path: Path) -> str:
    """Return the sentence for a failed system call on something in the data folder."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk that holds {path} is full; free some space."
    where = f" ({error.filename})" if error.filename else ""
    return f"The data folder {path} cannot be used: {error.strerror or error}{where}."


def _make(path: Path) -> None:
    if not path.exists():
        path.mkdir(parents=True)
        # As root, PostgreSQL's own user must be able to pass through; all that is private in
        # here has a folder of its own that only its owner may enter.
        path.chmod(0o711 if os.geteuid() == 0 else 0o700)
    free = shutil.disk_usage(path).free
    if free < MINIMUM_FREE_BYTES:
        raise StackError(
            f"The disk that holds {path} is full: {free >> 20} MiB are free, "
            f"and at least {MINIMUM_FREE_BYTES >> 20} are needed."
        )


def _take(folder: DataFolder) -> None:
    deadline = time.monotonic() + ENDING_SECONDS
    while not _locked(folder.lock):
        folder.lock.seek(0)
        holder = folder.lock.read().split()
        if "stopping" not in holder or time.monotonic() > deadline:
            who = f"Process {holder[0]}" if holder else "Another process"
            raise StackError(
                f"{who} already runs Vuls Web on {folder.path}; stop it first or set VULSWEB_DATA_DIR."
            )
        time.sleep(0.1)
    folder.lock.truncate(0)
    folder.lock.write(str(os.getpid()))
    folder.lock.flush()


def _wait_for_earlier_children(folder: DataFolder) -> None:
    # The lock belongs to the open file, not to a process: each child inherits it, so it is free
    # only once the last one is gone, however its parent ended. No stale pid can mislead.
    deadline = time.monotonic() + ENDING_SECONDS
    while not _locked(folder.family):
        if time.monotonic() > deadline:
            raise StackError(f"Programs of an earlier start still run on {folder.path}; try again later.")
        time.sleep(0.1)


def _locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
