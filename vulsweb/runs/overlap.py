"""What becomes of a run that is asked for while an earlier run of its task is not over.

Whoever looks here holds the task's row locked until what was decided is written; `runs.claim` locks it too.
Two unique indexes on `runs` hold whoever forgets that.
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
    """The ids of a task's runs that are not over: one is with the executor, one is queued, at most."""

    going: int | None = None
    queued: int | None = None


@dataclass(frozen=True)
class Plan:
    """What becomes of a run that is asked for."""

    skipped_for: int | None = None  # the run that stands in its way
    waits: bool = False  # for the run that is going; otherwise a worker may take it at once
    reason: str | None = None  # why it is skipped, or what it waits for
    replaces: tuple[int, ...] = ()  # the runs that make way for it


def plan(rule: Overlap, standing: ActiveRuns) -> Plan:
    """Say what becomes of a run of a task whose other runs stand like this."""
    going, queued = standing.going, standing.queued
    if going is None and queued is None:
        return Plan()
    if rule is Overlap.REPLACE:
        told = f"Waits until run {going} has stopped." if going else None
        replaced = tuple(run_id for run_id in (going, queued) if run_id)
        return Plan(waits=going is not None, reason=told, replaces=replaced)
    if queued is not None:
        return Plan(skipped_for=queued, reason=f"Run {queued} was waiting already.")
    if rule is Overlap.WAIT:
        return Plan(waits=True, reason=f"Waits for run {going} to end.")
    return Plan(skipped_for=going, reason=f"Run {going} was still going.")


def active_runs(task_ids: Collection[int]) -> dict[int, ActiveRuns]:
    """Return how the runs of those of the tasks stand that have one that is not over."""
    rows = db.session.execute(
        select(
            Run.task_id,
            func.max(Run.id).filter(Run.status.in_(IN_PROGRESS)),
            func.max(Run.id).filter(Run.status == RunStatus.QUEUED),
        )
        .where(Run.task_id.in_(task_ids), Run.status.in_(ACTIVE))
        .group_by(Run.task_id)
    )
    return {task_id: ActiveRuns(going, queued) for task_id, going, queued in rows}


def reserve_run_ids(count: int) -> Sequence[int]:
    """Take as many ids for runs: a run that is replaced names the one that replaces it, which comes later."""
    sequence = func.pg_get_serial_sequence(Run.__tablename__, Run.id.key)
    return db.session.scalars(
        select(func.nextval(sequence)).select_from(func.generate_series(1, count).alias("n"))
    ).all()


def cancel_replaced(successors: Mapping[int, int], now: datetime) -> None:
    """Have runs stopped, each for the run that replaces it: at once if it is queued, else by the executor."""
    if not successors:
        return
    columns = column("old", Integer), column("new", Integer)
    pairs = values(*columns, name="pairs").data(list(successors.items()))
    told = func.concat("Replaced by run ", pairs.c.new, ".")
    replaced = update(Run).where(Run.id == pairs.c.old).execution_options(synchronize_session=False)
    db.session.execute(
        replaced.where(Run.status == RunStatus.QUEUED).values(
            status=RunStatus.CANCELLED, completed_at=now, reason=told
        )
    )
    # One that a person has cancelled already goes on saying so.
    db.session.execute(
        replaced.where(Run.status.in_(IN_PROGRESS), Run.cancel_requested_at.is_(None)).values(
            cancel_requested_at=now, cancel_reason=told
        )
    )
