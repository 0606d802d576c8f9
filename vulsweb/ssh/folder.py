"""The managed SSH folder, which Vuls' ssh reads, and atomic writes.

keys/NAME        a private key, 0600, and its public part NAME.pub
known_hosts      the host keys that people accepted
config           the configuration generated from the SSH configuration page
sockets/         the sockets of shared connections
"""

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644


@dataclass(frozen=True)
class SshFolder:
    """The paths in the managed folder, all absolute."""

    path: Path

    @property
    def keys(self) -> Path:
        """Return the folder of the keys."""
        return self.path / "keys"

    @property
    def known_hosts(self) -> Path:
        """Return the file of the accepted host keys."""
        return self.path / "known_hosts"

    @property
    def config(self) -> Path:
        """Return the generated configuration."""
        return self.path / "config"

    @property
    def sockets(self) -> Path:
        """Return the folder of shared connections."""
        return self.path / "sockets"

    def make(self) -> None:
        """Create missing folders; close all to other users, as ssh requires."""
        for folder in (self.path, self.keys, self.sockets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)


@dataclass(frozen=True)
class NewFile:
    """A file to write; an existing one keeps its owner and permissions."""

    path: Path
    content: str
    mode: int


def write(*files: NewFile) -> None:
    """Write the files, each atomically.

    All are written and synced under temporary names before the first is moved. So if the disk is full or a
    folder cannot be written, no file changes.
    """
    with contextlib.ExitStack() as temporaries:
        ready = [(temporaries.enter_context(_temporary(file)), file.path.resolve()) for file in files]
        for temporary, target in ready:
            temporary.replace(target)
    _sync({target.parent for _, target in ready})


def create(file: NewFile) -> None:
    """Write a new file atomically; raise FileExistsError if it exists."""
    with _temporary(file) as temporary:
        file.path.hardlink_to(temporary)
    _sync([file.path.parent])


def remove(*paths: Path) -> None:
    """Remove the files that exist."""
    for path in paths:
        path.unlink(missing_ok=True)
    _sync({path.parent for path in paths})


@contextlib.contextmanager
def _temporary(file: NewFile) -> Iterator[Path]:
    """Write the file under a temporary name, removed afterwards."""
    target = file.path.resolve()  # a symbolic link stays one
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    # Private from the start, so that the content is never readable under other permissions.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as handle:
            mode = file.mode
            with contextlib.suppress(FileNotFoundError):
                existing = target.stat()
                mode = existing.st_mode & 0o777
                if (existing.st_uid, existing.st_gid) != (os.geteuid(), os.getegid()):
                    with contextlib.suppress(PermissionError):
                        os.fchown(handle.fileno(), existing.st_uid, existing.st_gid)
            os.fchmod(handle.fileno(), mode)
            handle.write(file.content)
            handle.flush()
            os.fsync(handle.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _sync(folders: Iterable[Path]) -> None:
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
