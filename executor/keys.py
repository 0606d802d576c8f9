"""The keys of callers; a file of them is read again when it changes."""

import hashlib
import hmac
import logging
from collections.abc import Mapping
from pathlib import Path

from executor import config

log = logging.getLogger(__name__)


class Keys:
    """One key, or two while one replaces the other."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        file = variables.get("EXECUTOR_API_KEY_FILE")
        self._file = Path(file) if file and not variables.get("EXECUTOR_API_KEY") else None
        # Before it is read: what changes in between is then read again.
        self._seen = self._state()
        self._keys = config.api_keys(variables)

    def match(self, given: str | None) -> str | None:
        """Return the fingerprint of the key that was given, or None where it is none of ours."""
        # Every key is compared, so that the time says nothing about which one was close.
        matches = [key for key in self._current() if hmac.compare_digest((given or "").encode(), key)]
        return fingerprint(matches[0]) if matches else None

    def _current(self) -> tuple[bytes, ...]:
        if self._file is None or (state := self._state()) == self._seen:
            return self._keys
        self._seen = state
        try:
            self._keys = config.api_keys(self._variables)
            log.info("The keys were read again: %s.", ", ".join(map(fingerprint, self._keys)))
        except config.ConfigError as error:
            log.error("The keys stay as they were. %s", error)
        return self._keys

    def _state(self) -> tuple[int, int, int] | None:
        try:
            status = self._file.stat() if self._file else None
        except OSError:
            return None
        return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None


def fingerprint(key: bytes) -> str:
    """Return what tells a key from others without telling the key: it has too many bits to be guessed."""
    return hashlib.sha256(key).hexdigest()[:12]
