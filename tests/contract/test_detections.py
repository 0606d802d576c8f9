"""Detections: the packages of earlier scans, checked again after a database update."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy import update as sql_update

from tests.conftest import NOW
from tests.contract.conftest import Tools, follow
from vulsweb import messages, worker
from vulsweb.executors import settings as executor_settings
from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.hosts import config_sync
from vulsweb.models import (
    Absence,
    Channel,
    Event,
    EventKind,
    Finding,
    Host,
    Result,
    Rule,
    Run,
    RunHost,
    RunStatus,
    ScheduledTask,
    TaskType,
    Trigger,
)
from vulsweb.runs import detections, lifecycle, logs, starting
from vulsweb.vuls import results
from vulsweb.vuls.results import Outcome

MakeTask = Callable[..., ScheduledTask]
MakeDocument = Callable[..., str]
ENTRY = {"affectedPackages": [{"name": "apt", "fixedIn": "2.6.2"}]}

pytestmark = pytest.mark.usefixtures("executor_server")


@pytest.fixture(autouse=True)
def unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send no messages: each test launches its runs itself."""
    monkeypatch.setattr(messages, "send_runs", lambda _run_ids: True)


@pytest.fixture
def task(make_task: MakeTask) -> ScheduledTask:
    """The task that detects again."""
    return make_task(task_type="detection")


@pytest.fixture
def fleet(tmp_path: Path, document: MakeDocument, make_task: MakeTask) -> Callable[..., None]:
    """Have hosts, each with the result of an earlier scan that found these CVEs."""

    def scan(count: int, *cve_ids: str) -> None:
        names = [f"web-{number}" for number in range(count)]
        config = "".join(f'[servers.{name}]\nhost = "{name}"\n' for name in names)
        (tmp_path / "config.toml").write_text(config)
        config_sync.sync(config, NOW)
        run = starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
        for host in db.session.scalars(select(Host).where(Host.name.in_(names))):
            left = document(*cve_ids, serverName=host.name, reportedVersion="0.26.0").encode()
            storage.store(
                run_id=run.id, host=host, document=left, result=results.parse(left), complete=True, now=NOW
            )
            host.last_outcome, host.last_run_id, host.last_scan_at = Outcome.SUCCESS, run.id, NOW
        lifecycle.claim(run.id, NOW)
        lifecycle.end(run, RunStatus.SUCCESS, None, NOW)
        db.session.commit()
        run_now(make_task(task_type="db_update", database_type="gost_debian"))

    return scan


def run_now(task: ScheduledTask) -> Run:
    run = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()
    worker.launch_runs([run.id])
    return follow(run)


def update() -> Run:
    """Update the database again; return the run that the next tick starts."""
    tasks = select(ScheduledTask).where(ScheduledTask.task_type == TaskType.DB_UPDATE)
    run_now(db.session.scalars(tasks).one())
    assert tick() == 1
    run = db.session.scalars(select(Run).order_by(Run.id.desc())).first()
    assert run is not None
    worker.launch_runs([run.id])
    return follow(run)


def tick() -> int:
    """Let beat's minute pass, with no slot due."""
    db.session.execute(sql_update(ScheduledTask).values(next_run_at=None))
    db.session.commit()
    return worker.tick()


def finds(tools: Tools, found: dict[str, list[str]], **said: Any) -> None:
    """Say which CVEs the latest databases have for each host."""
    tools.vuls(finds={name: dict.fromkeys(cve_ids, ENTRY) for name, cve_ids in found.items()}, **said)


def open_findings() -> set[tuple[str, str]]:
    rows = select(Host.name, Finding.cve_id).join(Finding.host).where(Finding.fixed_at.is_(None))
    return {(name, cve_id) for name, cve_id in db.session.execute(rows)}


def run_log(run: Run) -> str:
    return logs.read_from(run.id, 0)[0]


def outcomes(run: Run) -> dict[str, tuple[Outcome | None, str | None]]:
    rows = db.session.scalars(select(RunHost).where(RunHost.run_id == run.id))
    return {row.name: (row.outcome, row.message) for row in rows}


