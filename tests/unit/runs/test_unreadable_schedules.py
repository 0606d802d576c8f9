"""A task whose schedule cannot be read harms itself alone."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from sqlalchemy import select

from tests.conftest import NOW
from tests.unit.runs.support import LATER, MakeTask
from vulsweb import cron
from vulsweb.extensions import db
from vulsweb.hosts import pauses
from vulsweb.models import Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import starting
from vulsweb.tasks import editing as task_editing

NO_ZONE = "This machine does not know the time zone 'Mars/Base'. Edit the schedule to resume the task."
UPDATE = {"task_type": "db_update", "database_type": "all"}


def store(task: ScheduledTask, **columns: str) -> None:
    """Store a schedule unchecked, as an older version or another machine may have."""
    for name, value in columns.items():
        setattr(task, name, value)
    db.session.commit()


def values_of(task: ScheduledTask, **changes: object) -> dict[str, object]:
    given = {"name": task.name, "cron_expression": task.cron_expression, "timezone": task.timezone}
    return given | {"task_type": "scan", "scan_type": "fast", "host_id": task.host_id} | changes


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"timezone": "Mars/Base"}, "does not know the time zone 'Mars/Base'"),
        ({"timezone": "Europe"}, "does not know the time zone 'Europe'"),
        ({"cron_expression": "0 0 30 2 *"}, "never matches a date"),
        ({"cron_expression": "99 * * * *"}, "not a valid cron line"),
    ],
)
def test_of_several_due_tasks_only_the_unreadable_one_is_paused(
    make_task: MakeTask, broken: dict[str, str], said: str
) -> None:
    before, unreadable, after = (make_task(next_run_at=NOW) for _ in range(3))
    store(unreadable, **broken)

    started = starting.start_due_tasks(NOW)
    db.session.commit()

    runs = db.session.scalars(select(Run).order_by(Run.task_id)).all()
    assert [(run.task, run.status, run.scheduled_for) for run in runs] == [
        (task, RunStatus.QUEUED, NOW) for task in (before, unreadable, after)
    ]
    assert sorted(started or []) == sorted(run.id for run in runs)
    assert (before.paused_at, after.paused_at) == (None, None)
    assert before.next_run_at == after.next_run_at == NOW + timedelta(hours=14)
    assert (unreadable.paused_at, unreadable.next_run_at, unreadable.active) == (NOW, None, True)
    assert said in (unreadable.paused_reason or "")
    assert unreadable.last_run_id == runs[1].id
    assert starting.start_due_tasks(NOW + timedelta(minutes=1)) is None


def test_a_zone_that_left_the_zone_database_pauses_its_tasks_alone(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, other = make_task(timezone="Asia/Tokyo", next_run_at=NOW), make_task(next_run_at=NOW)

    def without_tokyo(name: str) -> ZoneInfo:
        if name == "Asia/Tokyo":
            raise ZoneInfoNotFoundError(name)
        return ZoneInfo(name)

    monkeypatch.setattr(cron, "ZoneInfo", without_tokyo)
    starting.start_due_tasks(NOW)
    db.session.commit()

    assert (gone.paused_at, other.paused_at) == (NOW, None)
    assert other.next_run_at is not None


def pause(task: ScheduledTask) -> ScheduledTask:
    """Let the tick find that the task's zone is unknown."""
    task.next_run_at = NOW
    store(task, timezone="Mars/Base")
    starting.start_due_tasks(NOW)
    db.session.commit()
    assert task.paused_reason == NO_ZONE
    return task


def test_an_edit_resumes_an_unreadable_task(make_task: MakeTask) -> None:
    task = pause(make_task())

    with pytest.raises(task_editing.InvalidTask):
        task_editing.change(task, values_of(task), LATER)
    still_paused = task.paused_reason
    task_editing.change(task, values_of(task, timezone="UTC"), LATER)
    db.session.commit()

    assert still_paused == NO_ZONE
    assert (task.paused_at, task.paused_reason) == (None, None)
    assert task.next_run_at == NOW + timedelta(hours=14)


def test_nothing_but_an_edit_resumes_an_unreadable_task(make_task: MakeTask) -> None:
    task = pause(make_task())
    store(task, timezone="UTC")

    pauses.update_pauses(LATER)
    task_editing.set_active([task.id], active=False, now=LATER)
    task_editing.set_active([task.id], active=True, now=LATER)

    assert (task.paused_at, task.paused_reason, task.next_run_at) == (NOW, NO_ZONE, None)


def test_run_now_of_an_unreadable_task_says_how_to_go_on(make_task: MakeTask) -> None:
    task = pause(make_task())

    with pytest.raises(starting.TaskPaused, match="Edit the schedule to resume the task"):
        starting.start(task, trigger=Trigger.PERSON, now=LATER)


def test_an_unreadable_schedule_does_not_stop_a_host_sync_or_an_activation(make_task: MakeTask) -> None:
    unreadable, other = make_task(is_active=False), make_task(is_active=False)
    store(unreadable, timezone="Mars/Base")

    changed = task_editing.set_active([unreadable.id, other.id], active=True, now=LATER)

    assert changed == (2, 0)
    assert (unreadable.paused_reason, other.paused_reason) == (NO_ZONE, None)
    assert other.next_run_at is not None


def retire(task: ScheduledTask, at: datetime | None) -> None:
    assert task.host is not None
    task.host.retired_at = at
    pauses.update_pauses(LATER)
    db.session.commit()


def test_a_host_that_goes_and_returns_leaves_its_unreadable_task_paused_with_the_right_reason(
    make_task: MakeTask,
) -> None:
    unreadable, other = pause(make_task()), make_task()

    for task in (unreadable, other):
        retire(task, LATER)
    while_gone = [task.paused_reason for task in (unreadable, other)]
    for task in (unreadable, other):
        retire(task, None)

    assert all(reason and "is no longer in config.toml" in reason for reason in while_gone)
    assert (unreadable.paused_reason, other.paused_reason) == (NO_ZONE, None)
