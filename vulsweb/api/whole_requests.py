"""How much of an HTTP request has arrived.

Gunicorn parses requests. This only says when it has nothing to wait for, so that no slow client holds a
thread.
"""

import re

# Of what comes before the body, and of a body that does not say how long it is.
HEAD_BYTES = 64 * 1024
# More than the application takes (MAX_CONTENT_LENGTH), so that it says so itself.
BODY_BYTES = 2 * 1024 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,19})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue", re.IGNORECASE)


def missing_bytes(beginning: bytes) -> int:
    """Return how many bytes are missing at least; 0 if none.

    One that gunicorn refuses as it is counts as whole.
    """
    head, end, body = beginning.partition(b"\r\n\r\n")
    if not end:
        return 1
    lines = head + b"\r\n"
    if _CHUNKED.search(lines):
        return _missing_of_chunks(body)
    length = _LENGTH.search(lines)
    return max(int(length[1]) - len(body), 0) if length else 0


def expects_continue(beginning: bytes) -> bool:
    """Return whether the client waits before it sends the body."""
    return _EXPECTS.search(beginning.partition(b"\r\n\r\n")[0]) is not None


def _missing_of_chunks(body: bytes) -> int:
    """Follow the chunks to the last one (RFC 9112, 7.1)."""
    position = 0
    while (end := body.find(b"\r\n", position)) >= 0:
        try:
            size = int(body[position:end].split(b";")[0], 16)
        except ValueError:
            return 0
        if size <= 0:
            # After it come trailers, if any, and an empty line.
            return 0 if body.find(b"\r\n\r\n", end) >= 0 else 1
        position = end + 2 + size + 2
        if position > len(body):
            return position - len(body)
    return 1
