"""Keys that are replaced without a restart, and the audit log."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from executor import audit
from tests.executor.callers import KEY, Caller
from tests.executor.conftest import caller_of

NEW = "another-executor-key-for-tests-9876543210"


@pytest.fixture
def file(variables: dict[str, str], tmp_path: Path) -> Path:
    """The executor's key file."""
    path = tmp_path / "key"
    path.write_text(KEY)
    del variables["EXECUTOR_API_KEY"]
    variables["EXECUTOR_API_KEY_FILE"] = str(path)
    return path


def answer(call: Caller, key: str) -> int:
    return call.send("GET", "/jobs?ids=", None, {"X-API-Key": key})[0]


def lines(data: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (data / "audit.log").read_text().splitlines()]


def test_a_key_is_replaced_while_the_executor_runs(file: Path, call: Caller) -> None:
    file.write_text(f"{KEY}\n{NEW}\n")
    both = [answer(call, key) for key in (KEY, NEW)]
    file.write_text(NEW)

    assert both == [200, 200]
    assert [answer(call, key) for key in (KEY, NEW)] == [401, 200]
    file.write_text(KEY)


@pytest.mark.parametrize("text", ["", "short", f"{KEY},{NEW},{NEW}x"])
def test_an_invalid_key_file_does_not_change_the_keys(file: Path, call: Caller, text: str) -> None:
    file.write_text(text)
    kept = answer(call, KEY)
    file.unlink()

    assert (kept, answer(call, KEY)) == (200, 200)


def test_every_operation_is_recorded_with_key_call_time_and_answer(call: Caller, data: Path) -> None:
    job_id = call.submit_update("nvd")
    call.job(job_id)
    call("POST", "/database/update", {"job_id": job_id, "database": "rm -rf"})
    call("DELETE", f"/jobs/{job_id}")

    found = lines(data)

    assert [(line["call"], line["answer"]) for line in found] == [
        ("POST /database/update", 202),
        ("POST /database/update", 422),
        (f"DELETE /jobs/{job_id}", found[2]["answer"]),
    ]
    assert json.loads(found[0]["body"])["database"] == "nvd"
    assert found[0]["at"].endswith("Z")
    assert len({line["key"] for line in found}) == 1
    assert KEY not in (data / "audit.log").read_text()


def test_unauthenticated_calls_are_recorded_at_a_limited_rate(call: Caller, data: Path) -> None:
    for _ in range(20):
        call.send("POST", "/scan", {"x": "y" * 1000}, {"X-API-Key": "wrong"})

    (line,) = lines(data)

    assert (line["key"], line["answer"], "body" in line) == (None, 401, False)


def test_the_audit_log_has_a_limited_size(
    monkeypatch: pytest.MonkeyPatch, start: Callable[[], Flask], data: Path
) -> None:
    monkeypatch.setattr(audit, "MAX_FILE_BYTES", 2000)
    call = caller_of(start())

    for _ in range(100):
        call("DELETE", f"/jobs/{'0' * 32}")

    files = list(data.glob("audit.log*"))
    assert len(files) == audit.FILES
    assert all(file.stat().st_size <= 2000 for file in files)
