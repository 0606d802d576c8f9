"""Jobs through the whole executor, with fake tools that go wrong in every way we know of."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.executor.callers import HEADERS, KEY, Caller, until
from tests.executor.conftest import Server, caller_of
from tests.executor.fakes import FakeTools

# Says that it has begun and who it is, then sleeps.
SLEEP = """
open(os.environ["HOME"] + "/tool.new", "w").write(str(os.getpid()))
os.rename(os.environ["HOME"] + "/tool.new", os.environ["HOME"] + "/tool")
time.sleep(600)
"""
SLEEP_AFTER_WORDS = f'print("working", flush=True)\n{SLEEP}'


@pytest.fixture
def tool(variables: dict[str, str]) -> Callable[[], int]:
    """Wait for a sleeping tool and return its process id."""
    file = Path(variables["HOME"]) / "tool"
    return lambda: until(lambda: int(file.read_text()) if file.exists() else None)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def runners(data: Path) -> list[int]:
    """The runners of this test's executor."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                b"executor.runner" in (process / "cmdline").read_bytes()
                and (process / "cwd").readlink() == data
            ):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def steps(job: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["status"] for step in job["steps"]}


def test_a_scan_leaves_a_document_for_each_server_in_the_order_asked(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls()

    job = call.finished(call.submit_scan("web2", "localhost"))

    assert (job["status"], job["error"]) == ("completed", None)
    assert steps(job) == {"configtest": "completed", "scan": "completed", "report": "completed"}
    assert [result["server"] for result in job["results"]] == ["web2", "localhost"]
    assert (job["steps"][2]["done"], job["steps"][2]["total"]) == (2, 2)


def test_a_document_comes_byte_for_byte(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls(report='for path in pathlib.Path(options["results-dir"]).glob("*/*.json"):'
               ' path.write_bytes(b"{\\xff \\x00 not json")')  # fmt: skip

    job = call.finished(call.submit_scan())
    status, headers, document = call.send("GET", job["results"][0]["url"], None, HEADERS)

    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert document == b"{\xff \x00 not json"
    assert job["results"][0]["size"] == len(document)
    assert call("GET", f"/jobs/{job['id']}/results/1")[0] == 404


def test_a_server_without_a_document_fails_the_job_but_keeps_the_others(
    call: Caller, fakes: FakeTools
) -> None:
    scan = """
    leave("localhost")
    print('time="x" level=error msg="Timed out: web1"')
    sys.exit(1)
    """
    fakes.vuls(scan=scan)

    job = call.finished(call.submit_scan("localhost", "web1"))

    assert job["status"] == "failed"
    assert job["error"] == "Vuls left no result for web1. Timed out: web1"
    assert [result["server"] for result in job["results"]] == ["localhost"]


def test_a_scan_with_an_unreachable_server_completes_and_says_so(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls(scan='leave(*servers)\nprint("Failed to reach \\x1b[31mweb1\\x1b[0m")\nsys.exit(1)')

    job = call.finished(call.submit_scan("localhost", "web1"))

    assert job["status"] == "completed"
    assert job["steps"][1]["message"] == "Failed to reach web1"


def test_a_configuration_that_vuls_refuses_stops_the_job_with_its_words(
    call: Caller, fakes: FakeTools
) -> None:
    fakes.vuls(configtest="print('level=error msg=\"Specify only one of offline, fast\"')\nsys.exit(2)")

    job = call.finished(call.submit_scan())

    assert (job["status"], job["error"]) == ("failed", "Specify only one of offline, fast")
    assert steps(job) == {"configtest": "failed", "scan": "skipped", "report": "skipped"}


def test_a_configtest_that_finds_fault_does_not_keep_the_scan_from_trying(
    call: Caller, fakes: FakeTools
) -> None:
    fakes.vuls(configtest='print("Error: debian-goodies is not installed")\nsys.exit(1)')

    job = call.finished(call.submit_scan())

    assert job["status"] == "completed"
    assert steps(job)["configtest"] == "failed"
    assert job["steps"][0]["message"] == "Error: debian-goodies is not installed"


def test_one_servers_failing_report_leaves_the_others_theirs(call: Caller, fakes: FakeTools) -> None:
    report = """
    if list(pathlib.Path(options["results-dir"]).glob("*/web1.json")):
        print('level=error msg="OVAL entries of alpine are not found"')
        sys.exit(1)
    look_up()
    """
    fakes.vuls(report=report)

    job = call.finished(call.submit_scan("web1", "localhost"))
    documents = [call.send("GET", result["url"], None, HEADERS)[2] for result in job["results"]]

    assert job["status"] == "completed"
    assert job["steps"][2]["status"] == "failed"
    assert job["steps"][2]["message"] == "web1: OVAL entries of alpine are not found"
    assert [b"2026-01-01" in document for document in documents] == [False, True]


def test_containers_documents_come_with_their_servers(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls(scan='leave("db@web1", "localhost", "web1", "stranger")')

    job = call.finished(call.submit_scan("localhost", "web1"))

    assert [result["server"] for result in job["results"]] == ["localhost", "db@web1", "web1"]


def test_a_missing_tool_fails_the_job_with_what_to_do(call: Caller) -> None:
    job = call.finished(call.submit_scan())

    assert job["status"] == "failed"
    assert job["error"] == (
        "vuls was not found on this machine: run `make tools`"
        " or set VULSWEB_TOOLS_DIR to the folder that holds it."
    )


@pytest.mark.parametrize(
    ("crash", "sentence"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "ended by signal 9"),
        ("sys.exit(3)", "exit code 3 and no word"),
    ],
)
def test_a_crashing_scanner_is_told_apart(call: Caller, fakes: FakeTools, crash: str, sentence: str) -> None:
    fakes.vuls(scan=crash)

    job = call.finished(call.submit_scan())

    assert job["status"] == "failed"
    assert sentence in job["error"]


def test_a_tool_that_takes_too_long_fails_the_job(
    variables: dict[str, str], start: Callable[[], Flask], fakes: FakeTools, tool: Callable[[], int]
) -> None:
    variables["EXECUTOR_STEP_TIMEOUT_SECONDS"] = "1"
    fakes.vuls(scan=SLEEP)
    call = caller_of(start())

    job = call.finished(call.submit_scan())

    assert (job["status"], job["error"]) == ("failed", "vuls did not end within 1 seconds.")
    until(lambda: not is_alive(tool()))


def test_the_log_shows_what_the_tools_say_while_they_say_it(
    call: Caller, fakes: FakeTools, tool: Callable[[], int]
) -> None:
    fakes.vuls(scan=SLEEP_AFTER_WORDS)
    job_id = call.submit_scan()
    tool()

    status, reply = until(
        lambda: seen if "working" in (seen := call("GET", f"/jobs/{job_id}/logs"))[1]["text"] else None
    )

    assert status == 200
    assert (reply["offset"], reply["ended"]) == (0, False)
    assert call("GET", f"/jobs/{job_id}/logs?offset={reply['next_offset']}")[1]["text"] == ""


def test_hostile_output_is_kept_as_it_came_and_shown_as_text(
    call: Caller, fakes: FakeTools, data: Path
) -> None:
    hostile = b"\x00\xff\x1b[31m<script>\xc3"
    fakes.vuls(scan=f"os.write(1, {hostile!r})\nleave(*servers)")

    job = call.finished(call.submit_scan())
    reply = call("GET", f"/jobs/{job['id']}/logs")[1]

    assert hostile in (data / "jobs" / job["id"] / "log").read_bytes()
    assert "\x00\ufffd\x1b[31m<script>\ufffd" in reply["text"]
    assert (reply["next_offset"], reply["ended"]) == (job["log_size"], True)


def test_cancelling_a_running_job_ends_its_tool(
    call: Caller, fakes: FakeTools, tool: Callable[[], int]
) -> None:
    fakes.vuls(scan="signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP)
    job_id = call.submit_scan()
    pid = tool()

    status, _ = call("DELETE", f"/jobs/{job_id}")
    job = call.finished(job_id)

    assert status == 202
    assert (job["status"], job["error"]) == ("cancelled", None)
    assert steps(job) == {"configtest": "completed", "scan": "cancelled", "report": "skipped"}
    until(lambda: not is_alive(pid))


def test_cancelling_an_ended_job_changes_nothing(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls()
    job = call.finished(call.submit_scan())

    assert call("DELETE", f"/jobs/{job['id']}") == (200, job)
    assert call.job(job["id"]) == job


def test_jobs_beyond_the_limit_wait_and_one_that_waits_is_cancelled_at_once(
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


def test_many_jobs_all_come_to_their_end_with_no_more_runners_than_slots(
    call: Caller, fakes: FakeTools, data: Path
) -> None:
    fakes.vuls()
    ids = [call.submit_scan("localhost") for _ in range(6)]

    most = max(len(runners(data)) for _ in range(5))
    ended = [call.finished(job_id)["status"] for job_id in ids]

    assert ended == ["completed"] * 6
    assert most <= 2
    until(lambda: not runners(data))


def test_a_runner_that_is_killed_leaves_a_lost_job_and_no_tool(
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


def test_a_runner_that_is_told_to_end_stops_its_tool_and_says_so(
    call: Caller, fakes: FakeTools, tool: Callable[[], int], data: Path
) -> None:
    fakes.vuls(scan=SLEEP)
    job_id = call.submit_scan()
    pid = tool()

    for runner in runners(data):
        os.kill(runner, signal.SIGTERM)

    assert call.finished(job_id)["status"] == "lost"
    assert not is_alive(pid)


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


def test_a_restart_takes_up_what_waits_and_tells_what_was_lost(
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


def test_all_databases_go_on_past_those_that_fail(call: Caller, fakes: FakeTools) -> None:
    fakes.fetcher("go-cve-dictionary", 'print("Failed to HTTP GET."); sys.exit(1)')
    fakes.fetcher("gost", 'fill(sys.argv[2] + "_cves", 5)')

    job = call.finished(call.submit_update("all"))

    assert job["status"] == "completed"
    assert steps(job) == {
        **dict.fromkeys(("nvd", "ubuntu", "debian", "redhat", "amazon", "alpine"), "failed"),
        **dict.fromkeys(("gost_ubuntu", "gost_debian", "gost_redhat"), "completed"),
    }
    assert job["steps"][0]["message"] == "Failed to HTTP GET."
    assert "goval-dictionary was not found" in job["steps"][1]["message"]
    assert {name: database["rows"] for name, database in job["databases"].items()} == {
        "gost_ubuntu": 5,
        "gost_debian": 5,
        "gost_redhat": 5,
    }


def test_a_database_job_of_which_nothing_came_failed(call: Caller, fakes: FakeTools) -> None:
    fakes.fetcher("gost", 'open(path, "wb").write(b"half a fi"); print("fatal: no network"); sys.exit(1)')

    job = call.finished(call.submit_update("gost_debian"))

    assert (job["status"], job["error"], job["databases"]) == ("failed", "fatal: no network", {})


def test_a_failing_fetch_keeps_the_last_good_database_for_reports(
    call: Caller, fakes: FakeTools, data: Path
) -> None:
    fakes.vuls(report='print(pathlib.Path(options["config"]).read_text())\nlook_up()')
    fakes.fetcher("gost", 'fill("debian_cves", 10)')
    call.finished(call.submit_update("gost_debian"))
    fakes.fetcher("gost", 'fill("debian_cves", 2)')

    failed = call.finished(call.submit_update("gost_debian"))
    scan = call.finished(call.submit_scan())

    assert "shrink from 10 to 2" in failed["error"]
    assert scan["databases"]["gost_debian"]["rows"] == 10
    live, log = data / "databases" / "gost.sqlite3", call.log(scan["id"])
    assert f'SQLite3Path = "{live}"' in log
    assert f'SQLite3Path = "{data}/jobs/{scan["id"]}/work/scratch/oval.sqlite3"' in log


def test_cancelling_a_fetch_leaves_nothing_behind(
    call: Caller, fakes: FakeTools, tool: Callable[[], int], data: Path
) -> None:
    fakes.fetcher("gost", 'fill("debian_cves", 3)\n' + SLEEP)
    job_id = call.submit_update("gost_debian")
    tool()

    call("DELETE", f"/jobs/{job_id}")
    job = call.finished(job_id)

    assert (job["status"], job["databases"]) == ("cancelled", {})
    assert list((data / "databases").glob("*.sqlite3*")) == []
    assert list((data / "databases" / "staging").iterdir()) == []


def test_a_scan_is_not_held_up_by_updates(call: Caller, fakes: FakeTools, tool: Callable[[], int]) -> None:
    fakes.vuls()
    fakes.fetcher("gost", SLEEP)
    updates = [call.submit_update(name) for name in ("gost_debian", "gost_ubuntu", "gost_redhat")]
    tool()

    scan = call.finished(call.submit_scan())

    assert scan["status"] == "completed"
    assert call.job(updates[0])["status"] == "running"
    assert call.job(updates[2])["status"] == "queued"
