"""How the executor writes its log."""

import json
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler, WatchedFileHandler

from executor.config import Settings

LARGEST_FILE = 10 * 1024 * 1024
OLD_FILES = 3
_HIDDEN = "********"


class OneLine(logging.Formatter):
    """Formats a message as one line, without secrets."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self.secrets = tuple(secrets)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging calls it
        """Return the line without control characters, which hosts could send."""
        record.message = "".join(each if each.isprintable() else " " for each in record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the lines of an exception below it."""
        return self.masked(super().format(record))

    def masked(self, text: str) -> str:
        """Return the text with asterisks for secrets."""
        for secret in self.secrets:
            text = text.replace(secret, _HIDDEN)
        return text


class JsonLine(OneLine):
    """Formats a message as a JSON object in one line, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object; without an exception it has no `trace`."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": "executor",
            "logger": record.name,
            "message": self.masked(record.getMessage()),
        }
        if record.exc_info:
            fields["trace"] = self.masked(self.formatException(record.exc_info))
        return json.dumps(fields, ensure_ascii=False)


def configure(settings: Settings, secrets: Iterable[str] = (), *, is_server: bool) -> None:
    """Configure the logging of this process: gunicorn's one worker, or a runner.

    Both write stdout and the file; the server alone moves a large file aside, and runners follow.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if (file := settings.log_file) is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(
                RotatingFileHandler(file, maxBytes=LARGEST_FILE, backupCount=OLD_FILES, encoding="utf-8")
                if is_server
                else WatchedFileHandler(file, encoding="utf-8")
            )
        except OSError as error:
            print(f"The log file {file} cannot be written: {error}.", file=sys.stderr)
    formatter = (JsonLine if settings.log_format == "json" else OneLine)(secrets)
    for handler in handlers:
        handler.setFormatter(formatter)
    # A full disk stops nothing: the lines are on stdout too.
    logging.raiseExceptions = False
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
