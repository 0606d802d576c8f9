"""Jobs, their runners and the web process, when some of them wait or are killed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from flask import Flask

from tests.executor.callers import KEY, Caller, until
from tests.executor.conftest import Server, caller_of
from tests.executor.fakes import FakeTools
from tests.executor.processes import SLEEP, is_alive, runners, steps


def test_jobs_beyond_the_limit_wait_and_a_waiting_job_is_cancelled_at_once(
    variables: dict[str, str], start: Callable[[], Flask], fakes: FakeTools, tool: Callable[[], int]
) -> None:
    variables["EXECUTOR_MAX_JOBS"] = "1"
    fakes.vuls(
        scan=f'if servers == ["localhost"]:\n  {SLEEP.strip().replace(chr(10), "; ")}\nleave(*servers)'
    )
    call = caller_of(start())
    running = call.submit_scan("localhost")
    tool()
    cancelled, next_one = call.submit_scan("web1"), call.submit_scan("web2")

    status, job = call("DELETE", f"/jobs/{cancelled}")
    waits = call.job(next_one)
    call("DELETE", f"/jobs/{running}")

    assert (status, job["status"], waits["status"]) == (202, "cancelled", "queued")
    assert call.finished(running)["status"] == "cancelled"
    assert call.finished(next_one)["status"] == "completed"
    assert call.finished(next_one)["started_at"] >= call.job(running)["ended_at"]


def test_a_connection_test_does_not_wait_for_scans(
    variables: dict[str, str], start: Callable[[], Flask], fakes: FakeTools, tool: Callable[[], int]
) -> None:
    variables["EXECUTOR_MAX_JOBS"] = "1"
    fakes.vuls(scan=SLEEP)
    call = caller_of(start())
    call.submit_scan("localhost")
    tool()
    waiting = call.submit_scan("web1")

    test = call.finished(call.submit_scan("web2", scan_type="configtest"))

    assert test["status"] == "completed"
    assert (call.job(waiting)["status"], call.job(waiting)["position"]) == ("queued", 1)


def test_a_group_of_many_jobs_does_not_block_other_groups(
    variables: dict[str, str], start: Callable[[], Flask], fakes: FakeTools, tool: Callable[[], int]
) -> None:
    variables["EXECUTOR_MAX_JOBS"] = "1"
    fakes.vuls(scan=SLEEP)
    call = caller_of(start())
    call.submit_scan("localhost")
    tool()
    large = [call.submit_scan("localhost", group="a" * 32) for _ in range(3)]
    other = call.submit_scan("web1", group="b" * 32)

    places = [call.job(job_id)["position"] for job_id in (*large, other)]
    repeated = call.submit_scan("web1", job_id=other)

    assert places == [1, 3, 4, 2]
    # The group is not part of the request.
    assert (repeated, call.job(other)["group"]) == (other, "b" * 32)


def test_many_jobs_all_finish_with_no_more_runners_than_slots(
    call: Caller, fakes: FakeTools, data: Path
) -> None:
    fakes.vuls()
    ids = [call.submit_scan("localhost") for _ in range(6)]

    most = max(len(runners(data)) for _ in range(5))
    ended = [call.finished(job_id)["status"] for job_id in ids]

    assert ended == ["completed"] * 6
    assert most <= 2
    until(lambda: not runners(data))


def test_a_killed_runner_leaves_a_lost_job_and_no_tool(
    call: Caller, fakes: FakeTools, tool: Callable[[], int], data: Path
) -> None:
    fakes.vuls(scan=SLEEP)
    job_id = call.submit_scan()
    pid = tool()

    for runner in runners(data):
        os.kill(runner, signal.SIGKILL)
    job = call.finished(job_id)

    assert (job["status"], steps(job)["scan"], steps(job)["report"]) == ("lost", "failed", "skipped")
    assert "stopped or killed" in job["error"]
    until(lambda: not is_alive(pid))
    assert not (data / "jobs" / job_id / "work").exists()


def test_a_terminated_runner_stops_its_tool_and_its_job_begins_again(
    call: Caller, fakes: FakeTools, tool: Callable[[], int], data: Path
) -> None:
    fakes.vuls(scan=SLEEP)
    job_id = call.submit_scan()
    pid = tool()
    fakes.vuls()

    for runner in runners(data):
        os.kill(runner, signal.SIGTERM)
    job = call.finished(job_id)

    assert job["status"] == "completed"
    assert "so the job began again" in job["steps"][0]["message"]
    assert "so the job began again" in call.log(job_id)
    assert not is_alive(pid)


def test_a_job_that_is_interrupted_twice_is_lost(
    call: Caller, fakes: FakeTools, tool: Callable[[], int], data: Path
) -> None:
    fakes.vuls(scan=SLEEP)
    job_id = call.submit_scan()
    first = tool()
    for runner in runners(data):
        os.kill(runner, signal.SIGTERM)
    until(lambda: call.job(job_id)["status"] == "running" and tool() != first)

    for runner in runners(data):
        os.kill(runner, signal.SIGTERM)

    assert call.finished(job_id)["status"] == "lost"


def test_no_runner_and_no_tool_ever_has_the_key(
    server: Server, fakes: FakeTools, tool: Callable[[], int], data: Path
) -> None:
    fakes.vuls(scan="print(dict(os.environ), flush=True)\n" + SLEEP)
    server.start()
    job_id = server.call.submit_scan()
    pid = tool()

    environments = [Path(f"/proc/{number}/environ").read_bytes() for number in (pid, *runners(data))]

    assert len(environments) == 2
    assert not any(KEY.encode() in environment for environment in environments)
    assert KEY not in server.call.log(job_id)
    assert not any(KEY.encode() in file.read_bytes() for file in data.rglob("*") if file.is_file())


def test_a_job_outlives_its_executor(
    server: Server, fakes: FakeTools, tool: Callable[[], int], variables: dict[str, str]
) -> None:
    go = Path(variables["HOME"]) / "go"
    fakes.vuls(
        scan=SLEEP.replace("time.sleep(600)", f"while not os.path.exists({str(go)!r}): time.sleep(0.05)")
        + "\nleave(*servers)"
    )
    server.start()
    job_id = server.call.submit_scan()
    pid = tool()

    server.signal(signal.SIGKILL)
    survived = is_alive(pid)
    server.start()
    meanwhile = server.call.job(job_id)["status"]
    go.touch()

    assert (survived, meanwhile) == (True, "running")
    assert server.call.finished(job_id)["status"] == "completed"


def test_a_job_that_ended_while_the_executor_was_away_is_found(
    server: Server, fakes: FakeTools, data: Path
) -> None:
    fakes.vuls(scan="time.sleep(0.5)\nleave(*servers)")
    server.start()
    job_id = server.call.submit_scan()
    until(lambda: runners(data))

    server.signal(signal.SIGKILL)
    until(lambda: not runners(data))
    server.start()

    assert server.call.job(job_id)["status"] == "completed"


def test_a_restart_runs_waiting_jobs_and_marks_lost_ones(
    server: Server, fakes: FakeTools, tool: Callable[[], int], data: Path, variables: dict[str, str]
) -> None:
    variables["EXECUTOR_MAX_JOBS"] = "1"
    fakes.vuls(
        scan=f'if servers == ["localhost"]:\n  {SLEEP.strip().replace(chr(10), "; ")}\nleave(*servers)'
    )
    server.start()
    running, waiting = server.call.submit_scan("localhost"), server.call.submit_scan("web1")
    tool()

    server.signal(signal.SIGKILL)
    for runner in runners(data):
        os.kill(runner, signal.SIGKILL)
    server.start()

    assert server.call.job(running)["status"] == "lost"
    assert server.call.finished(waiting)["status"] == "completed"


def test_ended_runners_leave_no_zombie(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls()
    call.finished(call.submit_scan())

    def zombies() -> list[str]:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return [pid for pid in children if not is_alive(int(pid))]

    until(lambda: not zombies())


def test_a_waiting_job_shows_its_position(
    variables: dict[str, str], start: Callable[[], Flask], fakes: FakeTools, tool: Callable[[], int]
) -> None:
    variables["EXECUTOR_MAX_JOBS"] = "1"
    fakes.vuls(scan=SLEEP)
    call = caller_of(start())
    running = call.submit_scan("localhost")
    tool()
    first, second = call.submit_scan("web1"), call.submit_scan("web2")

    places = [call.job(job_id)["position"] for job_id in (running, first, second)]
    call("DELETE", f"/jobs/{first}")
    _, together = call("GET", f"/jobs?ids={running},{first},{second}")

    assert places == [None, 1, 2]
    assert [job["position"] for job in together["jobs"]] == [None, None, 1]
