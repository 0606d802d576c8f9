"""The overlap rule against the real executor."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import executors_at, handle_messages
from tests.contract.conftest import Tools, accept, follow
from vulsweb import worker
from vulsweb.executors import settings as executor_settings
from vulsweb.executors.client import ExecutorClient
from vulsweb.extensions import db
from vulsweb.models import Host, Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import lifecycle, starting, targets

MakeTask = Callable[..., ScheduledTask]
pytestmark = pytest.mark.usefixtures("executor_server")


@pytest.fixture
def client(app: Flask, executor_server: str) -> Iterator[ExecutorClient]:
    with ExecutorClient(app.config["EXECUTORS"][0]) as made:
        yield made


@pytest.fixture
def make_scan(executor_server: str, make_task: MakeTask) -> Callable[[str], ScheduledTask]:
    """Make a scan of host-1 with an overlap rule."""
    host = db.session.scalars(select(Host)).one()
    return lambda rule: make_task(host_id=host.id, overlap=rule, cron_expression="* * * * *")


def start(task: ScheduledTask) -> Run:
    run = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()
    worker.launch_runs([run.id])
    db.session.refresh(run)
    return run


def scans(run: Run) -> bool:
    return any(step["name"] == "scan" and step["status"] == "running" for step in run.steps)


def test_replace_really_stops_the_job_and_then_starts_the_new_run(
    make_scan: Callable[[str], ScheduledTask], tools: Tools, client: ExecutorClient, sent: list[int]
) -> None:
    task = make_scan("replace")
    tools.hold()
    old = follow(start(task), until=scans)

    new = start(task)
    while_it_stops = new.status
    follow(old)
    woken = list(sent)
    worker.launch_runs(woken)
    follow(new, until=scans)

    assert while_it_stops is RunStatus.QUEUED
    assert (old.status, old.reason) == (RunStatus.CANCELLED, f"Replaced by run {new.id}.")
    assert client.jobs([old.jobs[0].id])[old.jobs[0].id].status == "cancelled"
    assert woken == [new.id]
    assert client.jobs([new.jobs[0].id])[new.jobs[0].id].status == "running"


def test_a_slot_replaces_too(
    make_scan: Callable[[str], ScheduledTask], tools: Tools, client: ExecutorClient, sent: list[int]
) -> None:
    task = make_scan("replace")
    tools.hold()
    old = follow(start(task), until=scans)
    task.next_run_at = datetime.now(UTC).replace(second=0, microsecond=0)
    db.session.commit()

    slot_runs = starting.start_due_tasks(now=datetime.now(UTC))
    db.session.commit()
    follow(old)

    assert sent == slot_runs
    assert client.jobs([old.jobs[0].id])[old.jobs[0].id].status == "cancelled"


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_waiting_run_starts_however_the_earlier_run_ends(
    make_scan: Callable[[str], ScheduledTask], tools: Tools, sent: list[int], cancelled: bool
) -> None:
    task = make_scan("wait")
    tools.hold()
    first = follow(start(task), until=scans)
    second = start(task)
    waiting = (second.status, second.reason)

    if cancelled:
        lifecycle.cancel(first, datetime.now(UTC))
        db.session.commit()
    else:
        tools.let_go()
    follow(first)
    tools.let_go()
    worker.launch_runs(sent)
    follow(second)

    assert waiting == (RunStatus.QUEUED, f"Waiting for run {first.id} to end.")
    assert sent == [second.id]
    assert second.started_at is not None
    assert first.completed_at is not None
    assert second.started_at >= first.completed_at


def test_a_waiting_run_starts_when_the_executor_rejects_the_earlier_run(
    make_scan: Callable[[str], ScheduledTask], sent: list[int]
) -> None:
    task = make_scan("wait")
    first = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
    first.request = {"servers": ["nobody"], "scan_type": "fast"}
    db.session.commit()
    earlier = lifecycle.claim(first.id, datetime.now(UTC) - timedelta(minutes=2))
    assert earlier is not None
    second = start(task)

    worker.launch_runs([first.id])

    db.session.refresh(first)
    assert first.status is RunStatus.FAILED
    assert sent == [second.id]


def test_a_deadline_stops_the_job_and_starts_the_waiting_run(
    make_scan: Callable[[str], ScheduledTask], tools: Tools, sent: list[int]
) -> None:
    task = make_scan("wait")
    tools.hold()
    first = follow(start(task), until=scans)
    second = start(task)
    first.started_at = datetime.now(UTC) - timedelta(hours=7)
    db.session.commit()

    worker.sweep()

    db.session.refresh(first)
    assert first.status is RunStatus.TIMEOUT
    assert sent == [second.id]


def test_a_lost_job_starts_the_waiting_run(
    make_scan: Callable[[str], ScheduledTask], sent: list[int]
) -> None:
    task = make_scan("wait")
    earlier = datetime.now(UTC) - timedelta(minutes=2)
    lost = starting.start(task, trigger=Trigger.PERSON, now=earlier)
    db.session.commit()
    lifecycle.claim(lost.id, earlier)
    accept(lost, earlier)
    db.session.commit()
    second = start(task)

    worker.sweep()

    db.session.refresh(lost)
    assert lost.status is RunStatus.FAILED
    assert sent == [second.id]


def test_a_lost_message_for_a_waiting_run_is_repaired_by_the_sweep(
    make_scan: Callable[[str], ScheduledTask], tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_scan("wait")
    tools.hold()
    first = follow(start(task), until=scans)
    second = start(task)
    second.created_at = datetime.now(UTC) - timedelta(minutes=2)
    db.session.commit()
    tools.let_go()
    follow(first)  # with Redis away
    sent: list[int] = []
    handle_messages(monkeypatch, "launch_runs", sent.extend)

    worker.sweep()

    assert sent == [second.id]


def test_a_job_submitted_by_a_dead_worker_is_stopped_before_its_run_ends(
    make_scan: Callable[[str], ScheduledTask], tools: Tools, client: ExecutorClient
) -> None:
    tools.hold()
    earlier = datetime.now(UTC) - timedelta(minutes=2)
    run = starting.start(make_scan("replace"), trigger=Trigger.PERSON, now=earlier)
    lifecycle.claim(run.id, earlier)
    targets.prepare(run, executor_settings.configured())
    client.submit(run.jobs[0].id, run.jobs[0].request)  # and the worker that asked is killed
    lifecycle.cancel(run, datetime.now(UTC))
    db.session.commit()

    worker.launch_runs([run.id])
    follow(run)

    assert run.status is RunStatus.CANCELLED
    assert client.jobs([run.jobs[0].id])[run.jobs[0].id].status == "cancelled"


def test_a_cancelled_run_stays_active_while_its_executor_does_not_answer(
    app: Flask, make_scan: Callable[[str], ScheduledTask], monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = datetime.now(UTC) - timedelta(minutes=2)
    run = starting.start(make_scan("replace"), trigger=Trigger.PERSON, now=earlier)
    lifecycle.claim(run.id, earlier)
    targets.prepare(run, executor_settings.configured())
    lifecycle.cancel(run, datetime.now(UTC))
    db.session.commit()
    monkeypatch.setitem(app.config, "EXECUTORS", executors_at("http://127.0.0.1:1"))

    worker.launch_runs([run.id])

    db.session.refresh(run)
    assert run.status is RunStatus.STARTING
    assert "Cancelling again within two minutes." in str(run.reason)
