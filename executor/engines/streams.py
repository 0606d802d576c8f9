"""Reads what Docker streams in a thread, since its streams cannot be polled."""

import contextlib
import queue
import struct
import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import requests
import urllib3
from docker.errors import DockerException

from executor.engines import POLL_SECONDS, TAIL_BYTES

# What the SDK raises where Docker fails or cannot be reached; the third and fourth where a stream breaks off.
FAILURES = (
    DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    struct.error,
    OSError,
)

Piece = TypeVar("Piece")


class Stream(Generic[Piece]):
    """What `opened` yields, to be taken piece by piece without ever waiting long."""

    def __init__(self, name: str, opened: Callable[[], Iterable[Piece]]) -> None:
        self._opened = opened
        self._pieces: queue.Queue[tuple[Piece, ...] | None] = queue.Queue(maxsize=64)
        self._closed = threading.Event()
        self._failure: Exception | None = None
        threading.Thread(target=self._read, name=name, daemon=True).start()

    def take(self) -> tuple[Piece, ...] | None:
        """Return what came next, nothing after a moment without, None at the end; raise one of FAILURES."""
        try:
            pieces = self._pieces.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return ()
        if pieces is None and self._failure:
            raise self._failure
        return pieces

    def close(self) -> None:
        """Have the thread end with the next piece; where none comes it ends with this process."""
        self._closed.set()

    def _read(self) -> None:
        try:
            for piece in self._opened():
                if not self._put((piece,)):
                    return
        except FAILURES as error:
            self._failure = error
        self._put(None)

    def _put(self, pieces: tuple[Piece, ...] | None) -> bool:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._pieces.put(pieces, timeout=1)
                return True
        return False


class Heard:
    """What a command has said, handed on once, however often its log is read from the beginning."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.tail = b""
        self.is_more = False  # since the log was begun to be read
        self.lost_at = time.monotonic()
        self._write = write
        self._known = 0
        self._skip = 0

    def begin(self) -> None:
        """The log comes from its beginning."""
        self._skip, self.is_more = self._known, False

    def take(self, piece: bytes) -> None:
        """Hand on what is new in the next piece of the log."""
        fresh, self._skip = piece[self._skip :], max(0, self._skip - len(piece))
        if fresh:
            self.is_more = True
            self._known += len(fresh)
            self.tail = (self.tail + fresh)[-TAIL_BYTES:]
            self._write(fresh)
