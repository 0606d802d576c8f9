"""How the executor writes its log: one line per message."""

import logging
import sys


class OneLine(logging.Formatter):
    """Formats a message as one line, whatever characters are in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging calls it
        """Return the line without control characters, which hosts could send."""
        record.message = "".join(each if each.isprintable() else " " for each in record.message)
        return super().formatMessage(record)


def configure() -> None:
    """Configure the logging of this process: gunicorn's, or a runner's."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
