"""Runs as people look for them: one by id, or filtered in pages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, func, select
from sqlalchemy.orm import joinedload, selectinload
from sqlalchemy.sql.base import ExecutableOption

from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus, ScheduledTask, Trigger
from vulsweb.models.run import ACTIVE, DONE

_FOR_PAGES = (joinedload(Run.task).joinedload(ScheduledTask.host), joinedload(Run.requested_by))

# Ids and times of runs go the same way but for clocks that differ and the seconds until a row is written.
SLACK = timedelta(hours=1)
_BEYOND = 2**31 - 1
# How many runs say what a task's usual duration is.
USUAL_RUNS = 20


@dataclass(frozen=True)
class Filter:
    """What to show of the runs; nothing leaves nothing out."""

    task_id: int | None = None
    statuses: Collection[RunStatus] = ()
    trigger: Trigger | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Page:
    """Some runs, newest first, and whether there are more on either side."""

    runs: Sequence[Run]
    newer: bool
    older: bool


def page(
    wanted: Filter,
    *,
    limit: int,
    before: int | None = None,
    after: int | None = None,
    options: Sequence[ExecutableOption] = (),
) -> Page:
    """Return up to `limit` runs that `wanted` leaves in: the newest, or those next to a run's id.

    Never counts: at a million runs a page costs as much as at fifty.
    """
    chosen = query(wanted.statuses).options(*options)
    if wanted.task_id is not None:
        chosen = chosen.where(Run.task_id == wanted.task_id)
    if wanted.trigger is not None:
        chosen = chosen.where(Run.trigger == wanted.trigger)
    if wanted.since is not None:
        begin = _first_id(_shifted(wanted.since, -SLACK))
        chosen = chosen.where(Run.created_at >= wanted.since, Run.id >= begin)
    if wanted.until is not None:
        end = _first_id(_shifted(wanted.until, SLACK))
        chosen = chosen.where(Run.created_at < wanted.until, Run.id < end)
    if after is not None:
        rows = db.session.scalars(
            chosen.where(Run.id > after).order_by(None).order_by(Run.id).limit(limit + 1)
        ).all()
        if len(rows) >= limit:
            return Page(rows[limit - 1 :: -1], newer=len(rows) > limit, older=True)
        # Less than a page is newer: that is the first page.
    elif before is not None:
        chosen = chosen.where(Run.id < before)
    rows = db.session.scalars(chosen.limit(limit + 1)).all()
    return Page(rows[:limit], newer=before is not None, older=len(rows) > limit)


def _shifted(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:  # at either end of what a datetime holds there are no runs
        return moment


def usual_duration(task_id: int) -> timedelta | None:
    """Return the median duration of the task's latest runs that did something, or None without any."""
    latest = (
        select((Run.completed_at - Run.started_at).label("duration"))
        .where(Run.task_id == task_id, Run.status.in_(DONE), Run.started_at.is_not(None))
        .order_by(Run.id.desc())
        .limit(USUAL_RUNS)
        .subquery()
    )
    usual: timedelta | None = db.session.scalar(
        select(func.percentile_cont(0.5).within_group(latest.c.duration))
    )
    return usual


def _first_id(moment: datetime) -> int:
    """Return the id at which runs of `moment` begin, so that a period becomes a range of the primary key."""
    first = select(Run.id).where(Run.created_at >= moment).order_by(Run.created_at).limit(1)
    return db.session.scalar(first) or _BEYOND


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
