"""One message, sent through Apprise."""

import logging

import apprise
from apprise.common import NotifyFormat
from billiard.exceptions import SoftTimeLimitExceeded

from vulsweb.notifications import addresses, texts

# A worker is held no longer, whatever the other side does.
SECONDS = 10
# For one connection and one answer; so several of them fit.
CONNECT_SECONDS = READ_SECONDS = 4.0
ID_HEADER = "X-Vuls-Web-Message"
NO_ANSWER = f"It did not answer within {SECONDS} seconds."


class _Complaints(logging.Handler):
    """Collects what Apprise says, which has the other side's answer."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        # Its other debug lines show whole requests.
        if record.levelno >= logging.WARNING or text.startswith("Socket Exception: "):
            self.lines.append(text.removeprefix("Socket Exception: "))


def send(url: str, message_id: str, text: texts.Text) -> str | None:
    """Send a message; return the reason if it was not sent.

    The reason has no secrets of the address.
    """
    complaints = _Complaints()
    logger = logging.getLogger("apprise")
    level, propagates = logger.level, logger.propagate
    try:
        service = addresses.service(url)
        _prepare(service, message_id)
        sender = apprise.Apprise()
        sender.add(service)
        logger.addHandler(complaints)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        body, form = _body(service, text)
        if sender.notify(body, title=text.title, body_format=form):
            return None
    except addresses.AddressError as error:
        return str(error)
    except SoftTimeLimitExceeded:
        return NO_ANSWER
    finally:
        logger.removeHandler(complaints)
        logger.setLevel(level)
        logger.propagate = propagates
    if any("SoftTimeLimitExceeded" in line for line in complaints.lines):
        return NO_ANSWER
    return addresses.masked(" ".join(complaints.lines), url) or "The service refused it without a reason."


def _prepare(service: apprise.NotifyBase, message_id: str) -> None:
    service.socket_connect_timeout = CONNECT_SECONDS
    service.socket_read_timeout = READ_SECONDS
    # Mail and webhooks carry the id, so that a receiver can tell a repeated message from a new one.
    if isinstance(headers := getattr(service, "headers", None), dict):
        headers[ID_HEADER] = message_id


def _body(service: apprise.NotifyBase, text: texts.Text) -> tuple[str, NotifyFormat]:
    """Return the form that the service prefers, and its name."""
    formats = service.notify_format
    preferred = formats[0] if isinstance(formats, tuple) else formats
    if preferred is NotifyFormat.HTML:
        return text.html, NotifyFormat.HTML
    return text.plain, NotifyFormat.TEXT
