"""A run's life: start, claim, accept, note, conclude, cancel; and the runs that need rescue."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, delete, func, or_, select, update
from sqlalchemy.orm import aliased, joinedload

from vulsweb import targets
from vulsweb.executor_client import Job
from vulsweb.extensions import db
from vulsweb.models import LogChunk, Run, RunStatus, ScheduledTask, TaskType, Trigger, User
from vulsweb.models.run import ACTIVE

# A message that was lost on its way, or a worker that died while it asked the executor, shows by this.
STALE = timedelta(seconds=60)
# A form sent again after this long is meant, as on a page that was left open.
SAME_REQUEST = timedelta(minutes=5)
REASON_LENGTH = 2000
_FOR_PAGES = (joinedload(Run.task).joinedload(ScheduledTask.host), joinedload(Run.requested_by))


class Paused(Exception):
    """The task waits for its host to come back; the message says so."""


class AlreadyActive(Exception):
    """The task has a run that is not over yet: `run`."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"{run.task.name} is already {run.status.value}.")
        self.run = run


def start(
    task: ScheduledTask,
    *,
    trigger: Trigger,
    now: datetime,
    requested_by: User | None = None,
    request_key: str | None = None,
) -> Run:
    """Queue a run of `task` now; raise AlreadyActive while an earlier one is not over, or Paused.

    The same `request_key` within minutes is the same request: it gets the run that it has made.
    """
    # Serialises with other starts of this task, the tick's among them.
    db.session.execute(select(ScheduledTask.id).where(ScheduledTask.id == task.id).with_for_update())
    if request_key and (made := _made_by(task.id, request_key, now)):
        return made
    if task.paused_reason:
        raise Paused(task.paused_reason)
    if active := active_run(task.id):
        raise AlreadyActive(active)
    run = _new_run(task, trigger, now, requested_by)
    run.request_key = request_key
    db.session.add(run)
    db.session.flush()
    task.last_run_id = run.id
    return run


def start_many(
    task_ids: Collection[int], *, trigger: Trigger, now: datetime, requested_by: User | None = None
) -> tuple[Sequence[int], int]:
    """Queue a run of each task; return the runs' ids, and how many tasks had one that is not over."""
    tasks = db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.id.in_(task_ids), ScheduledTask.paused_at.is_(None))
        .options(joinedload(ScheduledTask.host))
        # In one order everywhere, so that two of these never wait for each other.
        .order_by(ScheduledTask.id)
        .with_for_update(of=ScheduledTask)
        .execution_options(populate_existing=True)
    ).all()
    busy = set(
        db.session.scalars(select(Run.task_id).where(Run.task_id.in_(task_ids), Run.status.in_(ACTIVE)))
    )
    made = [_new_run(task, trigger, now, requested_by) for task in tasks if task.id not in busy]
    db.session.add_all(made)
    db.session.flush()
    for run in made:
        run.task.last_run_id = run.id
    return [run.id for run in made], len(busy)


def _made_by(task_id: int, request_key: str, now: datetime) -> Run | None:
    run = db.session.scalars(
        select(Run).where(Run.task_id == task_id, Run.request_key == request_key)
    ).first()
    if run is None or now - run.created_at < SAME_REQUEST:
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
        request=request_of(task),
        job_id=new_job_id(),
    )


def new_job_id() -> str:
    """Return a fresh key under which the executor will know a run's job."""
    return uuid.uuid4().hex


def request_of(task: ScheduledTask) -> dict[str, Any]:
    """Return what the executor is asked for when `task` runs."""
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


def active_run(task_id: int) -> Run | None:
    """Return the task's run that is not over yet, if there is one."""
    return db.session.scalars(select(Run).where(Run.task_id == task_id, Run.status.in_(ACTIVE))).first()


def get(run_id: int) -> Run | None:
    """Return the run with its task, host and person, or None."""
    return db.session.get(Run, run_id, options=_FOR_PAGES)


def query(statuses: Collection[RunStatus] = ()) -> Select[Run]:
    """Return the runs, newest first, with task and host loaded; only those in `statuses` if there are any."""
    chosen = select(Run).options(*_FOR_PAGES).order_by(Run.id.desc())
    return chosen.where(Run.status.in_(statuses)) if statuses else chosen


def claim(run_id: int, now: datetime) -> Run | None:
    """Take a run to ask the executor for it; None means that another worker has it or it is over.

    A claim older than a minute has been left by a worker that died: the next one may take it, since the
    executor answers a repeated request with the same job.
    """
    abandoned = and_(Run.status == RunStatus.STARTING, Run.heartbeat_at < now - STALE)
    won = db.session.scalar(
        update(Run)
        .where(Run.id == run_id, or_(Run.status == RunStatus.QUEUED, abandoned))
        .values(status=RunStatus.STARTING, started_at=func.coalesce(Run.started_at, now), heartbeat_at=now)
        .returning(Run.id)
        .execution_options(synchronize_session=False)
    )
    return db.session.get(Run, run_id, populate_existing=True) if won else None


