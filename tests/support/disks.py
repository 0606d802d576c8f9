"""Small disks, which tests can fill."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.needs import lacking


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """Mount a file system of memory on a new folder."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False, capture_output=True
    )
    if done.returncode != 0:
        lacking("Mounting a small disk needs root with the right to mount.")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Write a file that leaves so many bytes; return it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 65536
        while size:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2
        file.truncate(max(file.tell() - leave, 0))
    return filler
