"""Starting runs: on demand, in bulk, and when a task is due."""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import DateTime, Integer, cast, column, select, update, values
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import joinedload

from vulsweb import cron
from vulsweb.audit import trail
from vulsweb.extensions import db
from vulsweb.models import (
    AuditAction,
    AuditKind,
    Heartbeat,
    Overlap,
    Run,
    RunStatus,
    ScheduledTask,
    TaskType,
    Trigger,
    User,
)
from vulsweb.models.heartbeat import TICK
from vulsweb.runs import missed, notices, overlap
from vulsweb.runs.overlap import ActiveRuns, Plan

# The same form sent later than this is a new request, as from a page that was left open.
REPEAT_WINDOW = timedelta(minutes=5)


class TaskPaused(Exception):
    """The task is paused; the message says why, and what resumes it."""


class AlreadyActive(Exception):
    """The task has an active run, and its rule allows no other."""

    def __init__(self, run: Run) -> None:
        waits = run.task.overlap is Overlap.WAIT
        rule = (
            "Only one of its runs can wait." if waits else "Its overlap rule skips new runs until that ends."
        )
        super().__init__(f"{run.task.name} is already {run.status.value}. {rule}")
        self.run = run


@dataclass(frozen=True)
class Started:
    """The result of starting many tasks."""

    run_ids: Sequence[int]  # of all new runs, including those that wait
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
    """Queue a run of `task`, as its overlap rule allows.

    Raise AlreadyActive where the rule skips the run, and TaskPaused while the task is paused.
    A `request_key` seen in the last minutes is the same request: it returns the run already made for it.
    """
    # The lock serialises this with other starts of the task, including the tick's, and with claims.
    lock = select(ScheduledTask).where(ScheduledTask.id == task.id).with_for_update(key_share=True)
    db.session.scalars(lock.execution_options(populate_existing=True)).one()
    if request_key:
        same_request = select(Run).where(Run.task_id == task.id, Run.request_key == request_key)
        earlier = db.session.scalars(same_request).first()
        if earlier and now - earlier.created_at < REPEAT_WINDOW:
            return earlier
        if earlier:
            earlier.request_key = None
            db.session.flush()
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
    """Queue a run of each unpaused task, as its overlap rule allows."""
    tasks = db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.id.in_(task_ids), ScheduledTask.paused_at.is_(None))
        .options(joinedload(ScheduledTask.host))
        # Always in this order, so that two calls cannot deadlock.
        .order_by(ScheduledTask.id)
        .with_for_update(of=ScheduledTask, key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    active = overlap.active_runs([task.id for task in tasks])
    plans = [(task, overlap.plan(task.overlap, active.get(task.id, ActiveRuns()))) for task in tasks]
    new = [
        (_new_run(task, trigger, now, requested_by), plan) for task, plan in plans if plan.skipped_for is None
    ]
    _queue(new, now)
    waiting = sum(plan.waits for _, plan in new)
    return Started([run.id for run, _ in new], waiting, skipped=len(plans) - len(new))


def _new_run(task: ScheduledTask, trigger: Trigger, now: datetime, requested_by: User | None) -> Run:
    return Run(
        task=task,
        status=RunStatus.QUEUED,
        trigger=trigger,
        requested_by=requested_by,
        created_at=now,
        request=request_for(task),
    )


def _queue(new: Sequence[tuple[Run, Plan]], now: datetime) -> None:
    for (run, _), run_id in zip(new, overlap.reserve_run_ids(len(new)), strict=True):
        run.id = run_id
    overlap.cancel_replaced({old: run.id for run, plan in new for old in plan.replaces}, now)
    for run, plan in new:
        run.reason = plan.reason
        db.session.add(run)
    db.session.flush()
    for run, _ in new:
        if run.trigger in (Trigger.PERSON, Trigger.API):
            trail.note(AuditAction.STARTED, AuditKind.RUN, run.id, run.task.name, after={"task": run.task_id})
    for run, plan in new:
        # A waiting run becomes the task's last run when it is claimed.
        if not plan.waits:
            run.task.last_run_id = run.id


def request_for(task: ScheduledTask) -> dict[str, Any]:
    """Return the request that a run of `task` stores."""
    if task.task_type is TaskType.SCAN:
        assert task.scan_type is not None  # noqa: S101 - the table's CHECK constraint says so
        scan: dict[str, Any] = {"scan_type": task.scan_type.value}
        if task.database_hours is not None:
            scan |= {"database_hours": task.database_hours, "old_databases": task.old_databases.value}
        if task.host_tag is not None:
            # targets.prepare finds the hosts when the run begins.
            return scan | {"servers": [], "tag": task.host_tag}
        assert task.host is not None  # noqa: S101
        return scan | {"servers": [task.host.entry]}
    if task.task_type is TaskType.DETECTION:
        # detections.prepare finds the hosts when the run begins.
        return {"detection": True, "servers": []}
    assert task.database_type is not None  # noqa: S101
    return {"database": task.database_type.value}


def start_due_tasks(now: datetime, limit: int = 500, *, wait_for_locks: bool = False) -> list[int] | None:
    """Queue a run of up to `limit` due tasks; return their ids.

    Return None if no task is due. A task that missed several slots (an outage) runs once, and each further
    slot is stored as a `skipped` run with the reason.
    While an earlier run is active the task's overlap rule decides; a skipped slot is stored as a `skipped`
    run with the reason. Tasks locked elsewhere (another tick, Run now, a claim) are skipped, unless
    `wait_for_locks` is set.
    """
    due = db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.active, ScheduledTask.next_run_at <= now)
        .options(joinedload(ScheduledTask.host))
        # Waiting for locks is safe only in the order in which everybody takes them.
        .order_by(ScheduledTask.id if wait_for_locks else ScheduledTask.next_run_at)
        .limit(limit)
        .with_for_update(skip_locked=not wait_for_locks, of=ScheduledTask, key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    if not due:
        return None
    active = overlap.active_runs([task.id for task in due])
    plans = {task.id: overlap.plan(task.overlap, active.get(task.id, ActiveRuns())) for task in due}
    run_ids = dict(zip(plans, overlap.reserve_run_ids(len(plans)), strict=True))
    queued = _insert_runs(due, plans, run_ids, now)
    missed.record(due, run_ids, now)
    _advance_tasks(due, plans, queued, now)
    return list(queued.values())


def _insert_runs(
    due: Sequence[ScheduledTask], plans: Mapping[int, Plan], run_ids: Mapping[int, int], now: datetime
) -> dict[int, int]:
    """Insert a run for each due task; return queued ids by task."""
    successors = {old: run_ids[task_id] for task_id in plans for old in plans[task_id].replaces}
    overlap.cancel_replaced(successors, now)
    rows = [
        {
            "id": run_ids[task.id],
            "task_id": task.id,
            "status": RunStatus.QUEUED if plans[task.id].skipped_for is None else RunStatus.SKIPPED,
            "trigger": Trigger.SCHEDULE,
            "scheduled_for": task.next_run_at,
            "created_at": now,
            "completed_at": None if plans[task.id].skipped_for is None else now,
            "reason": plans[task.id].reason,
            "request": request_for(task),
        }
        for task in due
    ]
    inserted = db.session.execute(
        insert(Run).on_conflict_do_nothing().returning(Run.id, Run.task_id, Run.status), rows
    )
    notices.not_run(
        [(task, task.next_run_at, why) for task in due if (why := _why_skipped(plans[task.id]))], now
    )
    return {task_id: run_id for run_id, task_id, status in inserted if status is RunStatus.QUEUED}


def _why_skipped(plan: Plan) -> str:
    return plan.reason or "" if plan.skipped_for is not None else ""


def _advance_tasks(
    due: Sequence[ScheduledTask], plans: Mapping[int, Plan], queued: Mapping[int, int], now: datetime
) -> None:
    # Many tasks share a few cron lines, and finding a line's next slot costs more than updating a row.
    slots: dict[tuple[str, str], datetime] = {}
    for line in {(task.cron_expression, task.timezone) for task in due}:
        with contextlib.suppress(cron.CronError):
            slots[line] = cron.next_slot(*line, now)
    # A skipped run never becomes the task's last run; a waiting run becomes it when it is claimed.
    last = {task_id: run_id for task_id, run_id in queued.items() if not plans[task_id].waits}
    rows = [
        (task.id, slots.get((task.cron_expression, task.timezone)), last.get(task.id, task.last_run_id))
        for task in due
    ]
    columns = column("id", Integer), column("next_run_at", DateTime), column("last_run_id", Integer)
    changed = values(*columns, name="changed").data(rows)
    # One statement: the trigger behind `changes` fires for each, and 500 of them would double the time.
    db.session.execute(
        update(ScheduledTask)
        .where(ScheduledTask.id == changed.c.id)
        .values(
            # Where all values of a column are NULL, PostgreSQL takes them for text.
            next_run_at=cast(changed.c.next_run_at, DateTime(timezone=True)),
            last_run_id=cast(changed.c.last_run_id, Integer),
        )
        .execution_options(synchronize_session=False)
    )
    for task in due:
        if (task.cron_expression, task.timezone) not in slots:
            task.plan(now)  # which pauses it and says why


def record_tick(now: datetime) -> None:
    """Record when a worker last completed a tick."""
    heartbeat = insert(Heartbeat).values(name=TICK, at=now)
    db.session.execute(heartbeat.on_conflict_do_update(index_elements=[Heartbeat.name], set_={"at": now}))
