"""The data folder: its lock, secrets and logs."""

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
NEARLY_FULL_BYTES = 20 * 1024 * 1024  # PostgreSQL's WAL grows by 16 MiB at a time
ENDING_SECONDS = 60


@dataclass(frozen=True)
class DataFolder:
    """The data folder of a running stack."""

    path: Path
    lock: TextIO  # held by this process
    children_lock: TextIO  # held by this process and by each child, which inherits it

    @property
    def logs(self) -> Path:
        """Return the folder of the children's logs."""
        return self.path / "logs"

    def secret_file(self, name: str, length: int = 32) -> Path:
        """Return the file of the secret `name`; generate it if missing."""
        path = self.path / "secrets" / name
        if not path.exists():
            write_private(path, secrets.token_urlsafe(length))
        return path

    def subfolder(self, name: str) -> Path:
        """Return a subfolder that only its owner can read."""
        path = self.path / name
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def take_lock(self) -> None:
        """Lock the folder; wait for a stack that is stopping."""
        deadline = time.monotonic() + ENDING_SECONDS
        while not _lock(self.lock):
            self.lock.seek(0)
            holder = self.lock.read().split()
            if "stopping" not in holder or time.monotonic() > deadline:
                process = f"Process {holder[0]}" if holder else "Another process"
                raise StackError(
                    f"{process} already runs Vuls Web on {self.path}; stop it first or set VULSWEB_DATA_DIR."
                )
            time.sleep(0.1)
        self.lock.truncate(0)
        self.lock.write(str(os.getpid()))
        self.lock.flush()

    def wait_for_earlier_children(self) -> None:
        """Wait until no child of an earlier stack is running.

        The lock belongs to the open file, which each child inherits. So it is free once the last child has
        ended, however its parent ended. A file with process ids could be out of date.
        """
        deadline = time.monotonic() + ENDING_SECONDS
        while not _lock(self.children_lock):
            if time.monotonic() > deadline:
                raise StackError(
                    f"Programs of an earlier start are still running on {self.path}; try again later."
                )
            time.sleep(0.1)

    def mark_stopping(self) -> None:
        """Make the next start wait for this stack to stop."""
        with suppress(OSError):  # a full disk must not prevent the stop
            self.lock.write(" stopping")
            self.lock.flush()

    def nearly_full(self) -> bool:
        """Return whether the disk is too full for the servers."""
        return shutil.disk_usage(self.path).free < NEARLY_FULL_BYTES


@contextmanager
def open_folder(path: Path) -> Iterator[DataFolder]:
    """Create and lock the data folder, after an earlier stack has ended."""
    try:
        if not path.exists():
            path.mkdir(parents=True)
            # As root, PostgreSQL's own user must be able to enter it. Everything private in it is in a folder
            # that only its owner may enter.
            path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        free = shutil.disk_usage(path).free
        if free < MINIMUM_FREE_BYTES:
            raise StackError(
                f"The disk that holds {path} is full: {free >> 20} MiB are free, "
                f"but at least {MINIMUM_FREE_BYTES >> 20} MiB are needed."
            )
        with (path / "lock").open("a+") as lock, (path / "children").open("a+") as children_lock:
            folder = DataFolder(path, lock, children_lock)
            folder.take_lock()
            folder.wait_for_earlier_children()
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
    """Write a file atomically that only its owner may read."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def explain(error: OSError, path: Path) -> str:
    """Describe a failed system call on a file in the data folder."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk that holds {path} is full; free some space."
    where = f" ({error.filename})" if error.filename else ""
    return f"The data folder {path} cannot be used: {error.strerror or error}{where}."


def _lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
