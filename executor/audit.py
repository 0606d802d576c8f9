"""Who asked for what and what the answer was: lines of JSON that are only ever added."""

import json
import logging
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from executor.jobs import now

FILE_BYTES = 10 * 1024 * 1024
FILES = 5
LONGEST_BODY = 8 * 1024
# Who has no key must not be able to push the others' lines out.
STRANGERS_EVERY_SECONDS = 1.0


class Audit:
    """The executor's own record of every operation; looking at jobs and logs is none."""

    def __init__(self, data_dir: Path) -> None:
        self._file = RotatingFileHandler(data_dir / "audit.log", maxBytes=FILE_BYTES, backupCount=FILES - 1)
        self._stranger_at = 0.0

    def note(self, who: str | None, method: str, path: str, body: bytes, status: int) -> None:
        """Add an operation: a request that changes something, fetches a result, or was refused."""
        if method == "GET" and status < 400 and "/results/" not in path:
            return
        if who is None:
            if time.monotonic() - self._stranger_at < STRANGERS_EVERY_SECONDS:
                return
            self._stranger_at = time.monotonic()
        entry: dict[str, Any] = {"at": now(), "key": who, "call": f"{method} {path[:300]}", "answer": status}
        if who is not None and body:
            # As it came: a closed vocabulary has no place for secrets, and what is refused shows here.
            entry["body"] = body[:LONGEST_BODY].decode(errors="replace")
        # Written at once; the record's other fields are never shown.
        self._file.emit(logging.makeLogRecord({"msg": json.dumps(entry)}))
