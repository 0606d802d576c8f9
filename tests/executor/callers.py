"""Calls an executor over HTTP, in this process or another."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from tests.support.waiting import patience

KEY = "an-executor-key-for-tests-only-0123456789"
HEADERS = {"X-API-Key": KEY}

Seen = TypeVar("Seen")


def until(look: Callable[[], Seen | None], seconds: float = 60) -> Seen:
    """Call `look` until it returns something; fail after some seconds."""
    deadline = time.monotonic() + patience(seconds)
    while time.monotonic() < deadline:
        if (seen := look()) is not None and seen is not False:
            return seen
        time.sleep(0.02)
    raise AssertionError(f"nothing was seen within {seconds} seconds")


class Caller:
    """Calls an executor, in this process or another, with the key."""

    def __init__(self, send: Callable[..., tuple[int, dict[str, str], bytes]]) -> None:
        self.send = send

    def __call__(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        status, _, data = self.send(method, path, body, {**HEADERS, **headers})
        return status, json.loads(data)

    def submit_scan(
        self, *servers: str, scan_type: str = "fast", job_id: str | None = None, **more: str
    ) -> str:
        job_id = job_id or uuid.uuid4().hex
        body = {"job_id": job_id, "servers": list(servers or ("localhost",)), "scan_type": scan_type, **more}
        status, answer = self("POST", "/scan", body)
        assert status in (200, 202), answer
        return job_id

    def submit_update(self, database: str) -> str:
        job_id = uuid.uuid4().hex
        status, answer = self("POST", "/database/update", {"job_id": job_id, "database": database})
        assert status == 202, answer
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        status, job = self("GET", f"/jobs/{job_id}")
        assert status == 200, job
        return job

    def log(self, job_id: str) -> str:
        return str(self("GET", f"/jobs/{job_id}/logs")[1]["text"])

    def finished(self, job_id: str, seconds: float = 60) -> dict[str, Any]:
        return until(lambda: job if (job := self.job(job_id))["ended_at"] else None, seconds)
