"""An application that listens, on a thread of the test's process."""

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wsgi import ClosingIterator

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class KeepAlive(WSGIRequestHandler):
    """Keeps connections open: HTTP/1.0 closes each one, and now and then resets one that is being read."""

    protocol_version = "HTTP/1.1"


@contextlib.contextmanager
def serving(app: Flask, handler: type[WSGIRequestHandler] | None = None, port: int = 0) -> Iterator[str]:
    """Serve `app` on loopback while the context lasts, and yield its address; port 0 is any that is free."""
    answering: set[int] = set()

    def whole(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        answering.add(threading.get_ident())
        try:
            # Werkzeug's server leaves a file open where the browser goes away in the middle of its answer.
            with contextlib.closing(ClosingIterator(app(environ, start_response))) as body:
                return [b"".join(body)]
        finally:
            answering.discard(threading.get_ident())

    server = make_server("127.0.0.1", port, whole, threaded=True, request_handler=handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        # Nobody waits for these answers any more, but they may still use the database.
        wait_for(lambda: not answering)
