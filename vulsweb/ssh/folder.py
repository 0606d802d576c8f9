"""The managed SSH folder: all that Vuls' ssh may read, written so that it is never seen half done.

keys/NAME        a private key, 0600, and its public part NAME.pub
known_hosts      the host keys that a person accepted
config           the configuration that is generated from what the SSH page keeps
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
    """Where the parts of the managed folder are; all paths are absolute."""

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
        """Make what is missing of the folders, closed to others; ssh refuses keys that others can read."""
        for folder in (self.path, self.keys, self.sockets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)


@dataclass(frozen=True)
class NewFile:
    """A file as it shall be; one that exists keeps its owner and permission."""

    path: Path
    content: str
    mode: int


def write(*files: NewFile) -> None:
    """Put the files in place, each whole or not at all.

    All are written and synced beside their places before the first is moved, so that a full disk or a
    folder that cannot be written leaves every one as it was.
    """
    with contextlib.ExitStack() as waiting:
        ready = [(waiting.enter_context(_written(file)), file.path.resolve()) for file in files]
        for temporary, target in ready:
            temporary.replace(target)
    _sync({target.parent for _, target in ready})


def create(file: NewFile) -> None:
    """Put a new file in place; raise FileExistsError when there is one by this name, whoever was quicker."""
    with _written(file) as temporary:
        file.path.hardlink_to(temporary)
    _sync([file.path.parent])


def remove(*paths: Path) -> None:
    """Remove the files that are there."""
    for path in paths:
        path.unlink(missing_ok=True)
    _sync({path.parent for path in paths})


@contextlib.contextmanager
def _written(file: NewFile) -> Iterator[Path]:
    target = file.path.resolve()  # a link stays one
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    # Opened as private, so that no other mode is ever in force while there is content.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as handle:
            _take_after(target, file.mode, handle.fileno())
            handle.write(file.content)
            handle.flush()
            os.fsync(handle.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _take_after(target: Path, mode: int, descriptor: int) -> None:
    try:
        before = target.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, mode)
        return
    if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, before.st_mode & 0o777)


def _sync(folders: Iterable[Path]) -> None:
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
