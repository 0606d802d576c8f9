"""Scans of tasks that demand new databases."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask
from sqlalchemy import select

from executor.databases import formats
from tests.conftest import EXECUTOR_KEY
from tests.contract.conftest import Tools, follow
from vulsweb import messages, worker
from vulsweb.executors.settings import Executor
from vulsweb.extensions import db
from vulsweb.models import Host, Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import freshness, starting

MakeTask = Callable[..., ScheduledTask]

pytestmark = pytest.mark.usefixtures("executor_server")


@pytest.fixture(autouse=True)
def sent_on(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The runs that a worker has to begin; each test begins them itself."""
    ids: list[int] = []
    monkeypatch.setattr(messages, "send_runs", ids.extend)
    return ids


@pytest.fixture
def update(make_task: MakeTask) -> ScheduledTask:
    return make_task(task_type="db_update", database_type="gost_debian")


@pytest.fixture
def scan(make_task: MakeTask, tools: Tools, document: Callable[..., str]) -> Callable[..., Run]:
    """Start a scan of a Debian host that demands databases of at most a day."""
    tools.vuls({"host-1": document("CVE-2026-1")})

    def start(rule: str, family: str = "debian") -> Run:
        host = db.session.scalars(select(Host)).one()
        host.family = family
        task = make_task(host_id=host.id, database_hours=24, old_databases=rule)
        run = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
        db.session.commit()
        worker.launch_runs([run.id])
        db.session.refresh(run)
        return run

    return start


@pytest.fixture
def days_ago(update: ScheduledTask, tmp_path: Path) -> Callable[[int], None]:
    """Have the database updated that many days ago."""

    def fetch(days: int) -> None:
        launched(starting.start(update, trigger=Trigger.PERSON, now=datetime.now(UTC)))
        moment = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        path = tmp_path / "executor" / "databases" / "gost.sqlite3"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE {formats.FETCH_TIMES} SET fetched_at = ?", (moment,))  # noqa: S608

    return fetch


def launched(run: Run) -> Run:
    db.session.commit()
    worker.launch_runs([run.id])
    return follow(run)


def look_again(run: Run) -> Run:
    """Let the worker look at a waiting run again, as it does within two minutes."""
    run.heartbeat_at = datetime.now(UTC) - timedelta(minutes=6)
    db.session.commit()
    worker.launch_runs([run.id])
    db.session.refresh(run)
    return run


def updates_for(run: Run) -> list[Run]:
    demanded = select(Run).where(Run.trigger == Trigger.DEMAND, Run.id > run.id)
    return list(db.session.scalars(demanded))


@pytest.mark.parametrize("rule", ["update", "wait", "fail"])
def test_a_scan_with_new_databases_begins_at_once(
    scan: Callable[..., Run], days_ago: Callable[[int], None], rule: str
) -> None:
    days_ago(0)

    run = follow(scan(rule))

    assert run.status is RunStatus.SUCCESS
    assert updates_for(run) == []


def test_old_databases_are_updated_first_and_then_the_scan_begins(
    scan: Callable[..., Run], days_ago: Callable[[int], None], sent_on: list[int]
) -> None:
    days_ago(2)

    run = scan("update")
    waiting, reason = run.status, str(run.reason)
    (demanded,) = updates_for(run)
    follow_up = list(sent_on)
    launched(demanded)
    look_again(run)
    follow(run)

    assert waiting is RunStatus.STARTING
    assert reason == (
        "Databases may be at most 24 hours old here: GOST Debian was updated 48 hours ago."
        f" Waiting for their update: run {demanded.id}. Looking again within two minutes."
    )
    assert follow_up == [demanded.id]
    assert (run.status, run.reason) == (RunStatus.SUCCESS, None)


def test_one_update_is_enough_for_several_scans(
    scan: Callable[..., Run], days_ago: Callable[[int], None]
) -> None:
    days_ago(2)

    first = scan("update")
    second = scan("update")
    look_again(first)

    (demanded,) = updates_for(first)
    assert first.request["updates"] == second.request["updates"] == [demanded.id]


