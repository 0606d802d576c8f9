"""Real servers on loopback that messages are sent to: mail, and a webhook."""

import asyncio
import contextlib
import email
import email.policy
import json
import socket
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.smtp import SMTP


class Mailbox:
    """What a mail server took; `reply` is its answer to each message."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reply = "250 OK"
        self.arrived: list[EmailMessage] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - its API
        """Keep a message, or refuse it."""
        if self.reply.startswith("250"):
            found = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(found, EmailMessage)
            self.arrived.append(found)
        return self.reply

    @property
    def url(self) -> str:
        """Return its address for a channel."""
        return f"mailto://127.0.0.1:{self.port}/?from=vuls@example.org&to=team@example.org&mode=insecure"

    @property
    def subjects(self) -> list[str]:
        """Return the subjects of what arrived."""
        return [str(message["Subject"]) for message in self.arrived]


@contextlib.contextmanager
def mail_server() -> Iterator[Mailbox]:
    """Run a mail server that takes everything, until it is told otherwise.

    Its event loop is in a thread of its own, as that of a browser runs in this one.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    mailbox, loop, end = Mailbox(listener.getsockname()[1]), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        def session() -> SMTP:
            return SMTP(mailbox, hostname="mail.example.org", loop=loop)

        async with await loop.create_server(session, sock=listener):
            await end.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield mailbox
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()


class Webhook(ThreadingHTTPServer):
    """A web server that keeps what is posted to it, and answers with `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taker)
        self.status = 200
        self.arrived: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.opened: list[str] = []
        self.posted: list[tuple[str, str]] = []  # path and body

    @property
    def url(self) -> str:
        """Return its address for a channel."""
        return f"json://user:secret-word@127.0.0.1:{self.server_port}/hook/token-of-ours"


class _Taker(BaseHTTPRequestHandler):
    server: Webhook

    def do_GET(self) -> None:
        if self.server.status == 200:
            self.server.opened.append(self.path)
        self.send_response(self.server.status)
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.server.status == 200:
            self.server.posted.append((self.path, body))
            if self.headers.get("Content-Type") == "application/json":
                self.server.arrived.append(json.loads(body))
            self.server.headers.append(dict(self.headers))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def webhook() -> Iterator[Webhook]:
    """Run a web server that takes everything, until it is told otherwise."""
    with Webhook() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """Accept connections on a port and never say a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
