"""A forward proxy that answers for the feeds' hosts itself, with certificates of its own CA."""

import enum
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import trustme

from tests.mirror.registry import MANIFEST


class Fault(enum.Enum):
    """What goes wrong with every document from now on."""

    NONE = "documents are served whole"
    ERROR = "each request is answered 500"
    CUT = "the connection ends in the middle of the body"
    STALL = "the second half of the body waits until the fault is taken back"
    AWAY = "no host can be reached"


class Request(NamedTuple):
    """One request for a document, as the client made it."""

    method: str
    url: str


class Mirror(ThreadingHTTPServer):
    """The running mirror; set `fault` to make it misbehave, read `requests` for what was asked."""

    # Closing waits for every handler, so that no thread or socket outlives the mirror.
    daemon_threads = False

    def __init__(self, documents: Mapping[str, bytes], folder: Path, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self.documents = documents
        self.requests: list[Request] = []
        # The hosts of every tunnel, and of those whose client broke off the handshake, as it does
        # when it lacks our CA.
        self.connected: list[str] = []
        self.refused: list[str] = []
        self.ca_file = folder / "mirror-ca.pem"
        self._ca = trustme.CA(organization_name="Vuls Web test mirror")
        self._ca.cert_pem.write_to_path(str(self.ca_file))
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self._open: set[_Handler] = set()
        self._closing = False
        self._fault = Fault.NONE
        self._flowing = threading.Event()
        self._flowing.set()

    @cached_property
    def proxy_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def fault(self) -> Fault:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        self._fault = fault
        if fault is Fault.STALL:
            self._flowing.clear()
        else:
            self._flowing.set()

    def context_for(self, host: str) -> ssl.SSLContext:
        """Speak TLS as `host`; its certificate is made at the first call."""
        with self._lock:
            if host not in self._contexts:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                self._ca.issue_cert(host).configure_cert(context)
                self._contexts[host] = context
            return self._contexts[host]

    def wait_until_flowing(self) -> None:
        self._flowing.wait()

    def opened(self, handler: "_Handler") -> None:
        with self._lock:
            self._open.add(handler)
            if self._closing:
                handler.hang_up()

    def closed(self, handler: "_Handler") -> None:
        with self._lock:
            self._open.discard(handler)

    def hang_up(self) -> None:
        """End every conversation, or clients that keep connections alive would keep us too."""
        self.fault = Fault.NONE
        with self._lock:
            self._closing = True
            for handler in self._open:
                handler.hang_up()


class _Handler(BaseHTTPRequestHandler):
    """One client connection: plain HTTP until CONNECT, then TLS as the host that was asked for."""

    protocol_version = "HTTP/1.1"
    # Seconds for which a silent client is waited for.
    timeout = 60
    server: Mirror
    # "https://host" inside a tunnel; outside, a proxied request line carries the whole URL.
    origin = ""

    def setup(self) -> None:
        super().setup()
        self.server.opened(self)

    def finish(self) -> None:
        self.server.closed(self)
        # The client may be gone already, and with it whatever was still to be written.
        with suppress(OSError):
            super().finish()
        self.connection.close()

    def hang_up(self) -> None:
        # Only wakes up the handler's thread, which closes. SSLSocket's own shutdown would also take
        # the TLS state away under that thread's hands.
        with suppress(OSError):
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)

    def handle(self) -> None:
        # A client that does not trust our CA, or goes away, is an ordinary end of a conversation.
        with suppress(ssl.SSLError, ConnectionError):
            super().handle()

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        self.server.connected.append(host)
        if self.server.fault is Fault.AWAY:
            self.send_error(HTTPStatus.BAD_GATEWAY)
            return
        self.send_response_only(HTTPStatus.OK)
        self.end_headers()
        wrap = self.server.context_for(host).wrap_socket
        # No handshake before `connection` is the new socket, or hang_up() would miss it.
        self.connection = wrap(self.connection, server_side=True, do_handshake_on_connect=False)
        try:
            self.connection.do_handshake()
        except ssl.SSLError:
            self.server.refused.append(host)
            raise
        self.rfile.close()
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")
        self.origin = f"https://{host}" if port == "443" else f"https://{host}:{port}"
        self.close_connection = False

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def answer(self, *, with_body: bool) -> None:
        url = self.origin + self.path
        self.server.requests.append(Request(self.command, url))
        body = self.server.documents.get(url)
        if self.server.fault is Fault.ERROR:
            self.reply(HTTPStatus.INTERNAL_SERVER_ERROR, b"The mirror was told to fail.\n", with_body)
        elif body is None:
            self.reply(HTTPStatus.NOT_FOUND, b"The mirror has no such document.\n", with_body)
        else:
            self.reply(HTTPStatus.OK, body, with_body)

    def reply(self, status: HTTPStatus, body: bytes, with_body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if "/manifests/" in self.path:
            # A registry's clients ask what it is.
            self.send_header("Content-Type", MANIFEST)
        self.end_headers()
        if not with_body:
            return
        middle = len(body) // 2
        self.wfile.write(body[:middle])
        self.wfile.flush()
        if status is HTTPStatus.OK and self.server.fault is Fault.CUT:
            self.close_connection = True
            return
        if status is HTTPStatus.OK:
            self.server.wait_until_flowing()
        self.wfile.write(body[middle:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing; `requests` holds what was asked."""


@contextmanager
def mirror(documents: Mapping[str, bytes], address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[Mirror]:
    """Serve `documents`, which maps whole URLs to bodies, until the block ends; all else is 404."""
    with (
        tempfile.TemporaryDirectory(prefix="mirror-") as folder,
        Mirror(documents, Path(folder), address) as server,
    ):
        # Polling is only for how soon shutdown() is noticed.
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
            server.hang_up()