def test_a_scan_fails_if_its_update_brought_nothing(
    scan: Callable[..., Run], days_ago: Callable[[int], None], tools: Tools
) -> None:
    days_ago(2)
    (tools.folder / "gost").write_text("#!/bin/sh\nexit 1\n")

    run = scan("update")
    (demanded,) = updates_for(run)
    launched(demanded)
    look_again(run)

    assert run.status is RunStatus.FAILED
    assert f"They were to be updated first, and still are old: see run {demanded.id}." in str(run.reason)
    assert len(updates_for(run)) == 1


def test_a_scan_fails_if_nothing_updates_its_databases(scan: Callable[..., Run]) -> None:
    run = scan("update")

    assert run.status is RunStatus.FAILED
    assert str(run.reason).endswith(
        "GOST Debian was never updated. No task updates GOST Debian: add a Database Update, or change what"
        " this task demands."
    )


def test_a_scan_waits_until_something_else_has_updated_them(
    scan: Callable[..., Run], days_ago: Callable[[int], None], update: ScheduledTask
) -> None:
    days_ago(2)

    run = scan("wait")
    waiting, reason = look_again(run).status, str(run.reason)
    launched(starting.start(update, trigger=Trigger.PERSON, now=datetime.now(UTC)))
    look_again(run)
    follow(run)

    assert waiting is RunStatus.STARTING
    assert reason.endswith("48 hours ago. Waiting for an update. Looking again within two minutes.")
    assert run.status is RunStatus.SUCCESS
    assert updates_for(run) == []


def test_a_scan_that_may_not_use_old_databases_fails(
    scan: Callable[..., Run], days_ago: Callable[[int], None]
) -> None:
    days_ago(2)

    run = scan("fail")

    assert (run.status, run.reason) == (
        RunStatus.FAILED,
        "Databases may be at most 24 hours old here: GOST Debian was updated 48 hours ago.",
    )


def test_a_database_that_the_hosts_do_not_need_may_be_old(
    scan: Callable[..., Run], days_ago: Callable[[int], None]
) -> None:
    days_ago(2)

    run = scan("fail", family="oracle")

    assert run.status is not RunStatus.FAILED


def test_a_host_whose_system_is_not_known_needs_all_that_is_there(
    scan: Callable[..., Run], days_ago: Callable[[int], None]
) -> None:
    days_ago(2)

    run = scan("fail", family="")

    assert run.status is RunStatus.FAILED
    assert "GOST Debian was updated 48 hours ago" in str(run.reason)


def test_a_first_scan_without_any_database_says_which_one_it_needs(scan: Callable[..., Run]) -> None:
    run = follow(scan("update", family=""))

    assert run.status is RunStatus.PARTIAL
    assert "First run a database update of GOST Debian" in str(run.reason)


def test_a_waiting_scan_can_be_cancelled(scan: Callable[..., Run], days_ago: Callable[[int], None]) -> None:
    days_ago(2)
    run = scan("wait")

    run.cancel_requested_at = datetime.now(UTC)
    look_again(run)

    assert run.status is RunStatus.CANCELLED


def test_a_scan_whose_executor_is_gone_says_that(
    app: Flask, scan: Callable[..., Run], days_ago: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    days_ago(2)
    run = scan("wait")
    monkeypatch.setitem(app.config, "EXECUTORS", (Executor("other", "http://127.0.0.1:1", EXECUTOR_KEY),))

    look_again(run)

    assert run.status is RunStatus.FAILED
    assert "main" in str(run.reason)


def test_an_update_that_is_paused_in_that_moment_is_looked_for_again(
    scan: Callable[..., Run], days_ago: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    days_ago(2)

    def paused(*_: object, **__: object) -> Run:
        raise starting.TaskPaused("Edit the schedule.")

    with monkeypatch.context() as moment:
        errors = {"AlreadyActive": starting.AlreadyActive, "TaskPaused": starting.TaskPaused}
        moment.setattr(freshness, "starting", SimpleNamespace(start=paused, **errors))
        run = scan("update")
    waiting, reason = run.status, str(run.reason)
    look_again(run)

    assert waiting is RunStatus.STARTING
    assert reason.endswith("48 hours ago. Waiting for an update. Looking again within two minutes.")
    assert len(updates_for(run)) == 1
