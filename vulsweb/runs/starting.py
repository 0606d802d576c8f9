"""All ways to ask for a run: Run now, bulk actions, the API and the tick."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    DateTime,
    Integer,
    cast,
    column,
    select,
    update,
    values,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import joinedload

from vulsweb import cron
from vulsweb.extensions import db
from vulsweb.models import Heartbeat, Overlap, Run, RunStatus, ScheduledTask, TaskType, Trigger, User
from vulsweb.models.heartbeat import TICK
from vulsweb.runs import overlap
from vulsweb.runs.overlap import ActiveRuns, Plan

# A form sent again after this long is meant, as on a page that was left open.
REPEAT_WINDOW = timedelta(minutes=5)


class TaskPaused(Exception):
    """The task waits for its host to come back; the message says so."""


class AlreadyActive(Exception):
    """The task has a run, `run`, in whose way its overlap rule lets no other come."""

    def __init__(self, run: Run) -> None:
        waits = run.task.overlap is Overlap.WAIT
        rule = "Only one run of it may wait." if waits else "By its overlap rule no run is added meanwhile."
        super().__init__(f"{run.task.name} is already {run.status.value}. {rule}")
        self.run = run


@dataclass(frozen=True)
class Started:
    """What came of asking for many runs."""

    run_ids: Sequence[int]  # for the workers, those that wait among them
    waiting: int
    skipped: int


def start(
    task: ScheduledTask,
    *,
    trigger: Trigger,
    now: datetime,
    requested_by: User | None = None,
    request_key: str | None = None,
) -> Run:
    """Queue a run of `task` now, as its overlap rule says; raise AlreadyActive where that is to skip.

    Raise Paused while its host is out of service.
    The same `request_key` within minutes is the same request: it gets the run that it has made.
    """
    # Serialises with other starts of this task, the tick's among them, and with claims.
    lock = select(ScheduledTask).where(ScheduledTask.id == task.id).with_for_update()
    db.session.scalars(lock.execution_options(populate_existing=True)).one()
    if request_key and (made := _earlier_request(task.id, request_key, now)):
        return made
    if task.paused_reason:
        raise TaskPaused(task.paused_reason)
    plan = overlap.plan(task.overlap, overlap.active_runs([task.id]).get(task.id, ActiveRuns()))
    if plan.skipped_for is not None:
        raise AlreadyActive(db.session.get_one(Run, plan.skipped_for, populate_existing=True))
    run = _new_run(task, trigger, now, requested_by)
    run.request_key = request_key
    _queue([(run, plan)], now)
    return run


def start_many(
    task_ids: Collection[int], *, trigger: Trigger, now: datetime, requested_by: User | None = None
) -> Started:
    """Queue a run of each task, as its overlap rule says."""
    tasks = db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.id.in_(task_ids), ScheduledTask.paused_at.is_(None))
        .options(joinedload(ScheduledTask.host))
        # In one order everywhere, so that two of these never wait for each other.
        .order_by(ScheduledTask.id)
        .with_for_update(of=ScheduledTask)
        .execution_options(populate_existing=True)
    ).all()
    standings = overlap.active_runs([task.id for task in tasks])
    plans = [(task, overlap.plan(task.overlap, standings.get(task.id, ActiveRuns()))) for task in tasks]
    made = [
        (_new_run(task, trigger, now, requested_by), plan) for task, plan in plans if plan.skipped_for is None
    ]
    _queue(made, now)
    waiting = sum(plan.waits for _, plan in made)
    return Started([run.id for run, _ in made], waiting, skipped=len(plans) - len(made))


def _queue(made: Sequence[tuple[Run, Plan]], now: datetime) -> None:
    for (run, _), run_id in zip(made, overlap.reserve_run_ids(len(made)), strict=True):
        run.id = run_id
    overlap.cancel_replaced({old: run.id for run, plan in made for old in plan.replaces}, now)
    for run, plan in made:
        run.reason = plan.reason
        db.session.add(run)
    db.session.flush()
    for run, plan in made:
        # While a run waits, what its task does is what the earlier one does; claim sees to the rest.
        if not plan.waits:
            run.task.last_run_id = run.id


def _earlier_request(task_id: int, request_key: str, now: datetime) -> Run | None:
    run = db.session.scalars(
        select(Run).where(Run.task_id == task_id, Run.request_key == request_key)
    ).first()
    if run is None or now - run.created_at < REPEAT_WINDOW:
        return run
    run.request_key = None
    db.session.flush()
    return None


def _new_run(task: ScheduledTask, trigger: Trigger, now: datetime, requested_by: User | None) -> Run:
    return Run(
        task=task,
        status=RunStatus.QUEUED,
        trigger=trigger,
        requested_by=requested_by,
        created_at=now,
        request=request_for(task),
    )


def request_for(task: ScheduledTask) -> dict[str, Any]:
    """Return what is asked for when `task` runs."""
    if task.task_type is TaskType.SCAN:
        assert task.scan_type is not None  # noqa: S101 - the table's CHECK constraint says so
        scan = {"scan_type": task.scan_type.value}
        if task.host_tag is not None:
            # Which hosts that is will be seen when the run begins: targets.begin.
            return scan | {"servers": [], "tag": task.host_tag}
        assert task.host is not None  # noqa: S101
        return scan | {"servers": [task.host.entry]}
    assert task.database_type is not None  # noqa: S101
    return {"database": task.database_type.value}


def start_due_tasks(now: datetime, limit: int = 500, *, patient: bool = False) -> list[int] | None:
    """Queue a run for up to `limit` due tasks and return the runs' ids; None when no task is due.

    A task whose slots passed unseen (an outage) runs once, not once a slot. Where an earlier run is not
    over, the task's overlap rule decides; a slot that it skips leaves a `skipped` run that says why.
    Tasks that others hold locked (a second ticker, Run Now, a claim) are left out or, if `patient`, awaited.
    """
    due = db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.active, ScheduledTask.next_run_at <= now)
        .options(joinedload(ScheduledTask.host))
        # Who waits for locks takes them in the order in which all others do.
        .order_by(ScheduledTask.id if patient else ScheduledTask.next_run_at)
        .limit(limit)
        .with_for_update(skip_locked=not patient, of=ScheduledTask)
        .execution_options(populate_existing=True)
    ).all()
    if not due:
        return None
    standings = overlap.active_runs([task.id for task in due])
    plans = {task.id: overlap.plan(task.overlap, standings.get(task.id, ActiveRuns())) for task in due}
    queued = _insert_runs(due, plans, now)
    _advance(due, plans, queued, now)
    return list(queued.values())


def record_tick(now: datetime) -> None:
    """Remember that beat asked for a tick and a worker has done it."""
    beat = insert(Heartbeat).values(name=TICK, at=now)
    db.session.execute(beat.on_conflict_do_update(index_elements=[Heartbeat.name], set_={"at": now}))


def _advance(
    due: Sequence[ScheduledTask], plans: Mapping[int, Plan], queued: Mapping[int, int], now: datetime
) -> None:
    # Many tasks share a few lines, and what a line means costs more than a row.
    lines = {(task.cron_expression, task.timezone) for task in due}
    slots = {line: cron.next_slot(*line, now) for line in lines}
    # A skipped run never hides how the last real one went, and one that waits not yet.
    last = {task_id: run_id for task_id, run_id in queued.items() if not plans[task_id].waits}
    rows = [
        (task.id, slots[task.cron_expression, task.timezone], last.get(task.id, task.last_run_id))
        for task in due
    ]
    columns = column("id", Integer), column("next_run_at", DateTime), column("last_run_id", Integer)
    changed = values(*columns, name="changed").data(rows)
    # One statement: five hundred would fire the trigger behind `changes` as often, for half of our time.
    db.session.execute(
        update(ScheduledTask)
        .where(ScheduledTask.id == changed.c.id)
        .values(next_run_at=changed.c.next_run_at, last_run_id=cast(changed.c.last_run_id, Integer))
        .execution_options(synchronize_session=False)
    )


def _insert_runs(due: Sequence[ScheduledTask], plans: Mapping[int, Plan], now: datetime) -> dict[int, int]:
    run_ids = dict(zip(plans, overlap.reserve_run_ids(len(plans)), strict=True))
    overlap.cancel_replaced(
        {old: run_ids[task_id] for task_id in plans for old in plans[task_id].replaces}, now
    )
    rows = [{"id": run_ids[task.id], **_run_row(task, plans[task.id], now)} for task in due]
    inserted = db.session.execute(
        insert(Run).on_conflict_do_nothing().returning(Run.id, Run.task_id, Run.status), rows
    )
    return {task_id: run_id for run_id, task_id, status in inserted if status is RunStatus.QUEUED}


def _run_row(task: ScheduledTask, plan: Plan, now: datetime) -> dict[str, object]:
    skipped = plan.skipped_for is not None
    return {
        "task_id": task.id,
        "status": RunStatus.SKIPPED if skipped else RunStatus.QUEUED,
        "trigger": Trigger.SCHEDULE,
        "scheduled_for": task.next_run_at,
        "created_at": now,
        "completed_at": now if skipped else None,
        "reason": plan.reason,
        "request": request_for(task),
    }
