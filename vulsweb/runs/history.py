"""Queries for runs: one by id, or filtered and in pages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import joinedload, selectinload
from sqlalchemy.sql.base import ExecutableOption

from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus, ScheduledTask, Trigger
from vulsweb.models.run import ACTIVE, DONE

_FOR_PAGES = (joinedload(Run.task).joinedload(ScheduledTask.host), joinedload(Run.requested_by))

# Ids follow creation times, except for clock differences and the seconds until a row is written.
SLACK = timedelta(hours=1)
_MAX_ID = 2**31 - 1
# The usual duration of a task is that of this many runs.
USUAL_RUNS = 20
SUMMARY_RUNS = 100


@dataclass(frozen=True)
class Filter:
    """Which runs to return; the defaults return all."""

    task_id: int | None = None
    statuses: Collection[RunStatus] = ()
    trigger: Trigger | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Page:
    """A page of runs, newest first, and whether more surround it."""

    runs: Sequence[Run]
    newer: bool
    older: bool


def page(
    filters: Filter,
    *,
    limit: int,
    before: int | None = None,
    after: int | None = None,
    options: Sequence[ExecutableOption] = (),
) -> Page:
    """Return up to `limit` runs, newest first.

    Without `before` or `after`, the id of a run, they are the newest; otherwise those next to that run.
    It never counts, so a page costs as much with a million runs as with fifty.
    """
    chosen = query(filters.statuses).options(*options)
    if filters.task_id is not None:
        chosen = chosen.where(Run.task_id == filters.task_id)
    if filters.trigger is not None:
        chosen = chosen.where(Run.trigger == filters.trigger)
    if filters.since is not None:
        begin = _first_id(_shifted(filters.since, -SLACK))
        chosen = chosen.where(Run.created_at >= filters.since, Run.id >= begin)
    if filters.until is not None:
        end = _first_id(_shifted(filters.until, SLACK))
        chosen = chosen.where(Run.created_at < filters.until, Run.id < end)
    if after is not None:
        rows = db.session.scalars(
            chosen.where(Run.id > after).order_by(None).order_by(Run.id).limit(limit + 1)
        ).all()
        if len(rows) >= limit:
            return Page(rows[limit - 1 :: -1], newer=len(rows) > limit, older=True)
        # Fewer newer runs than fit on a page: return the first page.
    elif before is not None:
        chosen = chosen.where(Run.id < before)
    rows = db.session.scalars(chosen.limit(limit + 1)).all()
    return Page(rows[:limit], newer=before is not None, older=len(rows) > limit)


def _shifted(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:  # no runs at either end of what a datetime can hold
        return moment


def _first_id(moment: datetime) -> int:
    """Return the first id created since `moment`.

    With it a period becomes a range of the primary key.
    """
    first = select(Run.id).where(Run.created_at >= moment).order_by(Run.created_at, Run.id).limit(1)
    return db.session.scalar(first) or _MAX_ID


def usual_duration(task_id: int, before: int = _MAX_ID) -> timedelta | None:
    """Return the median duration of the task's latest successful or partial runs.

    Only runs with smaller ids than `before` count. Return None if there are none.
    """
    latest = (
        select((Run.completed_at - Run.started_at).label("duration"))
        .where(
            Run.task_id == task_id,
            Run.id < before,
            Run.status.in_(DONE),
            Run.started_at.is_not(None),
        )
        .order_by(Run.id.desc())
        .limit(USUAL_RUNS)
        .subquery()
    )
    usual: timedelta | None = db.session.scalar(
        select(func.percentile_cont(0.5).within_group(latest.c.duration))
    )
    return usual


def active_run(task_id: int) -> Run | None:
    """Return the task's active run, of two the one in progress."""
    return db.session.scalars(
        # A waiting run is always the newer one.
        select(Run).where(Run.task_id == task_id, Run.status.in_(ACTIVE)).order_by(Run.id)
    ).first()


def summary(task_id: int) -> dict[str, Any]:
    """Return how many runs a task has, and the latest."""
    count = db.session.scalar(select(func.count()).where(Run.task_id == task_id)) or 0
    latest = select(Run.id, Run.status, Run.created_at).where(Run.task_id == task_id)
    rows = db.session.execute(latest.order_by(Run.id.desc()).limit(SUMMARY_RUNS))
    return {
        "runs": count,
        "latest_runs": [f"{row.id} {row.status.value} {row.created_at:%Y-%m-%d %H:%M}" for row in rows],
    }


def get(run_id: int) -> Run | None:
    """Return the run with its task, host, user and jobs, or None."""
    return db.session.get(Run, run_id, options=(*_FOR_PAGES, selectinload(Run.jobs)))


def query(statuses: Collection[RunStatus] = ()) -> Select[Run]:
    """Return runs, newest first, with task and host loaded.

    With `statuses`, return only runs with one of them.
    """
    chosen = select(Run).options(*_FOR_PAGES).order_by(Run.id.desc())
    return chosen.where(Run.status.in_(statuses)) if statuses else chosen
