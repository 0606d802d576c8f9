"""Deleting a task at any moment of its run, with real connections to PostgreSQL."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, select, text

from tests.conftest import NOW, handle_messages
from tests.support.waiting import patience, wait_for
from tests.unit.runs.support import EXECUTORS, LATER, accept, job
from vulsweb import messages
from vulsweb.executors.client import Job
from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import jobs, lifecycle, starting
from vulsweb.tasks import editing as task_editing
from vulsweb.worker import launches

MakeTask = Callable[..., ScheduledTask]


@contextlib.contextmanager
def elsewhere(app: Flask, act: Callable[[], object]) -> Iterator[Future[None]]:
    """Do something in another session at the same time, until the context ends."""

    def run() -> None:
        with app.app_context():
            try:
                act()
                db.session.commit()
            finally:
                db.session.remove()

    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool.submit(run)


def someone_waits_for_a_lock() -> bool:
    with db.engine.connect() as connection:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return bool(connection.scalar(text(waiting)))


def delete(task_id: int) -> None:
    stopped = task_editing.delete(db.session.get_one(ScheduledTask, task_id))
    db.session.commit()
    messages.send_stop(stopped)


def click(task_id: int) -> None:
    starting.start(db.session.get_one(ScheduledTask, task_id), trigger=Trigger.PERSON, now=NOW)


def tick(_task_id: int) -> None:
    starting.start_due_tasks(NOW, wait_for_locks=True)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the jobs that executors were asked to stop."""
    ids: list[str] = []
    handle_messages(monkeypatch, "stop_jobs", lambda _executor, job_ids: ids.extend(job_ids))
    return ids


@pytest.mark.parametrize("act", [delete, click, tick])
def test_a_worker_that_holds_a_run_can_finish_while_others_want_it(
    app: Flask, make_task: MakeTask, stopped: list[str], act: Callable[[int], None]
) -> None:
    """A second write of a run checks its foreign key, for which PostgreSQL locks the task."""
    task = make_task(overlap="replace", cron_expression="* * * * *", next_run_at=NOW)
    run = starting.start(task, trigger=Trigger.PERSON, now=NOW)
    db.session.commit()
    claimed = lifecycle.claim(run.id, NOW)
    assert claimed is not None
    accept(claimed, job("running"), NOW)
    db.session.commit()
    task_id = task.id

    lifecycle.lock(claimed)
    claimed.heartbeat_at = LATER
    db.session.flush()
    with elsewhere(app, lambda: act(task_id)) as other:
        wait_for(someone_waits_for_a_lock, seconds=30)
        claimed.heartbeat_at = LATER + timedelta(seconds=1)
        db.session.commit()

    assert other.exception() is None
    db.session.expire_all()
    left = db.session.scalars(select(Run.status).order_by(Run.id)).all()
    assert left == ([] if act is delete else [RunStatus.RUNNING, RunStatus.QUEUED])


class Executor:
    """Stands in for the clients of the executors; `on_submit` is called while it answers."""

    def __init__(self, on_submit: Callable[[], object] = lambda: None) -> None:
        self.submitted: list[str] = []
        self._on_submit = on_submit

    def ask(self, _executor: str, question: Callable[[Any], Any]) -> Any:
        return question(self)

    def submit(self, job_id: str, _request: object) -> Job:
        self.submitted.append(job_id)
        self._on_submit()
        return job("queued", id=job_id)


@pytest.fixture
def queued(make_task: MakeTask, sent: list[int]) -> Run:
    run = starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
    db.session.commit()
    return run


def delete_elsewhere(app: Flask, task_id: int) -> None:
    with elsewhere(app, lambda: delete(task_id)) as other:
        other.result()


@pytest.fixture
def at_commit() -> Iterator[Callable[[int, Callable[[], None]], None]]:
    """Do something after a given commit of this thread."""
    commits = 0
    number, act = 0, None
    here = threading.get_ident()

    def count(_session: object) -> None:
        nonlocal commits
        if act is not None and threading.get_ident() == here:
            commits += 1
            if commits == number:
                act()

    def plan(which: int, what: Callable[[], None]) -> None:
        nonlocal number, act
        number, act = which, what

    event.listen(db.session, "after_commit", count)
    yield plan
    event.remove(db.session, "after_commit", count)


@pytest.mark.parametrize("commit", [1, 2, 3, 4])
def test_a_worker_is_quiet_when_the_task_is_deleted_between_two_of_its_steps(
    app: Flask,
    queued: Run,
    stopped: list[str],
    at_commit: Callable[[int, Callable[[], None]], None],
    commit: int,
) -> None:
    task_id, executor = queued.task_id, Executor()
    at_commit(commit, lambda: delete_elsewhere(app, task_id))

    ready = launches.launch(executor, EXECUTORS, queued.id)  # type: ignore[arg-type]

    assert ready == []
    assert db.session.scalars(select(ScheduledTask.id)).all() == []
    assert set(executor.submitted) <= set(stopped)


def test_a_job_that_was_submitted_during_the_deletion_is_stopped_after_it(
    app: Flask, queued: Run, stopped: list[str]
) -> None:
    def deleted() -> None:
        delete_elsewhere(app, task_id)
        stopped.append("deleted")

    task_id, executor = queued.task_id, Executor(on_submit=deleted)

    assert launches.launch(executor, EXECUTORS, queued.id) == []  # type: ignore[arg-type]

    # Once by the deletion, perhaps too early, and once by the worker.
    assert stopped == [*executor.submitted, "deleted", *executor.submitted]


def test_a_reply_without_news_does_not_wait_for_a_job_that_is_being_deleted(
    app: Flask, queued: Run, stopped: list[str]
) -> None:
    executor = Executor()
    launches.launch(executor, EXECUTORS, queued.id)  # type: ignore[arg-type]
    task_editing.delete(queued.task)

    with elsewhere(app, lambda: jobs.record_unchanged(executor.submitted, LATER)) as other:
        done, _ = wait([other], timeout=patience(30))
        db.session.commit()

    assert (done, other.exception()) == ({other}, None)
