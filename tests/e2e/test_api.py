"""The main job by program, on real input: the real Vuls scans this machine."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import stack_on
from tests.e2e.stack import DEBIAN, Program, Stack, running, wait_for
from tests.mirror.documents import Tracker, shipped_documents
from tests.mirror.expected import already_fixed, expected_findings
from tests.mirror.server import Fault, Mirror, mirror

# What each urgency of the tracker becomes with us.
SEVERITIES = {
    "unimportant": "unknown",
    "not yet assigned": "unknown",
    "low": "low",
    "medium": "medium",
    "high": "high",
}


def test_every_part_of_a_running_stack_answers_and_doctor_agrees(
    shared_program: Program, shared: Stack
) -> None:
    def states() -> dict[str, str]:
        return {part["name"]: part["state"] for part in shared_program.get("/api/system")["parts"]}

    wait_for(lambda: states()["beat"] == "ok", seconds=90)  # the first tick comes with the next minute
    printed = shared.command("doctor")

    found = states()
    assert {name for name, state in found.items() if state == "failed"} == set()
    assert {name for name in found if found[name] == "ok"} >= {"worker", "redis", "postgresql", "executor"}
    assert "answers." in printed
    assert "Failed" not in printed


@pytest.fixture(scope="module")
def feeds() -> Iterator[Mirror]:
    """The mirror, in front of all feeds."""
    with mirror(shipped_documents()) as server:
        yield server


@pytest.fixture(scope="module")
def started(feeds: Mirror, open_folder: Path) -> Iterator[Stack]:
    """A stack that these tests stop and start again."""
    with running(stack_on(open_folder / "stopped" / "data", feeds)) as made:
        yield made


@pytest.fixture(scope="module")
def program(started: Stack) -> Program:
    return Program(started.url, started.command("token", "create", "tests").strip())


# The first, because the others fetch a database.
def test_without_a_database_the_scan_is_partial_and_with_one_it_finds_the_cves(
    program: Program, facts: Tracker
) -> None:
    (host,) = program.get("/api/hosts")["items"]
    scan = program.post(
        "/api/scheduled-tasks/",
        {
            "name": "this machine",
            "task_type": "scan",
            "config": {"scan_type": "fast"},
            "host_id": host["id"],
            "cron_expression": "0 2 * * *",
        },
    )
    update = program.post("/api/scheduled-tasks/", DEBIAN)

    blind = program.run_to_end(scan["id"])
    fetched = program.run_to_end(update["id"])
    again = _detection(program)
    seeing = program.run_to_end(scan["id"])

    assert host["name"] == "localhost"
    assert blind["status"] == "partial"
    assert "no vulnerability database for debian" in blind["error_message"]
    assert (fetched["status"], fetched["error_message"]) == ("success", None)
    (database,) = fetched["result_data"]["databases"]
    assert (database["name"], database["rows"] > 100) == ("gost_debian", True)
    # What the blind scan found installed is looked at again, without anybody asking.
    assert (again["status"], again["trigger"], again["error_message"]) == ("success", "update", None)
    _check_findings(program, again["id"], facts, new=True)
    assert (seeing["status"], seeing["error_message"]) == ("success", None)
    _check_findings(program, seeing["id"], facts, new=False)
    assert program.get(f"/api/scheduled-tasks/{scan['id']}")["last_status"] == "success"


def _detection(program: Program) -> dict[str, Any]:
    """Return the run that follows a database update, once it is over."""
    (task,) = program.get("/api/scheduled-tasks/?task_type=detection")["items"]
    runs = f"/api/scheduled-tasks/{task['id']}/runs"
    wait_for(lambda: program.get(runs)["items"], seconds=90)  # it comes with the next minute
    return program.end_of(program.get(runs)["items"][0]["id"])


def _check_findings(program: Program, run_id: int, facts: Tracker, *, new: bool) -> None:
    found = {finding["cve_id"]: finding for finding in program.findings(run_id)}
    expected = expected_findings(facts)
    assert expected
    assert set(found) == set(expected)
    assert not set(found) & already_fixed(facts)
    for cve_id, wanted in expected.items():
        finding = found[cve_id]
        versions = {package["name"]: package["installed_version"] for package in finding["packages"]}
        assert set(versions) == set(wanted.packages), cve_id
        assert all(versions.values()), cve_id
        assert finding["severity"] == SEVERITIES[wanted.urgency], cve_id
        assert finding["new"] is new


def test_all_databases_at_once_are_partial_where_only_some_feeds_answer(shared_program: Program) -> None:
    tasks = {task["name"]: task for task in shared_program.get("/api/scheduled-tasks/")["items"]}
    monthly = tasks["Monthly Database Updates"]

    run = shared_program.run_to_end(monthly["id"])

    assert monthly["cron_expression"] == "0 2 1 * *"
    assert run["status"] == "partial"
    states = {step["name"]: step["status"] for step in run["steps"]}
    assert len(states) == 9
    completed = {name for name, status in states.items() if status == "completed"}
    assert completed == {"nvd", "gost_debian", "gost_ubuntu", "gost_redhat"}


@pytest.fixture
def stalled(program: Program, feeds: Mirror, request: pytest.FixtureRequest) -> int:
    """The id of a database update that hangs in the middle of its fetch."""
    feeds.fault = Fault.STALL
    feeds.requests.clear()
    task = program.post("/api/scheduled-tasks/", DEBIAN | {"name": request.node.name})
    run_id: int = program.post(f"/api/scheduled-tasks/{task['id']}/run")["id"]
    wait_for(lambda: bool(feeds.requests), 60)
    return run_id


def test_killing_the_stack_in_the_middle_of_a_job_and_starting_it_again_loses_nothing(
    program: Program, started: Stack, feeds: Mirror, stalled: int
) -> None:
    tasks = program.get("/api/scheduled-tasks/")["total"]

    started.stop(signal.SIGKILL)
    started.start()
    feeds.fault = Fault.NONE

    ended = program.end_of(stalled)
    assert (ended["status"], ended["error_message"]) == ("success", None)
    assert program.get("/api/scheduled-tasks/")["total"] == tasks


def test_ctrl_c_stops_everything_and_the_next_start_runs_the_interrupted_job_again(
    program: Program, started: Stack, feeds: Mirror, stalled: int
) -> None:
    code = started.stop(signal.SIGINT)
    left = processes_of(started)
    said = started.lines[-1]
    feeds.fault = Fault.NONE
    started.start()

    assert (code, said, left) == (0, "Stopped.", [])
    ended = program.end_of(stalled)
    assert (ended["status"], ended["error_message"]) == ("success", None)
    assert "so the job began again" in ended["steps"][0]["message"]


def processes_of(stack: Stack) -> list[str]:
    """Return the command lines of processes that work in the stack's data folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = [*process.cmdline(), process.environ().get("EXECUTOR_DATA_DIR", ""), process.cwd()]
            if any(str(stack.data_dir) in word for word in words):
                found.append(" ".join(process.cmdline()))
    return found


