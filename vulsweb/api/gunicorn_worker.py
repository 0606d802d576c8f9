"""The gunicorn worker of the web application."""

import json
import selectors
import socket
import struct
import time
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn import http
from gunicorn.http.errors import LimitRequestLine
from gunicorn.workers.gthread import TConn, ThreadWorker

from vulsweb.api.whole_requests import BODY_BYTES, HEAD_BYTES, expects_continue, missing_bytes
from vulsweb.system import database_waits

TOO_LONG = "The address of this request is too long: a request line has at most {} characters."
TOO_LARGE = "This request is too large. A large body needs a Content-Length."
BUSY = "Too many large requests arrive at the same time. Try again."
# How long a client may take for its request, and for taking each part of the answer.
SECONDS = 10
# Of all requests that are not whole yet.
MOST_BUFFERED = 64 * 1024 * 1024
_READ_BYTES = 64 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(TConn):
    """A connection, and what has arrived of its next request."""

    parser: Any

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.arrived = bytearray()
        self.needed = 1  # bytes, as far as it is known

    def begin_request(self) -> None:
        """Give the parser what has arrived."""
        if self.parser is None:
            self.parser = http.get_parser(self.cfg, self.sock, self.client)
        self.parser.unreader.unread(bytes(self.arrived))
        self.arrived, self.needed = bytearray(), 1
        self.data_ready = True

    def close(self, graceful: bool = False) -> None:
        """Close the connection, without waiting for the client.

        Gunicorn waits two seconds for it in its main loop. What has arrived is taken away, or the kernel
        would take back the end of the answer.
        """
        with suppress(OSError):
            if graceful:
                self.sock.settimeout(0)
                self.sock.shutdown(socket.SHUT_WR)
                self.sock.recv(_READ_BYTES)
        super().close()


class Worker(ThreadWorker):
    """Lets no slow client hold a thread.

    A thread gets a request when it is whole. Until then the main loop keeps what has arrived. It also answers
    what no application sees.
    """

    buffered = 0

    def init_process(self) -> None:
        """Start the worker process."""
        database_waits.apply()
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection, and wait for its request."""
        with suppress(BlockingIOError, ConnectionAbortedError):
            client, address = listener.accept()
            self.nr_conns += 1
            # For a client that does not take its answer.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SECONDS, 0))
            self._await_request(Connection(self.cfg, client, address, listener.getsockname()))

    def on_client_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        """Wait for the next request of a connection."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._await_request(conn)

    def murder_pending(self) -> None:
        """Close the connections whose requests take too long."""
        super().murder_pending()
        self.buffered = sum(len(conn.arrived) for conn in self.pending_conns)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer 414 as a problem, and all else as gunicorn does.

        That holds for pages too, because the path is not known here.
        """
        if not isinstance(exc, LimitRequestLine):
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("a request line of more than %d characters", self.cfg.limit_request_line)
        _answer(client, 414, "URI Too Long", TOO_LONG.format(self.cfg.limit_request_line))

    def _await_request(self, conn: Connection) -> None:
        conn.sock.settimeout(0)
        conn.timeout = time.monotonic() + SECONDS
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._take, conn))

    def _take(self, conn: Connection, client: socket.socket) -> None:
        """Take what has arrived; pass a whole request to a thread."""
        try:
            data = client.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # the client has ended
            self._forget(conn)
            self.nr_conns -= 1
            conn.close()
            return
        is_first = not conn.arrived
        conn.arrived += data
        self.buffered += len(data)
        if len(conn.arrived) < conn.needed:
            return
        beginning = bytes(conn.arrived)
        missing = missing_bytes(beginning)
        conn.needed = len(beginning) + missing
        if missing == 0:
            self._forget(conn)
            conn.begin_request()
            self.enqueue_req(conn)
        elif conn.needed > BODY_BYTES or (missing == 1 and len(beginning) >= HEAD_BYTES):
            self._refuse(conn, 413, "Content Too Large", TOO_LARGE)
        elif self.buffered > MOST_BUFFERED:
            self._refuse(conn, 503, "Service Unavailable", BUSY)
        elif is_first and expects_continue(beginning):
            with suppress(OSError):
                client.send(_CONTINUE)

    def _refuse(self, conn: Connection, status: int, title: str, detail: str) -> None:
        self._forget(conn)
        self.nr_conns -= 1
        _answer(conn.sock, status, title, detail)
        conn.close(graceful=True)

    def _forget(self, conn: Connection) -> None:
        """Stop waiting for a request; the connection stays open."""
        self.poller.unregister(conn.sock)
        self.pending_conns.remove(conn)
        self.buffered -= len(conn.arrived)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Return whether to keep the connection.

        Not if a part of another request came with this one: a thread would wait for the rest of it.
        """
        return super()._keepalive_after(conn, keepalive) and not conn.parser.unreader.buf.getvalue()


def _answer(client: socket.socket, status: int, title: str, detail: str) -> None:
    problem = {"type": "about:blank", "status": status, "title": title, "detail": detail}
    body = json.dumps(problem).encode()
    head = (
        f"HTTP/1.1 {status} {title}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with suppress(OSError):  # the client may be gone
        client.sendall(head.encode() + body)