def test_after_an_update_a_new_finding_is_announced_on_exactly_the_right_hosts_of_a_fleet(
    fleet: Callable[..., None], task: ScheduledTask, tools: Tools
) -> None:
    fleet(200, "CVE-2026-1")
    channel = Channel(name="all", url="", timezone="UTC", created_at=NOW)
    channel.rules.append(Rule(kinds=[EventKind.NEW_FINDINGS.value]))
    db.session.add(channel)
    finds(tools, {f"web-{n}": ["CVE-2026-1", *(["CVE-2026-2"] if n in (7, 150) else [])] for n in range(200)})

    run = update()

    assert (run.status, run.trigger, run.task) == (RunStatus.SUCCESS, Trigger.UPDATE, task)
    assert {job.number: len(job.request["documents"]) for job in run.jobs} == {1: 100, 2: 100}
    assert [step["name"] for step in run.steps] == ["report", "report"]
    news = select(Host.name, Finding.cve_id).join(Finding.host).where(Finding.first_run_id == run.id)
    assert sorted(map(tuple, db.session.execute(news))) == [
        ("web-150", "CVE-2026-2"),
        ("web-7", "CVE-2026-2"),
    ]
    assert run.result_data is not None
    assert (run.result_data["opened"], run.result_data["fixed"]) == (2, 0)
    assert run.result_data["host_counts"]["success"] == 200
    assert len(open_findings()) == 202
    assert run_log(run).count("vuls report") == 8
    (event,) = db.session.scalars(select(Event)).all()
    assert (event.title, "web-7" in event.text) == (f"{task.name}: 2 new findings (2 unknown)", True)
    # No host was touched, so the time of its last scan stays.
    assert db.session.scalars(select(Host.last_scan_at).where(Host.name == "web-7")).one() == NOW
    # Only what changed is stored again.
    kept = select(func.count()).select_from(Result).where(Result.run_id == run.id)
    assert db.session.scalar(kept) == 2
    assert {seen.host.name for seen in storage.of_run(run.id)} == {"web-7", "web-150"}