def test_the_clock_starts_a_task_at_the_minute_and_the_logs_tell_it(
    shared_program: Program, shared: Stack
) -> None:
    every_minute = DEBIAN | {"cron_expression": "* * * * *"}
    task_id = shared_program.post("/api/scheduled-tasks/", every_minute)["id"]
    history: list[dict[str, Any]] = []

    def has_run() -> bool:
        history[:] = shared_program.get(f"/api/scheduled-tasks/{task_id}/runs")["items"]
        return bool(history) and history[-1]["status"] == "success"

    wait_for(has_run, 150)
    assert history[-1]["trigger"] == "schedule"
    slot, created = (datetime.fromisoformat(history[-1][name]) for name in ("scheduled_for", "created_at"))
    assert slot.second == 0
    assert timedelta() <= created - slot < timedelta(seconds=10)
    run_id = history[-1]["id"]
    logs = {path.stem: path.read_text() for path in (shared.data_dir / "logs").glob("*.log")}
    assert f"run {run_id}: started, task {task_id} debian" in logs["worker"]
    assert f"run {run_id}: success after " in logs["worker"]
    assert "database_update started" in logs["executor"]
    assert ": completed after " in logs["executor"]
    # What only repeats itself is not in the logs.
    assert "Task vulsweb." not in logs["worker"]
    assert "Sending due task" not in logs["beat"]


def test_a_backup_of_a_running_stack_starts_in_another_folder(
    shared: Stack, shared_program: Program, stack: Stack, tmp_path: Path
) -> None:
    if not shared_program.get("/api/hosts?search=moved")["items"]:
        content = shared_program.get("/api/ssh-config")["content"]
        shared_program.put("/api/ssh-config", {"content": f"{content}Host moved\n    HostName 192.0.2.1\n"})
    tasks = shared_program.get("/api/scheduled-tasks/")["total"]
    file = tmp_path / "vulsweb.tar"

    stack.environ["VULSWEB_ADMIN_PASSWORD"] = ""

    said = shared.command("backup", str(file))
    restored = stack.command("restore", str(file))
    # As if the first start of a new folder found a database with people in it.
    (stack.data_dir / "prepared").unlink()
    with running(stack):
        started = "\n".join(stack.lines)
        there = Program(stack.url, stack.command("token", "create", "there").strip())
        moved = there.get("/api/scheduled-tasks/")["total"]
        config_toml = (stack.data_dir / "config" / "config.toml").read_text()

    assert said == f"Backup written to {file}.\n"
    assert restored == "Restored. Start Vuls Web as usual.\n"
    assert moved == tasks
    assert "password  unchanged in that database; `vulsweb user password admin` sets a new one" in started
    assert not (stack.data_dir / "secrets" / "admin_password").exists()
    # The paths in the files are those of the new folder.
    assert f'sshConfigPath = "{stack.data_dir}/config/ssh/config"' in config_toml
    assert str(shared.data_dir) not in config_toml
