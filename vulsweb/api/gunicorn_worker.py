"""The gunicorn worker of the web application."""

import json
from contextlib import suppress
from typing import Any

from gunicorn.http.errors import LimitRequestLine
from gunicorn.workers.gthread import ThreadWorker

from vulsweb.system import database_waits

DETAIL = "The address of this request is too long: a request line has at most {} characters."


class Worker(ThreadWorker):
    """Limits the waits for PostgreSQL, and answers what no application sees."""

    def init_process(self) -> None:
        """Start the worker process."""
        database_waits.apply()
        super().init_process()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer 414 as a problem, and all else as gunicorn does.

        That holds for pages too, because the path is not known here.
        """
        if not isinstance(exc, LimitRequestLine):
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("a request line of more than %d characters", self.cfg.limit_request_line)
        problem = {
            "type": "about:blank",
            "status": 414,
            "title": "URI Too Long",
            "detail": DETAIL.format(self.cfg.limit_request_line),
        }
        body = json.dumps(problem).encode()
        head = (
            "HTTP/1.1 414 URI Too Long\r\n"
            "Connection: close\r\n"
            "Content-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with suppress(OSError):  # the client may be gone
            client.sendall(head.encode() + body)
