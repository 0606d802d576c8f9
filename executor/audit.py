"""The audit log: who asked for what, and the answer.

Entries are lines of JSON and are only ever added; rotation drops the oldest.
"""

import itertools
import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

from executor.jobs.job import now

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 10 * 1024 * 1024
FILES = 5
MAX_BODY_BYTES = 8 * 1024
# Callers without a valid key must not be able to fill the log and rotate other entries away.
UNAUTHENTICATED_EVERY_SECONDS = 1.0


class AuditLog:
    """Records every operation; reading jobs and logs is not one."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "audit.log"
        self._path.touch(mode=0o600)
        self._lock = threading.Lock()
        self._unauthenticated_at = 0.0

    def record(self, key: str | None, method: str, path: str, body: bytes, status: int) -> None:
        """Add a request that changes something, fetches a result, or was refused.

        `key` is the fingerprint of the caller's key, None without a valid one.
        """
        if method == "GET" and status < 400 and "/results/" not in path:
            return
        if key is None:
            if time.monotonic() - self._unauthenticated_at < UNAUTHENTICATED_EVERY_SECONDS:
                return
            self._unauthenticated_at = time.monotonic()
        entry: dict[str, Any] = {"at": now(), "key": key, "call": f"{method} {path[:300]}", "answer": status}
        if key is not None and body:
            # Unchanged: no accepted field holds a secret, and refused requests must be visible.
            entry["body"] = body[:MAX_BODY_BYTES].decode(errors="replace")
        line = f"{json.dumps(entry)}\n".encode()
        with self._lock:
            if self._path.exists() and self._path.stat().st_size + len(line) > MAX_FILE_BYTES:
                names = [self._path, *(self._path.with_name(f"audit.log.{n}") for n in range(1, FILES))]
                for newer, older in reversed(list(itertools.pairwise(names))):
                    if newer.exists():
                        newer.replace(older)
            try:
                with self._path.open("ab", buffering=0) as file:
                    file.write(line)
            except OSError as error:
                # Nothing new is begun on a full disk; what is asked meanwhile is answered.
                log.error("the audit log cannot be written: %s", error)
