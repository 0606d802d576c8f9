"""Reads Docker's streams in a thread, because they cannot be polled."""

import contextlib
import queue
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import requests
import urllib3
from docker.errors import DockerException, NotFound
from docker.models.containers import Container

from executor.engines import POLL_SECONDS, TAIL_BYTES

# What the SDK raises when Docker fails or is unreachable; the third and fourth when a stream breaks off.
FAILURES = (
    DockerException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    struct.error,
    OSError,
)

Piece = TypeVar("Piece")


class Stream(Generic[Piece]):
    """Reads what `open_stream` yields; `take` never waits longer than a moment."""

    def __init__(self, name: str, open_stream: Callable[[], Iterable[Piece]]) -> None:
        self._pieces: queue.Queue[tuple[Piece, ...] | None] = queue.Queue(maxsize=64)
        self._closed = threading.Event()
        self._failure: Exception | None = None

        def read() -> None:
            try:
                for piece in open_stream():
                    if not self._put((piece,)):
                        return
            except FAILURES as error:
                self._failure = error
            self._put(None)

        threading.Thread(target=read, name=name, daemon=True).start()

    def take(self) -> tuple[Piece, ...] | None:
        """Return the next piece, in a tuple of at most one.

        The tuple is empty if none came in time. Return None at the end. Raise one of FAILURES if the stream
        failed.
        """
        try:
            pieces = self._pieces.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return ()
        if pieces is None and self._failure:
            raise self._failure
        return pieces

    def close(self) -> None:
        """Stop the thread at the next piece.

        If none comes, the thread ends with the process.
        """
        self._closed.set()

    def _put(self, pieces: tuple[Piece, ...] | None) -> bool:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._pieces.put(pieces, timeout=1)
                return True
        return False


class LogReader:
    """Passes each byte of a container's log on once.

    This holds however often the log is read from the start.
    """

    def __init__(self, container: Container, write: Callable[[bytes], None]) -> None:
        self.tail = b""
        self.has_new_output = False  # since `read` was last called
        self._container = container
        self._write = write
        self._passed_on = 0

    def read(self, watch: Callable[[], None]) -> Exception | None:
        """Read the log to its end.

        Return the error if the connection to Docker broke before. `watch` is called many times a second and
        raises to stop.
        """
        self.has_new_output, skip = False, self._passed_on
        log: Stream[bytes] = Stream(
            f"log of {self._container.short_id}", lambda: self._container.logs(stream=True, follow=True)
        )
        with contextlib.closing(log):
            while True:
                try:
                    pieces = log.take()
                except NotFound:
                    raise
                except FAILURES as error:
                    return error
                if pieces is None:
                    return None
                watch()
                for piece in pieces:
                    fresh, skip = piece[skip:], max(0, skip - len(piece))
                    if fresh:
                        self.has_new_output = True
                        self._passed_on += len(fresh)
                        self.tail = (self.tail + fresh)[-TAIL_BYTES:]
                        self._write(fresh)
