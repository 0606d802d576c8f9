"""Who asked for what and what the answer was: lines of JSON that are only ever added."""

import json
import threading
import time
from pathlib import Path
from typing import Any

from executor.jobs.store import now

FILE_BYTES = 10 * 1024 * 1024
FILES = 5
LONGEST_BODY = 8 * 1024
# Who has no key must not be able to push the others' lines out.
STRANGERS_EVERY_SECONDS = 1.0


class Audit:
    """The executor's own record of every operation; looking at jobs and logs is none."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "audit.log"
        self._path.touch(mode=0o600)
        self._writing = threading.Lock()
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
        self._add(f"{json.dumps(entry)}\n".encode())

    def _add(self, line: bytes) -> None:
        with self._writing:
            if self._path.exists() and self._path.stat().st_size + len(line) > FILE_BYTES:
                for number in range(FILES - 1, 0, -1):
                    older, newer = self._numbered(number), self._numbered(number - 1)
                    if newer.exists():
                        newer.replace(older)
            with self._path.open("ab", buffering=0) as file:
                file.write(line)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"audit.log.{number}") if number else self._path
