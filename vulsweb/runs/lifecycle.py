"""The life of runs: claimed, cancelled, ended, rescued and deleted."""

import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, delete, func, inspect, or_, select, update
from sqlalchemy.orm import aliased
from sqlalchemy.orm.exc import ObjectDeletedError

from vulsweb.audit import trail
from vulsweb.extensions import db
from vulsweb.models import AuditAction, AuditKind, JobStatus, PingKind, Run, RunJob, RunStatus, ScheduledTask
from vulsweb.models.run import ACTIVE, IN_PROGRESS
from vulsweb.models.run_job import WITH_EXECUTOR
from vulsweb.notifications import task_pings
from vulsweb.runs import notices, targets

log = logging.getLogger(__name__)

# After this long without progress a message was lost, or a worker died while it asked the executor.
STALE_AFTER = timedelta(seconds=60)
REASON_LENGTH = 2000
CANCELLED_EARLY = "Cancelled before it started."


def claim(run_id: int, now: datetime) -> Run | None:
    """Claim a run for this worker; return None if it cannot start.

    It cannot if another worker has claimed it, if it waits for an earlier run, or if it has ended.
    A claim older than a minute was left by a worker that died or reached no executor. The next worker may
    take it, since an executor answers a repeated request with the same job.
    """
    # The same lock as for a start, so that no overlap rule is decided meanwhile.
    locked = select(ScheduledTask).join(Run, Run.task_id == ScheduledTask.id).where(Run.id == run_id)
    task = db.session.scalars(
        locked.with_for_update(of=ScheduledTask, key_share=True).execution_options(populate_existing=True)
    ).one_or_none()
    won = task and db.session.scalar(
        update(Run)
        .where(Run.id == run_id, or_(_is_ready(), _is_abandoned(now)))
        .values(
            # A run with some running jobs stays running.
            status=case((Run.status == RunStatus.RUNNING, Run.status), else_=RunStatus.STARTING),
            started_at=func.coalesce(Run.started_at, now),
            heartbeat_at=now,
            reason=None,
        )
        .returning(Run.id)
        .execution_options(synchronize_session=False)
    )
    if not task or not won:
        return None
    log.info("run %d: started, task %d %s", run_id, task.id, task.name)
    task.last_run_id = run_id
    run = db.session.get_one(Run, run_id, populate_existing=True)
    if run.started_at == now:  # and not another worker's claim before
        task_pings.record(task, PingKind.START, f"Run {run_id} of {task.name} starts.", now)
    return run


def ready_to_start(task_ids: Collection[int]) -> Sequence[int]:
    """Return the tasks' queued runs that wait for no earlier run."""
    return db.session.scalars(select(Run.id).where(Run.task_id.in_(task_ids), _is_ready())).all()


def _is_ready() -> ColumnElement[bool]:
    earlier = aliased(Run)
    in_progress = select(earlier.id).where(earlier.task_id == Run.task_id, earlier.status.in_(IN_PROGRESS))
    return and_(Run.status == RunStatus.QUEUED, ~in_progress.exists())


def _is_abandoned(now: datetime) -> ColumnElement[bool]:
    """Match unfinished runs whose last claim is over a minute old."""
    waiting = select(RunJob.id).where(RunJob.run_id == Run.id, RunJob.status == JobStatus.WAITING).exists()
    unfinished = or_(Run.status == RunStatus.STARTING, and_(Run.status == RunStatus.RUNNING, waiting))
    return and_(unfinished, Run.heartbeat_at < now - STALE_AFTER)


def mark_running_or_waiting(run: Run) -> None:
    """Mark a claimed run as running, or store why it waits."""
    waiting = [job for job in run.jobs if job.status is JobStatus.WAITING]
    if len(waiting) < len(run.jobs):
        run.status = RunStatus.RUNNING
    else:
        run.reason = waiting[0].reason


def lock(run: Run) -> None:
    """Lock the run and its jobs, and reload them.

    Raise ObjectDeletedError if its task was deleted meanwhile.
    """
    db.session.flush()
    locked = select(Run).where(Run.id == run.id).with_for_update(of=Run)
    if db.session.scalars(locked.execution_options(populate_existing=True)).one_or_none() is None:
        raise ObjectDeletedError(inspect(run))
    jobs = select(RunJob).where(RunJob.run_id == run.id)
    db.session.scalars(jobs.execution_options(populate_existing=True)).all()


def lock_running(run_id: int) -> Run | None:
    """Lock and return a running run.

    Return None if it is locked by another worker or not running.
    """
    return db.session.scalars(
        select(Run)
        .where(Run.id == run_id, Run.status == RunStatus.RUNNING)
        .with_for_update(skip_locked=True, of=Run)
        .execution_options(populate_existing=True)
    ).first()


