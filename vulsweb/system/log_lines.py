"""How web, worker and beat write their logs.

A message of ours about a run begins with "run %d: ", so that all lines of a run can be found.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from concurrent_log_handler import ConcurrentRotatingFileHandler

from vulsweb.config import LogSettings

LARGEST_FILE = 10 * 1024 * 1024
OLD_FILES = 3
ABOUT_A_RUN = "run %d: "
# Celery reports every message at INFO, and the periodic ones come each second. Our own lines say what a
# message did.
_QUIET = ("celery.worker.strategy", "celery.app.trace", "celery.beat")
_TOKEN = re.compile(r"vulsweb_[A-Za-z0-9_-]{20,}")
_PASSWORD_IN_URL = re.compile(r"://([^/\s:@]*):[^/\s@]+@")
_HIDDEN = "********"
_COMPLAIN_SECONDS = 60

# What is known of the request that a line belongs to: its id, and its user.
CONTEXT: ContextVar[dict[str, str] | None] = ContextVar("log_context", default=None)
_secrets: set[str] = set()


def hide(secrets: Iterable[str]) -> None:
    """Write asterisks instead of these values from now on."""
    _secrets.update(secret for secret in secrets if secret)


class OneLine(logging.Formatter):
    """Formats a message as one line, without secrets."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging calls it
        """Return the line without control characters, which hosts could send."""
        record.message = "".join(each if each.isprintable() else " " for each in record.message)
        context = CONTEXT.get() or {}
        about = " ".join(f"{name} {value}" for name, value in context.items() if value)
        return super().formatMessage(record) + (f" [{about}]" if about else "")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the lines of an exception below it."""
        return masked(super().format(record))


class JsonLine(logging.Formatter):
    """Formats a message as a JSON object in one line, without secrets."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the object; fields that are not known are absent."""
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self.process,
            "logger": record.name,
            "message": masked(record.getMessage()),
            "run": _run_of(record),
            **(CONTEXT.get() or {}),
        }
        if record.exc_info:
            fields["trace"] = masked(self.formatException(record.exc_info))
        return json.dumps({name: value for name, value in fields.items() if value}, ensure_ascii=False)


class LogFile(ConcurrentRotatingFileHandler):
    """A log that several processes write, moved aside when it is large.

    A full disk stops nothing: the lines are also on stderr, where it complains once a minute.
    """

    complained_at = -float(_COMPLAIN_SECONDS)

    def __init__(self, path: Path) -> None:
        super().__init__(
            str(path), maxBytes=LARGEST_FILE, backupCount=OLD_FILES, encoding="utf-8", chmod=0o600
        )
        self.path = path

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging calls it
        """Say what is wrong, at most once a minute."""
        if time.monotonic() - self.complained_at < _COMPLAIN_SECONDS:
            return
        self.complained_at = time.monotonic()
        _complain(self.path)


def masked(text: str) -> str:
    """Return the text with asterisks for secrets, tokens and passwords in URLs."""
    for secret in _secrets:
        text = text.replace(secret, _HIDDEN)
    return _PASSWORD_IN_URL.sub(rf"://\1:{_HIDDEN}@", _TOKEN.sub(f"vulsweb_{_HIDDEN}", text))


def configure(settings: LogSettings) -> None:
    """Configure the logging of this process: stderr, maybe a file."""
    formatter: logging.Formatter = OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s")
    if settings.as_json:
        formatter = JsonLine(settings.process)
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if settings.file is not None:
        try:
            settings.file.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(LogFile(settings.file))
        except OSError:
            _complain(settings.file)
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _complain(path: Path) -> None:
    error = sys.exc_info()[1]
    print(f"The log file {path} cannot be written: {error}.", file=sys.stderr)


def _run_of(record: logging.LogRecord) -> int | None:
    is_about_run = isinstance(record.msg, str) and record.msg.startswith(ABOUT_A_RUN)
    found = record.args[0] if is_about_run and isinstance(record.args, tuple) and record.args else None
    return found if isinstance(found, int) else None
