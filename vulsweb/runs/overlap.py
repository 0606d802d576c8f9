"""The overlap rule: what a new run does while another is active.

It starts, waits, is skipped or replaces the earlier run.

Callers lock the task's row until the decision is written; `lifecycle.claim` locks it too. Two unique
indexes on `runs` protect against callers that forget the lock.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Integer, column, func, select, update, values

from vulsweb.extensions import db
from vulsweb.models import Overlap, Run, RunStatus
from vulsweb.models.run import ACTIVE, IN_PROGRESS


@dataclass(frozen=True)
class ActiveRuns:
    """The ids of a task's active runs, at most one each."""

    in_progress: int | None = None
    queued: int | None = None


@dataclass(frozen=True)
class Plan:
    """What happens to a new run."""

    skipped_for: int | None = None  # the active run because of which it is skipped
    waits: bool = False  # for the run in progress; otherwise a worker may start it at once
    reason: str | None = None  # why it is skipped, or what it waits for
    replaces: tuple[int, ...] = ()  # the runs that are cancelled for it


def plan(rule: Overlap, active: ActiveRuns) -> Plan:
    """Decide what happens to a new run beside these active runs."""
    in_progress, queued = active.in_progress, active.queued
    if in_progress is None and queued is None:
        return Plan()
    if rule is Overlap.REPLACE:
        reason = f"Waiting for run {in_progress} to stop." if in_progress else None
        replaced = tuple(run_id for run_id in (in_progress, queued) if run_id)
        return Plan(waits=in_progress is not None, reason=reason, replaces=replaced)
    if queued is not None:
        return Plan(skipped_for=queued, reason=f"Run {queued} was already waiting.")
    if rule is Overlap.WAIT:
        return Plan(waits=True, reason=f"Waiting for run {in_progress} to end.")
    return Plan(skipped_for=in_progress, reason=f"Run {in_progress} was still in progress.")


def active_runs(task_ids: Collection[int]) -> dict[int, ActiveRuns]:
    """Return the active runs of each of the tasks that has any."""
    rows = db.session.execute(
        select(
            Run.task_id,
            func.max(Run.id).filter(Run.status.in_(IN_PROGRESS)),
            func.max(Run.id).filter(Run.status == RunStatus.QUEUED),
        )
        .where(Run.task_id.in_(task_ids), Run.status.in_(ACTIVE))
        .group_by(Run.task_id)
    )
    return {task_id: ActiveRuns(in_progress, queued) for task_id, in_progress, queued in rows}


def reserve_run_ids(count: int) -> Sequence[int]:
    """Reserve ids for new runs.

    A replaced run names its successor before the successor is inserted.
    """
    sequence = func.pg_get_serial_sequence(Run.__tablename__, Run.id.key)
    return db.session.scalars(
        select(func.nextval(sequence)).select_from(func.generate_series(1, count).alias("n"))
    ).all()


def cancel_replaced(successors: Mapping[int, int], now: datetime) -> None:
    """Cancel replaced runs: the queued at once, the others through the executor.

    `successors` maps the id of each replaced run to the id of its successor.
    """
    if not successors:
        return
    columns = column("old", Integer), column("new", Integer)
    pairs = values(*columns, name="pairs").data(list(successors.items()))
    reason = func.concat("Replaced by run ", pairs.c.new, ".")
    replaced = update(Run).where(Run.id == pairs.c.old).execution_options(synchronize_session=False)
    db.session.execute(
        replaced.where(Run.status == RunStatus.QUEUED).values(
            status=RunStatus.CANCELLED, completed_at=now, reason=reason
        )
    )
    # A run that a user has already cancelled keeps that reason.
    db.session.execute(
        replaced.where(Run.status.in_(IN_PROGRESS), Run.cancel_requested_at.is_(None)).values(
            cancel_requested_at=now, cancel_reason=reason
        )
    )
