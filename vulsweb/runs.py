"""A run's life: start, claim, go on, end, cancel; and the runs that need rescue."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, delete, func, or_, select, update
from sqlalchemy.orm import aliased, joinedload, selectinload

from vulsweb import overlap, targets
from vulsweb.extensions import db
from vulsweb.models import (
    JobStatus,
    LogChunk,
    Overlap,
    Run,
    RunJob,
    RunStatus,
    ScheduledTask,
    TaskType,
    Trigger,
    User,
)
from vulsweb.models.run import ACTIVE, GOING
from vulsweb.overlap import Plan, Standing

# A message that was lost on its way, or a worker that died while it asked the executor, shows by this.
STALE = timedelta(seconds=60)
# A form sent again after this long is meant, as on a page that was left open.
SAME_REQUEST = timedelta(minutes=5)
REASON_LENGTH = 2000
_LINE = re.compile(r"^(?=.|\n)", re.MULTILINE)
BEFORE_IT_BEGAN = "Cancelled before it began."
_FOR_PAGES = (joinedload(Run.task).joinedload(ScheduledTask.host), joinedload(Run.requested_by))


class Paused(Exception):
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
    if request_key and (made := _made_by(task.id, request_key, now)):
        return made
    if task.paused_reason:
        raise Paused(task.paused_reason)
    plan = overlap.plan(task.overlap, overlap.standings([task.id]).get(task.id, Standing()))
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
    standings = overlap.standings([task.id for task in tasks])
    plans = [(task, overlap.plan(task.overlap, standings.get(task.id, Standing()))) for task in tasks]
    made = [
        (_new_run(task, trigger, now, requested_by), plan) for task, plan in plans if plan.skipped_for is None
    ]
    _queue(made, now)
    waiting = sum(plan.waits for _, plan in made)
    return Started([run.id for run, _ in made], waiting, skipped=len(plans) - len(made))


def _queue(made: Sequence[tuple[Run, Plan]], now: datetime) -> None:
    for (run, _), run_id in zip(made, overlap.new_run_ids(len(made)), strict=True):
        run.id = run_id
    overlap.make_way({old: run.id for run, plan in made for old in plan.replaces}, now)
    for run, plan in made:
        run.reason = plan.reason
        db.session.add(run)
    db.session.flush()
    for run, plan in made:
        # While a run waits, what its task does is what the earlier one does; claim sees to the rest.
        if not plan.waits:
            run.task.last_run_id = run.id


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
    )


def request_of(task: ScheduledTask) -> dict[str, Any]:
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


def active_run(task_id: int) -> Run | None:
    """Return the task's run that is not over yet, if there is one: of two, the one that the other awaits."""
    return db.session.scalars(
        select(Run).where(Run.task_id == task_id, Run.status.in_(ACTIVE)).order_by(Run.id)
    ).first()


def get(run_id: int) -> Run | None:
    """Return the run with its task, host, person and jobs, or None."""
    return db.session.get(Run, run_id, options=(*_FOR_PAGES, selectinload(Run.jobs)))


def query(statuses: Collection[RunStatus] = ()) -> Select[Run]:
    """Return the runs, newest first, with task and host loaded; only those in `statuses` if there are any."""
    chosen = select(Run).options(*_FOR_PAGES).order_by(Run.id.desc())
    return chosen.where(Run.status.in_(statuses)) if statuses else chosen


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


def ready(task_ids: Collection[int]) -> Sequence[int]:
    """Return the queued runs of the tasks that no earlier run holds up: after an end, what waited for it."""
    return db.session.scalars(select(Run.id).where(Run.task_id.in_(task_ids), _ready())).all()


def _ready() -> ColumnElement[bool]:
    earlier = aliased(Run)
    holds_up = select(earlier.id).where(earlier.task_id == Run.task_id, earlier.status.in_(GOING)).exists()
    return and_(Run.status == RunStatus.QUEUED, ~holds_up)


def _unasked(now: datetime) -> ColumnElement[bool]:
    waiting = select(RunJob.id).where(RunJob.run_id == Run.id, _is_waiting()).exists()
    going = or_(Run.status == RunStatus.STARTING, and_(Run.status == RunStatus.RUNNING, waiting))
    return and_(going, Run.heartbeat_at < now - STALE)


def go_on(run: Run) -> None:
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


def lock_active(run_id: int) -> Run | None:
    """Return the running run for this worker alone; None when another has it or it is over."""
    return db.session.scalars(
        select(Run)
        .where(Run.id == run_id, Run.status == RunStatus.RUNNING)
        .with_for_update(skip_locked=True, of=Run)
        .execution_options(populate_existing=True)
    ).first()


def append_log(run: Run, job: RunJob, text: str, next_offset: int) -> None:
    """Keep the next piece of a job's log; where the run has several, each line says whose it is."""
    if len(run.jobs) > 1:
        # A piece ends with a line: the executor sees to that.
        text = _LINE.sub(lambda _: f"[{job.executor}] ", text)
    if text:
        db.session.add(LogChunk(run_id=run.id, start=run.log_offset, text=text))
        run.log_offset += len(text.encode())
    job.log_offset = next_offset


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


def cancel(run: Run, now: datetime) -> bool:
    """Stop the run, at once while nobody works on it, else by way of the executor; False if it is over."""
    # Locked and read again, or a worker could take the queued run between our look and our word.
    db.session.flush()
    lock = select(Run).where(Run.id == run.id).with_for_update(of=Run)
    run = db.session.scalars(lock.execution_options(populate_existing=True)).one()
    if run.status is RunStatus.QUEUED:
        end(run, RunStatus.CANCELLED, BEFORE_IT_BEGAN, now)
    elif run.status.is_active:
        run.cancel_requested_at = run.cancel_requested_at or now
    else:
        return False
    return True


def to_launch_again(now: datetime, down: Collection[str] = ()) -> Sequence[int]:
    """Return the runs whose message was lost, or whose worker died or found no executor.

    Those that wait for nobody but executors that are `down` are left to wait.
    """
    job = select(RunJob.id).where(RunJob.run_id == Run.id)
    in_vain = and_(job.exists(), ~job.where(_is_waiting(), RunJob.executor.not_in(down)).exists())
    return db.session.scalars(
        select(Run.id)
        .where(or_(and_(_ready(), Run.created_at < now - STALE), and_(_unasked(now), ~in_vain)))
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
    begun = and_(Run.status.in_(GOING), func.coalesce(Run.started_at, Run.created_at) < now - timeout)
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
