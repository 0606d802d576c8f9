"""The logs of the processes: last lines, and a search.

An executor writes some of them, and scanned hosts cause lines in them. So each read is bounded, and links are
not followed.
"""

import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

# Of a file that is larger, the end is read.
LARGEST_READ = 16 * 1024 * 1024
TAIL_BYTES = 256 * 1024
LINE_LENGTH = 2000


@dataclass(frozen=True)
class LogFile:
    """The log of one process."""

    name: str  # of the process
    path: Path
    size: int
    written_at: datetime

    def open(self) -> BinaryIO:
        """Open the file; raise OSError if it is a link or gone."""
        return os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


@dataclass(frozen=True)
class Lines:
    """Lines of a log, oldest first."""

    lines: Sequence[str]
    more: bool  # there are earlier ones that are not shown


def files(folder: Path | None) -> list[LogFile]:
    """Return the logs below the folder, by name."""
    if folder is None:
        return []
    found = [_file(path) for path in (*folder.glob("*.log"), *folder.glob("*/*.log"))]
    return sorted((file for file in found if file is not None), key=lambda file: file.name)


def tail(file: LogFile, count: int) -> Lines:
    """Return the last lines."""
    return _last(_lines_of_end(file, TAIL_BYTES), count, cut=file.size > TAIL_BYTES)


def search(file: LogFile, words: str, count: int) -> Lines:
    """Return the last lines that contain the words, in any case."""
    wanted = words.casefold()
    matching = (line for line in _lines_of_end(file, LARGEST_READ) if wanted in line.casefold())
    return _last(matching, count, cut=file.size > LARGEST_READ)


def _file(path: Path) -> LogFile | None:
    try:
        status = path.lstat()
    except OSError:  # moved aside in this moment
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return LogFile(path.stem, path, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _lines_of_end(file: LogFile, size: int) -> Iterator[str]:
    try:
        with file.open() as content:
            begin = max(os.fstat(content.fileno()).st_size - size, 0)
            content.seek(begin)
            data = content.read(size)
    except OSError as error:
        yield f"This file cannot be read: {error.strerror}."
        return
    lines = data.decode(errors="replace").split("\n")
    # The first one may be half a line; after the last line break is nothing.
    for line in lines[1 if begin else 0 :]:
        if line:
            yield line if len(line) <= LINE_LENGTH else f"{line[:LINE_LENGTH]}…"


def _last(lines: Iterator[str], count: int, *, cut: bool) -> Lines:
    kept = deque(lines, maxlen=count + 1)
    more = len(kept) > count
    return Lines(list(kept)[-count:], more or cut)