def test_an_update_is_followed_once_and_not_while_another_is_going(
    fleet: Callable[..., None], task: ScheduledTask
) -> None:
    fleet(1)
    updating = db.session.scalars(select(ScheduledTask).where(ScheduledTask.task_type == "db_update")).one()
    run_now(updating)
    going = starting.start(updating, trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()

    assert detections.due() == []
    lifecycle.end(going, RunStatus.FAILED, "No network.", datetime.now(UTC))
    assert detections.due() == [task.id]
    task.active = False
    assert detections.due() == []
    task.active, task.created_at = True, datetime.now(UTC)
    assert detections.due() == []  # it did not exist then
    task.created_at = NOW
    (scan,) = db.session.scalars(select(Run).where(Run.id.in_(select(Result.run_id))))
    scan.started_at = datetime.now(UTC)
    assert detections.due() == []  # the scan began later, so it has seen what is new
    scan.started_at = NOW
    assert tick() == 1
    assert detections.due() == []


@pytest.mark.parametrize(
    ("before", "after"), [(Outcome.PARTIAL, Outcome.SUCCESS), (Outcome.FAILED, Outcome.FAILED)]
)
def test_a_host_without_a_database_is_complete_then_and_one_that_failed_is_not(
    fleet: Callable[..., None], task: ScheduledTask, tools: Tools, before: Outcome, after: Outcome
) -> None:
    fleet(1)
    host = db.session.scalars(select(Host).where(Host.name == "web-0")).one()
    host.last_outcome = before
    db.session.commit()
    finds(tools, {"web-0": ["CVE-2026-1"]})

    run = update()

    db.session.refresh(host)
    assert (host.last_outcome, host.last_run_id == run.id) == (after, after is Outcome.SUCCESS)
    assert (host.last_scan_at, open_findings()) == (NOW, {("web-0", "CVE-2026-1")})


def test_what_the_databases_no_longer_list_is_fixed(
    fleet: Callable[..., None], task: ScheduledTask, tools: Tools
) -> None:
    fleet(2, "CVE-2026-1", "CVE-2026-2")
    finds(tools, {"web-0": ["CVE-2026-1"], "web-1": ["CVE-2026-1", "CVE-2026-2"]})

    run = update()

    assert run.result_data is not None
    assert run.result_data["fixed"] == 1
    assert open_findings() == {("web-0", "CVE-2026-1"), ("web-1", "CVE-2026-1"), ("web-1", "CVE-2026-2")}


def test_a_document_that_vuls_refuses_harms_itself_alone_and_its_findings_stay_open(
    fleet: Callable[..., None], task: ScheduledTask, tools: Tools
) -> None:
    fleet(3, "CVE-2026-1")
    finds(tools, {}, refuses=["web-1"])

    run = update()

    assert run.status is RunStatus.PARTIAL
    assert open_findings() == {("web-1", "CVE-2026-1")}
    assert "web-1: web-1 cannot be read" in str(run.steps[0]["message"])
    outcome, message = outcomes(run)["web-1"]
    assert (outcome, message) == (Outcome.FAILED, "web-1: Vuls did not check its packages. See the log.")


def test_a_host_that_is_scanned_meanwhile_keeps_the_findings_of_that_scan(
    fleet: Callable[..., None], task: ScheduledTask, tools: Tools, document: MakeDocument, make_task: MakeTask
) -> None:
    fleet(2, "CVE-2026-1")
    left = {"web-1": document(serverName="web-1")}
    finds(tools, {"web-0": ["CVE-2026-1"], "web-1": ["CVE-2026-3"]}, documents=left)
    run = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()
    worker.launch_runs([run.id])
    host = db.session.scalars(select(Host).where(Host.name == "web-1")).one()
    scan = starting.start(make_task(host_id=host.id), trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()
    worker.launch_runs([scan.id])
    # The scan is stored first, whichever of the two the executor has done first.
    follow_only(scan)

    follow(run)

    assert scan.status is RunStatus.SUCCESS
    assert outcomes(run)["web-1"] == (Outcome.SUCCESS, detections.SCANNED)
    assert (scan.result_data or {})["opened"] == 1
    assert open_findings() == {("web-0", "CVE-2026-1"), ("web-1", "CVE-2026-3")}


def follow_only(run: Run) -> None:
    """Follow one run while all others stand still."""
    others = select(Run).where(Run.id != run.id, Run.status == RunStatus.RUNNING)
    waiting = db.session.scalars(others).all()
    for other in waiting:
        other.status = RunStatus.STARTING
    db.session.commit()
    follow(run)
    for other in waiting:
        other.status = RunStatus.RUNNING
    db.session.commit()


def test_a_server_that_its_executor_does_not_have_fails_alone(
    fleet: Callable[..., None], task: ScheduledTask, tools: Tools, tmp_path: Path
) -> None:
    fleet(2)
    finds(tools, {"web-0": ["CVE-2026-1"]})
    (tmp_path / "config.toml").write_text('[servers.web-0]\nhost = "web-0"\n')

    run = update()

    assert run.status is RunStatus.PARTIAL
    assert outcomes(run)["web-1"] == (Outcome.FAILED, f"web-1: {detections.UNKNOWN}")
    assert open_findings() == {("web-0", "CVE-2026-1")}


def test_what_a_worker_prepared_before_it_died_is_done_once(
    fleet: Callable[..., None], task: ScheduledTask, tools: Tools
) -> None:
    fleet(2)
    finds(tools, {"web-0": ["CVE-2026-1"]})
    run = starting.start(task, trigger=Trigger.PERSON, now=NOW)
    lifecycle.claim(run.id, NOW)
    detections.prepare(run, executor_settings.configured())
    db.session.commit()

    worker.launch_runs([run.id])
    follow(run)

    assert (run.status, len(run.jobs), len(outcomes(run))) == (RunStatus.SUCCESS, 1, 2)
    assert open_findings() == {("web-0", "CVE-2026-1")}


def test_without_any_result_there_is_nothing_to_do(task: ScheduledTask) -> None:
    run = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()

    worker.launch_runs([run.id])

    db.session.refresh(run)
    assert (run.status, run.reason) == (RunStatus.SKIPPED, detections.NOTHING)


def test_a_detection_that_cannot_begin_says_nothing_about_the_hosts(
    app: Flask, fleet: Callable[..., None], task: ScheduledTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet(1)
    task.absence = Absence.FAIL
    (executor,) = app.config["EXECUTORS"]
    monkeypatch.setitem(
        app.config, "EXECUTORS", (type(executor)(executor.name, "http://127.0.0.1:9", "x" * 32),)
    )
    run = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()

    worker.launch_runs([run.id])

    db.session.refresh(run)
    assert run.status is RunStatus.FAILED
    host = db.session.scalars(select(Host).where(Host.name == "web-0")).one()
    assert (host.last_outcome, host.last_run_id != run.id) == (Outcome.SUCCESS, True)


def test_documents_that_are_large_once_unpacked_do_not_share_a_job(
    fleet: Callable[..., None], task: ScheduledTask, make_task: MakeTask, document: MakeDocument
) -> None:
    fleet(3)
    left = document(serverName="web-1", padding="x" * detections.BYTES_PER_JOB).encode()
    host = db.session.scalars(select(Host).where(Host.name == "web-1")).one()
    before = starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
    found = results.parse(left)
    storage.store(run_id=before.id, host=host, document=left, result=found, complete=True, now=NOW)
    run = starting.start(task, trigger=Trigger.PERSON, now=NOW)

    detections.prepare(run, executor_settings.configured())

    names = [[name for _, name, _ in job.request["documents"]] for job in run.jobs]
    assert names == [["web-0"], ["web-1"], ["web-2"]]


def test_documents_go_to_the_executor_as_their_scan_left_them(
    fleet: Callable[..., None], task: ScheduledTask
) -> None:
    fleet(1, "CVE-2026-1")
    run = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
    detections.prepare(run, executor_settings.configured())

    (entry,) = detections.body(run.jobs[0])["documents"]

    assert (entry["server"], entry["name"]) == ("web-0", "web-0")
    sent = json.loads(msgspec.json.encode(entry["document"]))
    assert (sent["scannedCves"], "config" in sent, len(sent["packages"]) > 10) == ({}, False, True)


def test_an_update_that_changed_nothing_starts_no_detection(
    fleet: Callable[..., None], task: ScheduledTask
) -> None:
    fleet(1, "CVE-2026-1")
    assert tick() == 1
    db.session.execute(sql_update(Run).values(status=RunStatus.SUCCESS, completed_at=NOW))
    tasks = select(ScheduledTask).where(ScheduledTask.task_type == TaskType.DB_UPDATE)
    run = run_now(db.session.scalars(tasks).one())
    assert run.result_data is not None
    (entry,) = run.result_data["databases"]

    run.result_data = {"databases": [entry | {"changed": False}]}
    unchanged = tick()
    run.result_data = {"databases": [entry | {"changed": False}, entry]}
    changed = tick()

    assert entry["changed"] is True
    assert (unchanged, changed) == (0, 1)


@pytest.mark.parametrize("status", [RunStatus.CANCELLED, RunStatus.TIMEOUT])
def test_an_update_that_was_stopped_may_have_changed_something(
    fleet: Callable[..., None], task: ScheduledTask, status: RunStatus
) -> None:
    fleet(1, "CVE-2026-1")
    assert tick() == 1
    db.session.execute(sql_update(Run).values(status=RunStatus.SUCCESS, completed_at=NOW))
    tasks = select(ScheduledTask).where(ScheduledTask.task_type == TaskType.DB_UPDATE)
    run = run_now(db.session.scalars(tasks).one())

    run.status, run.result_data = status, None  # as its job leaves it

    assert tick() == 1
