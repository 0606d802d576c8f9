"""Starting runs, on demand and when tasks are due."""

import threading
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import NOW, at
from tests.unit.runs.support import MakeTask, race
from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import missed, starting


def test_a_run_stores_the_request_of_its_task(make_task: MakeTask) -> None:
    scan = starting.start(make_task(scan_type="full"), trigger=Trigger.API, now=NOW)
    update = starting.start(
        make_task(task_type="db_update", database_type="gost_debian"), trigger=Trigger.API, now=NOW
    )

    assert scan.request == {"servers": ["host-1"], "scan_type": "full"}
    assert update.request == {"database": "gost_debian"}


def test_a_second_click_finds_the_first_run(make_task: MakeTask) -> None:
    task = make_task()
    first = starting.start(task, trigger=Trigger.PERSON, now=NOW)
    db.session.commit()

    with pytest.raises(starting.AlreadyActive) as refusal:
        starting.start(task, trigger=Trigger.PERSON, now=NOW)

    assert refusal.value.run == first
    assert "already queued" in str(refusal.value)


def test_four_clicks_at_once_make_one_run(app: Flask, make_task: MakeTask) -> None:
    task_id = make_task().id

    def click() -> int:
        task = db.session.get_one(ScheduledTask, task_id)
        return starting.start(task, trigger=Trigger.PERSON, now=NOW).id

    answers = race(app, click)

    assert sum(isinstance(answer, int) for answer in answers) == 1
    assert len(db.session.scalars(select(Run.id)).all()) == 1


def test_a_due_task_gets_a_run_for_its_slot_and_its_next_slot(make_task: MakeTask) -> None:
    task = make_task(cron_expression="0 * * * *", next_run_at=NOW)

    started = starting.start_due_tasks(now=NOW + timedelta(seconds=2))
    db.session.commit()

    assert started is not None
    run = db.session.get_one(Run, started[0])
    assert (run.task, run.status, run.trigger) == (task, RunStatus.QUEUED, Trigger.SCHEDULE)
    assert run.scheduled_for == NOW
    assert task.next_run_at == NOW + timedelta(hours=1)
    assert task.last_run_id == run.id


def test_a_task_missed_during_an_outage_runs_once(make_task: MakeTask) -> None:
    task = make_task(cron_expression="0 3 * * *", next_run_at=at("2026-01-01 03:00"))

    started = starting.start_due_tasks(now=at("2026-01-04 12:00"))
    again = starting.start_due_tasks(now=at("2026-01-04 12:01"))

    assert started is not None
    assert len(started) == 1
    assert again is None
    db.session.refresh(task)
    assert task.next_run_at == at("2026-01-05 03:00")


def test_each_slot_of_an_outage_is_recorded_with_the_reason(make_task: MakeTask) -> None:
    task = make_task(cron_expression="*/10 * * * *", next_run_at=at("2026-01-01 03:00"))
    starting.record_tick(at("2026-01-01 02:59"))

    started = starting.start_due_tasks(now=at("2026-01-01 03:35")) or []
    db.session.commit()

    skipped = db.session.scalars(
        select(Run).where(Run.task == task, Run.status == RunStatus.SKIPPED).order_by(Run.id)
    ).all()
    assert [run.scheduled_for for run in skipped] == [at(f"2026-01-01 03:{minute}0") for minute in (1, 2, 3)]
    (reason,) = {str(run.reason) for run in skipped}
    assert reason.startswith("Missed, because the scheduler did not run between 2026-01-01 02:59 UTC and ")
    assert reason.endswith(f" 03:35 UTC. Run {started[0]} makes up for it.")
    assert task.last_run_id == started[0]
    assert db.session.get_one(Run, started[0]).scheduled_for == at("2026-01-01 03:00")


def test_a_long_outage_is_recorded_up_to_a_limit_and_says_so(make_task: MakeTask) -> None:
    make_task(cron_expression="* * * * *", next_run_at=at("2026-01-01 03:00"))

    starting.start_due_tasks(now=at("2026-01-03 03:00"))

    reasons = db.session.scalars(
        select(Run.reason).where(Run.status == RunStatus.SKIPPED).order_by(Run.id)
    ).all()
    assert len(reasons) == missed.MOST_RECORDED
    assert ["later slots" in str(reason) for reason in reasons] == [False] * 99 + [True]


def test_inactive_and_future_tasks_are_left_alone(make_task: MakeTask) -> None:
    make_task(is_active=False)
    make_task(next_run_at=NOW + timedelta(seconds=1))

    assert starting.start_due_tasks(now=NOW) is None


def test_a_slot_during_the_previous_run_is_skipped_with_a_reason(make_task: MakeTask) -> None:
    task = make_task(cron_expression="* * * * *", next_run_at=NOW)
    running = starting.start(task, trigger=Trigger.PERSON, now=NOW)
    db.session.commit()

    started = starting.start_due_tasks(now=NOW)
    db.session.commit()

    assert started == []
    skipped = db.session.scalars(select(Run).where(Run.id != running.id)).one()
    assert (skipped.status, skipped.reason) == (RunStatus.SKIPPED, f"Run {running.id} was already waiting.")
    assert task.last_run_id == running.id
    assert task.next_run_at == NOW + timedelta(minutes=1)


def test_many_due_tasks_are_started_in_batches(make_task: MakeTask) -> None:
    for _ in range(5):
        make_task(next_run_at=NOW)

    batches = [starting.start_due_tasks(now=NOW, limit=2) or [] for _ in range(3)]

    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert starting.start_due_tasks(now=NOW, limit=2) is None


def test_two_ticks_at_once_never_start_one_slot_twice(app: Flask, make_task: MakeTask) -> None:
    for _ in range(20):
        make_task(next_run_at=NOW)
    together = threading.Barrier(2)

    def tick() -> None:
        with app.app_context():
            together.wait()
            while starting.start_due_tasks(now=NOW, limit=3) is not None:
                db.session.commit()
            db.session.commit()
            db.session.remove()

    threads = [threading.Thread(target=tick) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    slots = db.session.execute(select(Run.task_id, Run.scheduled_for)).all()
    assert len(slots) == len(set(slots)) == 20


def test_a_locked_task_is_skipped_or_waited_for(app: Flask, make_task: MakeTask) -> None:
    task = make_task(next_run_at=NOW)
    started: list[list[int] | None] = []

    def wait_for_it() -> None:
        with app.app_context():
            started.append(starting.start_due_tasks(NOW, wait_for_locks=True))
            db.session.commit()
            db.session.remove()

    with db.engine.connect() as other:
        other.execute(select(ScheduledTask.id).where(ScheduledTask.id == task.id).with_for_update())
        at_first = starting.start_due_tasks(NOW)
        db.session.commit()
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        thread.join(timeout=0.3)
        waits = thread.is_alive()
    thread.join()

    assert (at_first, waits) == (None, True)
    assert started == [db.session.scalars(select(Run.id)).all()] != [[]]