def end(run: Run, status: RunStatus, reason: str | None, now: datetime) -> None:
    """End the run; a run that has ended does not change."""
    if not run.status.is_active:
        return
    run.status = status
    run.reason = reason[:REASON_LENGTH] if reason else None
    run.completed_at = now
    level = logging.WARNING if status in (RunStatus.FAILED, RunStatus.TIMEOUT) else logging.INFO
    seconds = (now - (run.started_at or run.created_at)).total_seconds()
    log.log(
        level, "run %d: %s after %d s, task %d. %s", run.id, status.value, seconds, run.task_id, reason or ""
    )
    failed = status in (RunStatus.FAILED, RunStatus.TIMEOUT) and run.result_data is None
    if failed and not run.is_detection:
        targets.mark_hosts_failed(run, now)
    notices.run_ended(run, now)
    if run.started_at is not None and status is not RunStatus.SKIPPED:
        kind = PingKind.SUCCESS if status is RunStatus.SUCCESS else PingKind.FAIL
        text = f"Run {run.id} of {run.task.name}: {status.label}. {run.reason or ''}"
        task_pings.record(run.task, kind, text, now)


def cancel(run: Run, now: datetime) -> bool:
    """Cancel the run; return False if it has ended.

    A queued run ends at once, any other when its executors have stopped its jobs.
    """
    # Locked and reloaded, or a worker could claim the queued run between the check and the write.
    db.session.flush()
    locked = select(Run).where(Run.id == run.id).with_for_update(of=Run)
    run = db.session.scalars(locked.execution_options(populate_existing=True)).one()
    if run.status is RunStatus.QUEUED:
        end(run, RunStatus.CANCELLED, CANCELLED_EARLY, now)
    elif run.status.is_active:
        run.cancel_requested_at = run.cancel_requested_at or now
    else:
        return False
    trail.note(AuditAction.CANCELLED, AuditKind.RUN, run.id, run.task.name)
    return True


def stranded(now: datetime, down: Collection[str] = ()) -> Sequence[int]:
    """Return the runs that need to be sent to a worker again.

    Their message was lost, or their worker died or reached no executor.

    Runs that wait only for executors that are `down` are excluded.
    """
    jobs = select(RunJob.id).where(RunJob.run_id == Run.id)
    to_ask = jobs.where(RunJob.status == JobStatus.WAITING, RunJob.executor.not_in(down))
    lost = and_(_is_ready(), Run.created_at < now - STALE_AFTER)
    abandoned = and_(_is_abandoned(now), or_(~jobs.exists(), to_ask.exists()))
    return db.session.scalars(select(Run.id).where(or_(lost, abandoned)).order_by(Run.id)).all()


def unfollowed() -> Sequence[Run]:
    """Lock and return the runs in progress that nothing will end.

    None of their jobs waits or is with an executor. A run that is starting and has no jobs yet is `stranded`.
    """
    jobs = select(RunJob.id).where(RunJob.run_id == Run.id)
    is_open = jobs.where(RunJob.status.in_((JobStatus.WAITING, *WITH_EXECUTOR)))
    begun = or_(Run.status == RunStatus.RUNNING, jobs.exists())
    found = select(Run).where(Run.status.in_(IN_PROGRESS), begun, ~is_open.exists())
    return db.session.scalars(found.with_for_update(skip_locked=True, of=Run)).all()


def overdue(now: datetime, timeout: timedelta) -> Sequence[Run]:
    """Lock and return the runs that take longer than `timeout`.

    The time begins when a run starts, or could have started.

    A run that waits for another is never overdue: its time begins when the other ends.
    """
    earlier = aliased(Run)
    last_end = (
        select(func.max(earlier.completed_at))
        .where(earlier.task_id == Run.task_id, earlier.status != RunStatus.SKIPPED)
        .scalar_subquery()
    )
    limit = now - timeout
    started = and_(Run.status.in_(IN_PROGRESS), func.coalesce(Run.started_at, Run.created_at) < limit)
    not_started = and_(Run.created_at < limit, _is_ready(), func.greatest(Run.created_at, last_end) < limit)
    return db.session.scalars(
        select(Run).where(or_(started, not_started)).with_for_update(skip_locked=True, of=Run)
    ).all()


def prune(before: datetime, limit: int) -> int:
    """Delete up to `limit` runs created before a moment; return how many.

    Their logs and results go with them.

    A task keeps its newest run, and the run that its last status comes from, at any age.
    """
    newer = aliased(Run)
    old = (
        select(Run.id)
        .where(
            Run.created_at < before,
            Run.status.not_in(ACTIVE),
            select(newer.id).where(newer.task_id == Run.task_id, newer.id > Run.id).exists(),
            ~select(ScheduledTask.id).where(ScheduledTask.last_run_id == Run.id).exists(),
        )
        .order_by(Run.created_at)
        .limit(limit)
    )
    deleted = db.session.execute(
        delete(Run).where(Run.id.in_(old)).returning(Run.id).execution_options(synchronize_session=False)
    )
    return len(deleted.all())
