"""Outages in the log: a line when one begins and ends."""

import logging


class Outages:
    """What does not answer at the moment, as this process sees it."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._failures: dict[str, int] = {}

    def failed(self, name: str, reason: object) -> None:
        """Log the first of a row of failures."""
        if name not in self._failures:
            self._log.warning("%s: %s", name, reason)
        self._failures[name] = self._failures.get(name, 0) + 1

    def answered(self, name: str) -> None:
        """Log the end of a row of failures."""
        if count := self._failures.pop(name, 0):
            self._log.warning("%s: answers again, after %d failures", name, count)
