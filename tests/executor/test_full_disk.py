"""An executor whose disk is full, and then has room again."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.executor.callers import Caller, until
from tests.executor.conftest import caller_of
from tests.executor.fakes import FakeTools
from tests.executor.processes import SLEEP, is_alive
from tests.support.disks import fill, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 30 MB, of which 0.6 are kept in reserve."""
    with small_disk(tmp_path / "disk", "size=30m") as folder:
        yield folder


@pytest.fixture
def call(disk: Path, variables: dict[str, str], start: Callable[[], Flask]) -> Caller:
    variables["EXECUTOR_DATA_DIR"] = str(disk / "data")
    variables["EXECUTOR_MAX_JOBS"] = "1"
    return caller_of(start())


def submit(call: Caller, job_id: str) -> tuple[int, dict[str, Any]]:
    return call("POST", "/scan", {"job_id": job_id, "servers": ["localhost"], "scan_type": "fast"})


def test_below_the_reserve_no_job_is_taken_and_with_room_it_is(
    call: Caller, disk: Path, fakes: FakeTools
) -> None:
    fakes.vuls()
    filler = fill(disk, leave=100_000)

    refused = submit(call, "1" * 32)
    _, health = call("GET", "/health")
    filler.unlink()
    taken = submit(call, "1" * 32)

    sentence = f"The disk of {disk}/data is full: 0 MB are free, and nothing begins below 1 MB."
    assert (refused[0], refused[1]["detail"]) == (507, sentence)
    assert health["disk"]["problem"] == sentence
    assert taken[0] == 202
    assert call.finished("1" * 32)["status"] == "completed"
    assert call("GET", "/health")[1]["disk"]["problem"] == ""


def test_a_job_that_was_taken_before_waits_for_room_and_says_so(
    call: Caller, disk: Path, fakes: FakeTools, tool: Callable[[], int]
) -> None:
    fakes.vuls(scan=SLEEP)
    running = call.submit_scan()
    tool()
    waiting = call.submit_scan()
    fakes.vuls()
    filler = fill(disk, leave=100_000)

    call("DELETE", f"/jobs/{running}")
    until(lambda: call.job(running)["ended_at"])
    shown = call.job(waiting)
    filler.unlink()

    assert (shown["status"], "is full" in shown["steps"][0]["message"]) == ("queued", True)
    assert call.finished(waiting)["status"] == "completed"


def test_a_job_whose_disk_fills_up_fails_with_the_reason_once_there_is_room(
    call: Caller, disk: Path, fakes: FakeTools, tool: Callable[[], int]
) -> None:
    talk = "while True: print('x' * 5000, flush=True); time.sleep(0.1)"
    fakes.vuls(scan=SLEEP.replace("time.sleep(600)", talk))
    job_id = call.submit_scan()
    pid = tool()

    filler = fill(disk, leave=0)
    until(lambda: not is_alive(pid))
    meanwhile = call.job(job_id)["id"]  # its record is whole at any moment
    filler.unlink()
    job = call.finished(job_id)

    assert meanwhile == job_id
    assert job["status"] == "failed"
    assert "No space left on device" in str(job["error"])
