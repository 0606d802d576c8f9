"""How web, worker and beat write their logs: one line per message."""

import logging
import logging.config
from typing import Any

# Celery reports every message at INFO, and the periodic ones come each second. Our own lines say what a
# message did.
_QUIET = ("celery.worker.strategy", "celery.app.trace", "celery.beat")


class OneLine(logging.Formatter):
    """Formats a message as one line, whatever characters are in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging calls it
        """Return the line without control characters, which hosts could send."""
        record.message = "".join(each if each.isprintable() else " " for each in record.message)
        return super().formatMessage(record)


def configure(**_: Any) -> None:
    """Configure the logging of this process; a receiver of Celery's `setup_logging`."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {"()": OneLine, "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"level": "INFO", "handlers": ["stderr"]},
            "loggers": {name: {"level": "WARNING"} for name in _QUIET},
        }
    )
