"""How long a web request waits for PostgreSQL.

PostgreSQL's own limits do not help against a server that hangs: it would have to enforce them itself.
"""

import select
import time
from contextvars import ContextVar

import psycopg2
from psycopg2 import extensions
from sqlalchemy.exc import OperationalError

PAGE_SECONDS = 10.0
# The pages that say what is wrong must not wait for it.
SYSTEM_SECONDS = 1.5
NO_ANSWER = (
    "PostgreSQL does not answer. Nothing is lost: this page works again as soon as it does."
    " `vulsweb doctor` shows the state of all components."
)

_STOPPING = "57P"  # the class of its error codes for shutdown and start

_limit = ContextVar("limit", default=PAGE_SECONDS)


def apply() -> None:
    """Give every wait for PostgreSQL in this process a limit."""
    extensions.set_wait_callback(wait)


def choose_limit(path: str) -> None:
    """Set the limit of the current request, for `path`."""
    is_system = path.startswith(("/system/", "/api/system"))
    _limit.set(SYSTEM_SECONDS if is_system else PAGE_SECONDS)


def wait(connection: extensions.connection) -> None:
    """Wait for a connection; raise OperationalError after the limit."""
    deadline = time.monotonic() + _limit.get()
    while (state := connection.poll()) != extensions.POLL_OK:
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise psycopg2.OperationalError("PostgreSQL did not answer in time.")
        poller = select.poll()
        wanted = select.POLLIN if state == extensions.POLL_READ else select.POLLOUT
        poller.register(connection.fileno(), wanted)
        poller.poll(seconds * 1000)


def is_away(error: OperationalError) -> bool:
    """Return whether PostgreSQL did not answer, or said that it is stopping."""
    code = getattr(error.orig, "pgcode", None)
    return code is None or code.startswith(_STOPPING)
