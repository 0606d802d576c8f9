"""A run's life: start, claim, go on, end, cancel; and the runs that need rescue."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select, update
from sqlalchemy.orm import aliased

from vulsweb.extensions import db
from vulsweb.models import JobStatus, Run, RunJob, RunStatus, ScheduledTask
from vulsweb.models.run import ACTIVE, IN_PROGRESS
from vulsweb.runs import targets

# A message that was lost on its way, or a worker that died while it asked the executor, shows by this.
STALE_AFTER = timedelta(seconds=60)
REASON_LENGTH = 2000
CANCELLED_EARLY = "Cancelled before it began."


def claim(run_id: int, now: datetime) -> Run | None:
    """Take a run to ask the executors for it; None: another worker has it, it waits for one, or it is over.

    A claim older than a minute has been left by a worker that died, or that found no executor: the next one
    may take it, since an executor answers a repeated request with the same job.
    """
    # As for a start, so that nobody decides by what we are about to change.
    lock = select(ScheduledTask).join(Run, Run.task_id == ScheduledTask.id).where(Run.id == run_id)
    task = db.session.scalars(
        lock.with_for_update(of=ScheduledTask).execution_options(populate_existing=True)
    ).one_or_none()
    won = task and db.session.scalar(
        update(Run)
        .where(Run.id == run_id, or_(_ready(), _unasked(now)))
        .values(
            # One that runs in part goes on running.
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
    task.last_run_id = run_id
    return db.session.get(Run, run_id, populate_existing=True)


def ready_to_start(task_ids: Collection[int]) -> Sequence[int]:
    """Return the queued runs of the tasks that no earlier run holds up: after an end, what waited for it."""
    return db.session.scalars(select(Run.id).where(Run.task_id.in_(task_ids), _ready())).all()


def _ready() -> ColumnElement[bool]:
    earlier = aliased(Run)
    holds_up = (
        select(earlier.id).where(earlier.task_id == Run.task_id, earlier.status.in_(IN_PROGRESS)).exists()
    )
    return and_(Run.status == RunStatus.QUEUED, ~holds_up)


def _unasked(now: datetime) -> ColumnElement[bool]:
    waiting = select(RunJob.id).where(RunJob.run_id == Run.id, _is_waiting()).exists()
    going = or_(Run.status == RunStatus.STARTING, and_(Run.status == RunStatus.RUNNING, waiting))
    return and_(going, Run.heartbeat_at < now - STALE_AFTER)


def mark_running_or_waiting(run: Run) -> None:
    """Say how a run that was claimed stands: it runs, or waits for its executors, and why."""
    waiting = [job for job in run.jobs if job.status is JobStatus.WAITING]
    if len(waiting) < len(run.jobs):
        run.status = RunStatus.RUNNING
    else:
        run.reason = waiting[0].reason


def lock(run: Run) -> None:
    """Have the run and its jobs for this worker alone, as they are by now."""
    db.session.flush()
    for rows in (
        select(Run).where(Run.id == run.id).with_for_update(of=Run),
        select(RunJob).where(RunJob.run_id == run.id),
    ):
        db.session.scalars(rows.execution_options(populate_existing=True)).all()


def lock_running(run_id: int) -> Run | None:
    """Return the running run for this worker alone; None when another has it or it is over."""
    return db.session.scalars(
        select(Run)
        .where(Run.id == run_id, Run.status == RunStatus.RUNNING)
        .with_for_update(skip_locked=True, of=Run)
        .execution_options(populate_existing=True)
    ).first()


def end(run: Run, status: RunStatus, reason: str | None, now: datetime) -> None:
    """Bring the run to its end; a run that is over stays as it is."""
    if not run.status.is_active:
        return
    run.status = status
    run.reason = reason[:REASON_LENGTH] if reason else None
    run.completed_at = now
    if status in (RunStatus.FAILED, RunStatus.TIMEOUT) and run.result_data is None:
        targets.mark_hosts_failed(run, now)


def cancel(run: Run, now: datetime) -> bool:
    """Stop the run, at once while nobody works on it, else by way of the executor; False if it is over."""
    # Locked and read again, or a worker could take the queued run between our look and our word.
    db.session.flush()
    lock = select(Run).where(Run.id == run.id).with_for_update(of=Run)
    run = db.session.scalars(lock.execution_options(populate_existing=True)).one()
    if run.status is RunStatus.QUEUED:
        end(run, RunStatus.CANCELLED, CANCELLED_EARLY, now)
    elif run.status.is_active:
        run.cancel_requested_at = run.cancel_requested_at or now
    else:
        return False
    return True


def stranded(now: datetime, down: Collection[str] = ()) -> Sequence[int]:
    """Return the runs whose message was lost, or whose worker died or found no executor.

    Those that wait for nobody but executors that are `down` are left to wait.
    """
    job = select(RunJob.id).where(RunJob.run_id == Run.id)
    in_vain = and_(job.exists(), ~job.where(_is_waiting(), RunJob.executor.not_in(down)).exists())
    return db.session.scalars(
        select(Run.id)
        .where(or_(and_(_ready(), Run.created_at < now - STALE_AFTER), and_(_unasked(now), ~in_vain)))
        .order_by(Run.id)
    ).all()


def _is_waiting() -> ColumnElement[bool]:
    return RunJob.status == JobStatus.WAITING


def overdue(now: datetime, timeout: timedelta) -> Sequence[Run]:
    """Return the runs that began, or that a worker could have taken, longer ago than `timeout`.

    One that waits for another is never overdue; its time begins when the other has ended.
    """
    earlier = aliased(Run)
    last_end = (
        select(func.max(earlier.completed_at))
        .where(earlier.task_id == Run.task_id, earlier.status != RunStatus.SKIPPED)
        .scalar_subquery()
    )
    begun = and_(Run.status.in_(IN_PROGRESS), func.coalesce(Run.started_at, Run.created_at) < now - timeout)
    left = and_(_ready(), func.greatest(Run.created_at, last_end) < now - timeout)
    return db.session.scalars(
        select(Run)
        .where(or_(begun, and_(Run.created_at < now - timeout, left)))
        .with_for_update(skip_locked=True, of=Run)
    ).all()


def prune(before: datetime, limit: int) -> int:
    """Delete up to `limit` runs made before a moment, with their logs and results; return how many.

    A task keeps its newest run, and the one that its last status comes from, however old they are.
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
    gone = db.session.execute(
        delete(Run).where(Run.id.in_(old)).returning(Run.id).execution_options(synchronize_session=False)
    )
    return len(gone.all())
