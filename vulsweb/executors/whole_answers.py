"""HTTP with a time limit for the whole answer.

An executor that sends a byte now and then would otherwise hold a worker for hours.
"""

import http.client
import io
import socket
import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class _TimedReader(io.RawIOBase):
    """Reads from a socket until its time limit, counted from now."""

    def __init__(self, connection: socket.socket, raw: io.RawIOBase) -> None:
        self._connection, self._raw = connection, raw
        self._seconds = connection.gettimeout()
        self._until = time.monotonic() + (self._seconds or 0)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Read once, for no longer than what is left of the time."""
        if self._seconds is None:
            return self._raw.readinto(buffer)
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("The answer is not complete after its time limit.")
        self._connection.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        finally:
            # The next request on this connection has its own time.
            self._connection.settimeout(self._seconds)

    def close(self) -> None:
        """Close the reader and what it reads from."""
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    """An answer whose status line, headers and body share one time limit."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.fp: io.BufferedReader = io.BufferedReader(_TimedReader(sock, self.fp.detach()))


class _Connection(HTTPConnection):
    response_class = _TimedResponse


class _SecureConnection(HTTPSConnection):
    response_class = _TimedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class WholeAnswerAdapter(HTTPAdapter):
    """Gives the read timeout of `requests` to an answer as a whole."""

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        """Make the pool of connections."""
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
