"""From Run Now to findings: the real worker functions against the real executor."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import NOW, executors_at
from tests.contract.conftest import Tools, accept, follow, stumble
from tests.support.waiting import wait_for
from vulsweb import messages, worker
from vulsweb.executors.client import ExecutorClient, ExecutorUnavailable, JobRejected, JobUnknown
from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.models import Host, Result, Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import lifecycle, logs, scan_results, starting
from vulsweb.tasks import editing as task_editing

MakeTask = Callable[..., ScheduledTask]
MakeDocument = Callable[..., str]

pytestmark = pytest.mark.usefixtures("executor_server")


@pytest.fixture
def scan(executor_server: str, make_task: MakeTask) -> ScheduledTask:
    host = db.session.scalars(select(Host)).one()
    return make_task(host_id=host.id)


def start(task: ScheduledTask, when: datetime | None = None) -> Run:
    run = starting.start(task, trigger=Trigger.PERSON, now=when or datetime.now(UTC))
    db.session.commit()
    return run


def update_database(make_task: MakeTask, name: str = "gost_debian") -> Run:
    run = start(make_task(task_type="db_update", database_type=name))
    worker.launch_runs([run.id])
    return follow(run)


@pytest.fixture
def client(app: Flask, executor_server: str) -> Iterator[ExecutorClient]:
    with ExecutorClient(app.config["EXECUTORS"][0]) as made:
        yield made


def expect_cancelled(client: ExecutorClient, job_id: str) -> None:
    wait_for(lambda: client.jobs([job_id])[job_id].ended, 30)
    assert client.jobs([job_id])[job_id].status == "cancelled"


def test_a_scan_goes_from_run_now_to_findings(
    scan: ScheduledTask, make_task: MakeTask, tools: Tools, document: MakeDocument
) -> None:
    tools.vuls({"host-1": document("CVE-2026-1", "CVE-2026-2")})
    update_database(make_task)
    run = start(scan)

    worker.launch_runs([run.id])
    follow(run)

    assert (run.status, run.reason) == (RunStatus.SUCCESS, None)
    assert [step["name"] for step in run.steps] == ["configtest", "scan", "report"]
    assert {step["status"] for step in run.steps} == {"completed"}
    assert [seen.finding.cve_id for seen in storage.of_run(run.id)] == ["CVE-2026-1", "CVE-2026-2"]
    log, _ = logs.read_from(run.id, 0)
    assert "vuls scan" in log


def test_a_database_update_says_how_many_rows_there_are(make_task: MakeTask) -> None:
    run = update_database(make_task)

    assert run.status is RunStatus.SUCCESS
    assert run.result_data is not None
    assert run.result_data["databases"][0]["rows"] == 2


def test_an_update_of_all_databases_names_the_failed_ones(make_task: MakeTask) -> None:
    run = update_database(make_task, "all")

    assert run.status is RunStatus.PARTIAL
    assert str(run.reason).startswith("1 of 9 databases updated. Failed: nvd, ubuntu, debian,")
    assert "go-cve-dictionary was not found" in run.steps[0]["message"]
    assert len(run.steps) == 9


def test_a_scan_without_a_database_is_partial_and_says_so(
    scan: ScheduledTask, tools: Tools, document: MakeDocument
) -> None:
    tools.vuls({"host-1": document()})
    run = start(scan)

    worker.launch_runs([run.id])
    follow(run)

    assert run.status is RunStatus.PARTIAL
    assert "no vulnerability database for debian, so nothing" in str(run.reason)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ("{", "cannot be read"),
        ('{"jsonVersion": 4}', "serverName is missing"),
        ('{"jsonVersion": 4, "serverName": "x", "family": 1}', "family is not text"),
    ],
)
def test_a_malformed_result_fails_the_run_and_nothing_is_written(
    scan: ScheduledTask, tools: Tools, left: str, said: str
) -> None:
    tools.vuls({"host-1": left})
    run = start(scan)

    worker.launch_runs([run.id])
    follow(run)

    assert run.status is RunStatus.FAILED
    assert said in str(run.reason)
    assert db.session.scalars(select(Result)).all() == []


def test_a_result_with_errors_fails_the_run_with_the_first_of_them(
    scan: ScheduledTask, tools: Tools, document: MakeDocument
) -> None:
    tools.vuls({"host-1": document("CVE-1", errors=["Failed to connect."])}, exit={"scan": 1, "report": 1})
    run = start(scan)

    worker.launch_runs([run.id])
    follow(run)

    assert (run.status, run.reason) == (RunStatus.FAILED, "host-1: Failed to connect.")


def test_hostile_output_is_stored_without_harm(
    scan: ScheduledTask, tools: Tools, document: MakeDocument
) -> None:
    tools.vuls({"host-1": document(family="deb\x00ian")}, noise="\x00\x1b[31m\u202e<script>\udc80")
    run = start(scan)

    worker.launch_runs([run.id])
    follow(run)

    log, _ = logs.read_from(run.id, 0)
    assert "\x00" not in log
    assert "<script>" in log
    assert run.status is RunStatus.PARTIAL


def test_names_of_a_hostile_host_are_stored_without_harm(
    scan: ScheduledTask, make_task: MakeTask, tools: Tools, document: MakeDocument
) -> None:
    # Go, in which Vuls is written, never writes half a surrogate pair: it writes this sign.
    evil = "\x00\N{REPLACEMENT CHARACTER}\x1b[31m"
    left = json.loads(document())
    left["release"] = evil
    left["packages"][evil] = {"version": evil, "release": evil}
    package = {"name": evil, "fixedIn": evil, "fixState": evil}
    left["scannedCves"] = {
        f"CVE-1{evil}": {"affectedPackages": [package], "cveContents": {"nvd": [{"title": evil}]}},
        "CVE-1\N{REPLACEMENT CHARACTER}\x00\x1b[31m": {"affectedPackages": [package]},
    }
    tools.vuls({"host-1": json.dumps(left)})
    update_database(make_task)
    run = start(scan)

    worker.launch_runs([run.id])
    follow(run)

    assert run.status is RunStatus.PARTIAL
    assert "does not know Debian \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} [31m: nothing" in str(
        run.reason
    )
    (seen,) = storage.of_run(run.id)
    assert seen.finding.cve_id.startswith("CVE-1")
    assert seen.finding.packages[0].name == seen.finding.packages[0].fixed_in != ""


def test_a_run_whose_results_cannot_be_stored_fails_alone(
    scan: ScheduledTask, make_task: MakeTask, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.vuls({"host-1": "{}"})
    update = start(make_task(task_type="db_update", database_type="gost_debian"))
    run = start(scan)
    worker.launch_runs([run.id, update.id])
    monkeypatch.setattr(scan_results, "store_documents", stumble)
    follow(run)
    follow(update)

    assert (run.status, update.status) == (RunStatus.FAILED, RunStatus.SUCCESS)
    assert "could not be stored" in str(run.reason)


def test_a_job_whose_log_cannot_be_stored_is_stopped(
    scan: ScheduledTask, tools: Tools, client: ExecutorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.hold()
    run = start(scan)
    worker.launch_runs([run.id])
    monkeypatch.delattr(logs, "append")

    follow(run)

    assert run.status is RunStatus.FAILED
    expect_cancelled(client, run.jobs[0].id)


def test_a_repeated_launch_makes_no_second_job(
    scan: ScheduledTask, tools: Tools, document: MakeDocument, tmp_path: Path
) -> None:
    tools.vuls({"host-1": document()})
    run = start(scan)

    worker.launch_runs([run.id, run.id])
    worker.launch_runs([run.id])
    follow(run)

    assert len(list((tmp_path / "executor" / "jobs").glob("*/job.json"))) == 1


def test_cancel_really_stops_the_job(scan: ScheduledTask, tools: Tools, client: ExecutorClient) -> None:
    tools.hold()
    run = start(scan)
    worker.launch_runs([run.id])
    follow(run, until=lambda run: any(step["status"] == "running" for step in run.steps))

    lifecycle.cancel(run, datetime.now(UTC))
    db.session.commit()
    follow(run)

    assert run.status is RunStatus.CANCELLED
    assert client.jobs([run.jobs[0].id])[run.jobs[0].id].status == "cancelled"


def test_deleting_a_task_stops_its_job(scan: ScheduledTask, tools: Tools, client: ExecutorClient) -> None:
    tools.hold()
    run = start(scan)
    worker.launch_runs([run.id])
    job_id = run.jobs[0].id

    jobs = task_editing.delete(scan)
    db.session.commit()
    for executor, job_id in jobs:
        worker.stop_jobs(executor, [job_id])

    expect_cancelled(client, job_id)


def test_a_run_cancelled_while_its_worker_was_away_is_never_submitted(scan: ScheduledTask) -> None:
    run = start(scan, NOW)
    lifecycle.claim(run.id, NOW)
    lifecycle.cancel(run, NOW)
    db.session.commit()

    worker.launch_runs([run.id])

    db.session.refresh(run)
    assert run.status is RunStatus.CANCELLED


def test_a_host_removed_from_the_configuration_fails_the_run_with_a_reason(
    make_task: MakeTask, make_host: Callable[..., Host]
) -> None:
    run = start(make_task(host_id=make_host("gone").id))

    worker.launch_runs([run.id])

    db.session.refresh(run)
    assert run.status is RunStatus.FAILED
    assert run.reason == "There is no server 'gone' in config.toml."


def test_a_run_waits_for_an_executor_that_is_down_and_continues_when_it_is_back(
    app: Flask,
    scan: ScheduledTask,
    tools: Tools,
    document: MakeDocument,
    sent: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tools.vuls({"host-1": document()})
    run = start(scan)
    with monkeypatch.context() as away:
        away.setitem(app.config, "EXECUTORS", executors_at("http://127.0.0.1:1"))
        worker.launch_runs([run.id])
        worker.follow_runs()
        worker.sweep()
    db.session.refresh(run)
    waiting = (run.status, run.reason)

    run.heartbeat_at = datetime.now(UTC) - timedelta(seconds=61)
    db.session.commit()
    worker.sweep()
    worker.launch_runs(sent)
    follow(run)

    assert waiting[0] is RunStatus.STARTING
    assert "executor does not answer" in str(waiting[1])
    assert sent == [run.id]
    assert run.status is RunStatus.PARTIAL


def test_a_wrong_key_fails_the_run_and_says_which_setting(
    app: Flask, scan: ScheduledTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "EXECUTORS", executors_at(app.config["EXECUTORS"][0].url, "x" * 32))
    run = start(scan)

    worker.launch_runs([run.id])

    db.session.refresh(run)
    assert run.status is RunStatus.FAILED
    assert "EXECUTOR_API_KEY" in str(run.reason)


def test_a_run_whose_job_the_executor_has_lost_fails_after_a_minute(scan: ScheduledTask) -> None:
    earlier = datetime.now(UTC) - timedelta(minutes=2)
    run = start(scan, earlier)
    lifecycle.claim(run.id, earlier)
    accept(run, earlier)
    db.session.commit()

    worker.sweep()

    db.session.refresh(run)
    assert run.status is RunStatus.FAILED
    assert "no longer knows this job" in str(run.reason)


def test_a_run_past_its_deadline_is_stopped_at_the_executor(
    scan: ScheduledTask, tools: Tools, client: ExecutorClient
) -> None:
    tools.hold()
    run = start(scan)
    worker.launch_runs([run.id])
    run.started_at = datetime.now(UTC) - timedelta(hours=7)
    db.session.commit()

    worker.sweep()

    db.session.refresh(run)
    assert run.status is RunStatus.TIMEOUT
    assert client.jobs([run.jobs[0].id])[run.jobs[0].id].status in ("cancelled", "running")


def test_a_tick_sends_what_is_due(scan: ScheduledTask, sent: list[int]) -> None:
    scan.next_run_at = datetime.now(UTC) - timedelta(minutes=5)
    db.session.commit()

    count = worker.tick()

    assert count == 1
    assert sent == list(db.session.scalars(select(Run.id)))


def test_lost_messages_are_sent_again(scan: ScheduledTask, sent: list[int]) -> None:
    run = start(scan, NOW)

    worker.sweep()

    assert sent == [run.id]


def test_with_redis_down_a_run_is_left_to_the_sweep(scan: ScheduledTask) -> None:
    run = start(scan)

    assert messages.send_runs([run.id]) is False
    db.session.refresh(run)
    assert run.status is RunStatus.QUEUED


def test_the_client_distinguishes_rejections_from_no_answer(client: ExecutorClient) -> None:
    with pytest.raises(JobRejected, match="no server 'nobody'"):
        client.submit("0" * 32, {"servers": ["nobody"], "scan_type": "fast"})
    with pytest.raises(JobUnknown):
        client.cancel("0" * 32)
    with (
        ExecutorClient(executors_at("http://127.0.0.1:1")[0]) as nobody,
        pytest.raises(ExecutorUnavailable, match="does not answer"),
    ):
        nobody.health()
    assert client.health()["tools"]["gost"] is not None
    assert client.jobs(["0" * 32]) == {}


def test_a_database_of_another_profile_fails_its_run_with_the_reason(make_task: MakeTask) -> None:
    run = start(make_task(task_type="db_update", database_type="vuls2"))

    worker.launch_runs([run.id])

    db.session.refresh(run)
    assert run.status is RunStatus.FAILED
    assert "whose Vuls does not read vuls2: fetching it has no effect." in str(run.reason)
