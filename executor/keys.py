"""The API keys of callers.

A key file is read again when it changes.
"""

import hashlib
import hmac
import logging
from collections.abc import Mapping
from pathlib import Path

from executor import config

log = logging.getLogger(__name__)


class Keys:
    """The accepted keys: one, or two while one replaces the other."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        file = variables.get("EXECUTOR_API_KEY_FILE")
        self._file = Path(file) if file and not variables.get("EXECUTOR_API_KEY") else None
        # Before the file is read: a change in between then causes another read.
        self._file_state = self._read_file_state()
        self._keys = config.api_keys(variables)

    def match(self, given: str | None) -> str | None:
        """Return the fingerprint of the given key.

        Return None if the key is not accepted.
        """
        state = self._read_file_state()
        if state != self._file_state:
            self._file_state = state
            try:
                self._keys = config.api_keys(self._variables)
                log.info("The keys were read again: %s.", ", ".join(map(fingerprint, self._keys)))
            except config.ConfigError as error:
                log.error("The keys were not changed. %s", error)
        # Every key is compared, so that the time taken does not tell which one was close.
        matches = [key for key in self._keys if hmac.compare_digest((given or "").encode(), key)]
        return fingerprint(matches[0]) if matches else None

    def _read_file_state(self) -> tuple[int, int, int] | None:
        try:
            status = self._file.stat() if self._file else None
        except OSError:
            return None
        return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None


def fingerprint(key: bytes) -> str:
    """Return a short hash that identifies a key.

    The key cannot be guessed from it.
    """
    return hashlib.sha256(key).hexdigest()[:12]
