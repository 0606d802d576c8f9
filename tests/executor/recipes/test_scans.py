"""Scans through the whole executor, with fake tools that fail in every known way."""

import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from tests.executor.callers import HEADERS, Caller, until
from tests.executor.conftest import caller_of
from tests.executor.fakes import FakeTools
from tests.executor.processes import SLEEP, SLEEP_AFTER_OUTPUT, is_alive, steps


def test_a_scan_leaves_a_document_for_each_server_in_the_order_asked(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls()

    job = call.finished(call.submit_scan("web2", "localhost"))

    assert (job["status"], job["error"]) == ("completed", None)
    assert steps(job) == {"configtest": "completed", "scan": "completed", "report": "completed"}
    assert [result["server"] for result in job["results"]] == ["web2", "localhost"]
    assert (job["steps"][2]["done"], job["steps"][2]["total"]) == (2, 2)


def test_a_document_is_sent_byte_for_byte(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls(report='for path in pathlib.Path(options["results-dir"]).glob("*/*.json"):'
               ' path.write_bytes(b"{\\xff \\x00 not json")')  # fmt: skip

    job = call.finished(call.submit_scan())
    status, headers, document = call.send("GET", job["results"][0]["url"], None, HEADERS)

    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert document == b"{\xff \x00 not json"
    assert job["results"][0]["size"] == len(document)
    assert call("GET", f"/jobs/{job['id']}/results/1")[0] == 404


@pytest.mark.parametrize(("where", "first"), [("scan", "leave(*servers)"), ("report", "look_up()")])
def test_a_document_that_is_too_large_is_replaced_by_one_that_says_so(
    variables: dict[str, str], start: Callable[[], Flask], fakes: FakeTools, where: str, first: str
) -> None:
    variables["EXECUTOR_RESULT_MB"] = "1"
    call = caller_of(start())
    grow = """
    for path in pathlib.Path(options["results-dir"]).glob("*/web1.json"):
        path.write_text(path.read_text() + " " * 1_000_000)
    """
    fakes.vuls(**{where: textwrap.dedent(first) + textwrap.dedent(grow)})

    job = call.finished(call.submit_scan("localhost", "web1"))
    documents = {
        result["server"]: json.loads(call.send("GET", result["url"], None, HEADERS)[2])
        for result in job["results"]
    }

    assert job["status"] == "completed"
    assert documents["web1"]["serverName"] == "web1"
    assert documents["web1"]["errors"] == [
        "The result has 1 MB; at most 1 MB are read. If the host is that large, raise EXECUTOR_RESULT_MB."
    ]
    assert documents["localhost"].get("errors", []) == []


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
    unreachable = 'print("Failed to reach \\x1b[31mweb1\\x1b[0m"); sys.exit(1)'
    fakes.vuls(scan=f'leave(*servers)\nif servers == ["web1"]:\n    {unreachable}')

    job = call.finished(call.submit_scan("localhost", "web1"))

    assert job["status"] == "completed"
    assert job["steps"][1]["message"] == "Failed to reach web1"


def test_a_configuration_that_vuls_rejects_stops_the_job_with_its_message(
    call: Caller, fakes: FakeTools
) -> None:
    fakes.vuls(configtest="print('level=error msg=\"Specify only one of offline, fast\"')\nsys.exit(2)")

    job = call.finished(call.submit_scan())

    assert (job["status"], job["error"]) == ("failed", "Specify only one of offline, fast")
    assert steps(job) == {"configtest": "failed", "scan": "skipped", "report": "skipped"}


def test_a_failed_configtest_does_not_stop_the_scan(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls(configtest='print("Error: debian-goodies is not installed")\nsys.exit(1)')

    job = call.finished(call.submit_scan())

    assert job["status"] == "completed"
    assert steps(job)["configtest"] == "failed"
    assert job["steps"][0]["message"] == "Error: debian-goodies is not installed"


def test_one_servers_failing_report_does_not_affect_the_others(call: Caller, fakes: FakeTools) -> None:
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


def test_documents_of_containers_belong_to_their_servers(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls(scan='leave("db@web1", "localhost", "web1", "stranger")')

    job = call.finished(call.submit_scan("localhost", "web1"))

    assert [result["server"] for result in job["results"]] == ["localhost", "db@web1", "web1"]


def test_a_missing_tool_fails_the_job_and_says_what_to_do(call: Caller) -> None:
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
        ("sys.exit(3)", "exit code 3 and no message"),
    ],
)
def test_a_crash_of_the_scanner_fails_the_job_and_names_the_cause(
    call: Caller, fakes: FakeTools, crash: str, sentence: str
) -> None:
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


def test_the_log_shows_output_while_the_tools_run(
    call: Caller, fakes: FakeTools, tool: Callable[[], int]
) -> None:
    fakes.vuls(scan=SLEEP_AFTER_OUTPUT)
    job_id = call.submit_scan()
    tool()

    status, reply = until(
        lambda: seen if "working" in (seen := call("GET", f"/jobs/{job_id}/logs"))[1]["text"] else None
    )

    assert status == 200
    assert (reply["offset"], reply["ended"]) == (0, False)
    assert call("GET", f"/jobs/{job_id}/logs?offset={reply['next_offset']}")[1]["text"] == ""


def test_hostile_output_is_stored_unchanged_and_shown_as_text(
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


def test_a_connection_test_of_a_rejected_configuration_completes_with_that_outcome(
    call: Caller, fakes: FakeTools
) -> None:
    fakes.vuls(configtest="print('level=error msg=\"Specify only one of offline, fast\"')\nsys.exit(2)")

    job = call.finished(call.submit_scan(scan_type="configtest"))

    assert (job["status"], steps(job)) == ("completed", {"configtest": "failed"})
    assert [(test["server"], test["outcome"], test["line"]) for test in job["tests"]] == [
        ("localhost", "configuration", "Specify only one of offline, fast")
    ]


def test_a_badly_configured_server_does_not_affect_the_others(call: Caller, fakes: FakeTools) -> None:
    refuse = "print('level=error msg=\"Specify only one of offline, fast\"'); sys.exit(2)"
    fakes.vuls(**{name: f'if servers == ["web1"]: {refuse}\n{then}' for name, then in
                  (("configtest", "pass"), ("scan", "leave(*servers)"))})  # fmt: skip

    job = call.finished(call.submit_scan("web1", "localhost"))

    assert [result["server"] for result in job["results"]] == ["localhost"]
    assert job["error"] == "Vuls left no result for web1. web1: Specify only one of offline, fast"


def test_log_lines_of_several_servers_begin_with_the_server(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls(scan='os.write(1, b"whole\\nha")\ntime.sleep(0.2)\nos.write(1, b"lf")\nleave(*servers)')

    log = call.log(call.finished(call.submit_scan("web1", "web2"))["id"])

    for server in ("web1", "web2"):
        assert f"[{server}] whole\n" in log
        assert f"[{server}] half\n" in log