def accept(run: Run, job: Job, now: datetime) -> None:
    """Note that the executor has the run's job."""
    run.status = RunStatus.RUNNING
    run.reason = None
    note(run, job, now)


def hold(run: Run, reason: str) -> None:
    """Say on a starting run why it does not go on; sweep tries again."""
    run.reason = reason[:REASON_LENGTH]


def lock_active(run_id: int) -> Run | None:
    """Return the running run for this worker alone; None when another has it or it is over."""
    return db.session.scalars(
        select(Run)
        .where(Run.id == run_id, Run.status == RunStatus.RUNNING)
        .with_for_update(skip_locked=True, of=Run)
        .execution_options(populate_existing=True)
    ).first()


def running() -> Sequence[tuple[int, str]]:
    """Return the ids and job ids of the runs whose jobs are to be asked about."""
    rows = db.session.execute(select(Run.id, Run.job_id).where(Run.status == RunStatus.RUNNING))
    return [(run_id, job_id) for run_id, job_id in rows]


def note(run: Run, job: Job, now: datetime) -> None:
    """Keep what the executor says of the job."""
    if run.steps != job.steps:
        run.steps = job.steps
    run.heartbeat_at = now


def append_log(run: Run, text: str, next_offset: int) -> None:
    """Keep the next piece of the job's log."""
    if text:
        db.session.add(LogChunk(run_id=run.id, start=run.log_offset, text=text))
    run.log_offset = next_offset


def log_from(run_id: int, offset: int) -> tuple[str, int]:
    """Return the stored log from byte `offset` on and where it ends.

    Raise ValueError for an offset that is neither 0 nor where an earlier answer ended.
    """
    # The end first: a piece that comes in meanwhile then belongs to the next answer, not to none.
    end = db.session.scalar(select(Run.log_offset).where(Run.id == run_id)) or 0
    pieces = [piece for piece in log_pieces(run_id, offset) if piece.start < end]
    begins = pieces[0].start if pieces else end
    if offset not in (0, begins):
        raise ValueError("`offset` is 0 or the `next_offset` of an earlier answer.")
    return "".join(piece.text for piece in pieces), end


def log_pieces(run_id: int, start: int) -> Sequence[LogChunk]:
    """Return the stored pieces of the log from the one at byte `start` on."""
    return db.session.scalars(
        select(LogChunk).where(LogChunk.run_id == run_id, LogChunk.start >= start).order_by(LogChunk.start)
    ).all()


def end(run: Run, status: RunStatus, reason: str | None, now: datetime) -> None:
    """Bring the run to its end; a run that is over stays as it is."""
    if not run.status.is_active:
        return
    run.status = status
    run.reason = reason[:REASON_LENGTH] if reason else None
    run.completed_at = now
    if status in (RunStatus.FAILED, RunStatus.TIMEOUT) and run.result_data is None:
        targets.note_failure(run, now)


def cancel(run: Run, now: datetime) -> None:
    """Stop the run: at once while nobody works on it, else by way of the executor."""
    if run.status is RunStatus.QUEUED:
        end(run, RunStatus.CANCELLED, "Cancelled before it began.", now)
    elif run.status.is_active:
        run.cancel_requested_at = run.cancel_requested_at or now


def to_launch_again(now: datetime) -> Sequence[int]:
    """Return the runs whose message was lost, or whose worker died or found no executor."""
    return db.session.scalars(
        select(Run.id)
        .where(
            or_(
                and_(Run.status == RunStatus.QUEUED, Run.created_at < now - STALE),
                and_(Run.status == RunStatus.STARTING, Run.heartbeat_at < now - STALE),
            )
        )
        .order_by(Run.id)
    ).all()


def silent(now: datetime) -> Sequence[tuple[int, str]]:
    """Return the ids and job ids of running runs of which the executor has said nothing for a minute."""
    rows = db.session.execute(
        select(Run.id, Run.job_id).where(Run.status == RunStatus.RUNNING, Run.heartbeat_at < now - STALE)
    )
    return [(run_id, job_id) for run_id, job_id in rows]


def overdue(now: datetime, timeout: timedelta) -> Sequence[Run]:
    """Return the active runs that began (or were queued) longer ago than `timeout`."""
    return db.session.scalars(
        select(Run)
        .where(Run.status.in_(ACTIVE), func.coalesce(Run.started_at, Run.created_at) < now - timeout)
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
