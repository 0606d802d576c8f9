"""Tasks as people look for them: filtered, sorted and counted."""

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import joinedload, selectinload

from vulsweb.extensions import db
from vulsweb.models import Host, Run, RunStatus, ScheduledTask, TaskType
from vulsweb.models.run import ACTIVE


@dataclass(frozen=True)
class Statistics:
    """The four counts of the scheduler."""

    total: int
    active: int
    scans: int
    database_updates: int


class LastResult(enum.StrEnum):
    """What a task's last run came to, as people ask for it."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"  # timed out among them
    CANCELLED = "cancelled"
    RUNNING = "running"  # not over yet
    NEVER = "never"

    @property
    def label(self) -> str:
        """Return the words that people read."""
        return "Never run" if self is LastResult.NEVER else self.value.capitalize()

    @property
    def statuses(self) -> tuple[RunStatus, ...]:
        """Return the states of a run that count as this."""
        several = {
            LastResult.NEVER: (),
            LastResult.FAILED: (RunStatus.FAILED, RunStatus.TIMEOUT),
            LastResult.RUNNING: ACTIVE,
        }
        return several[self] if self in several else (RunStatus(self.value),)


class Sort(enum.StrEnum):
    """What the list of tasks can go by."""

    NAME = "name"
    NEXT_RUN = "next_run"
    LAST_RUN = "last_run"


@dataclass(frozen=True)
class Filter:
    """What to show of the tasks; None and "" leave nothing out."""

    task_type: TaskType | None = None
    active: bool | None = None
    text: str = ""
    result: LastResult | None = None


def statistics() -> Statistics:
    """Count the tasks."""
    row = db.session.execute(
        select(
            func.count(),
            func.count().filter(ScheduledTask.active),
            func.count().filter(ScheduledTask.task_type == TaskType.SCAN),
            func.count().filter(ScheduledTask.task_type == TaskType.DB_UPDATE),
        ).select_from(ScheduledTask)
    ).one()
    return Statistics(*row)


def query(wanted: Filter, sort: Sort = Sort.NAME, *, descending: bool = False) -> Select[ScheduledTask]:
    """Return the tasks that `wanted` leaves in, with host and last run loaded.

    A task without a next or last run stands at the end, whichever way round.
    """
    chosen = (
        select(ScheduledTask)
        # Not joined: PostgreSQL would sort ten thousand tasks with their hosts and runs to show fifty.
        .options(selectinload(ScheduledTask.host), selectinload(ScheduledTask.last_run))
        .order_by(*_order(sort, descending=descending))
    )
    if wanted.task_type is not None:
        chosen = chosen.where(ScheduledTask.task_type == wanted.task_type)
    if wanted.active is not None:
        chosen = chosen.where(ScheduledTask.active.is_(wanted.active))
    if wanted.result is LastResult.NEVER:
        chosen = chosen.where(ScheduledTask.last_run_id.is_(None))
    elif wanted.result is not None:
        chosen = chosen.where(ScheduledTask.last_run.has(Run.status.in_(wanted.result.statuses)))
    if wanted.text:
        chosen = chosen.outerjoin(ScheduledTask.host)
        columns = (ScheduledTask.name, ScheduledTask.description, ScheduledTask.host_tag, Host.name)
        chosen = chosen.where(or_(*(column.icontains(wanted.text, autoescape=True) for column in columns)))
    return chosen


def _order(sort: Sort, *, descending: bool) -> tuple[ColumnElement[Any], ...]:
    column: ColumnElement[Any] = {
        Sort.NAME: func.lower(ScheduledTask.name),
        Sort.NEXT_RUN: ScheduledTask.next_run_at.expression,
        # Runs are numbered in the order in which they were asked for.
        Sort.LAST_RUN: ScheduledTask.last_run_id.expression,
    }[sort]
    first = (column.desc() if descending else column.asc()).nulls_last()
    return first, ScheduledTask.id.desc() if descending else ScheduledTask.id.asc()


def scanning_host(host: Host) -> Select[ScheduledTask]:
    """Return the tasks that scan the host, for itself or by one of its tags, by name."""
    return (
        select(ScheduledTask)
        .where(or_(ScheduledTask.host_id == host.id, ScheduledTask.host_tag.in_(host.tags)))
        .options(selectinload(ScheduledTask.host), selectinload(ScheduledTask.last_run))
        .order_by(*_order(Sort.NAME, descending=False))
    )


def count_paused(task_ids: Collection[int]) -> int:
    """Return how many of the tasks wait for their host to come back."""
    chosen = ScheduledTask.id.in_(task_ids) & ScheduledTask.paused_at.is_not(None)
    return db.session.scalar(select(func.count()).select_from(ScheduledTask).where(chosen)) or 0


def get(task_id: int) -> ScheduledTask | None:
    """Return the task with its host and last run, or None."""
    return db.session.get(
        ScheduledTask,
        task_id,
        options=[joinedload(ScheduledTask.host), joinedload(ScheduledTask.last_run)],
    )


def run_count(*task_ids: int) -> int:
    """Return how many runs the tasks' histories hold."""
    return db.session.scalar(select(func.count()).select_from(Run).where(Run.task_id.in_(task_ids))) or 0


def by_ids(task_ids: Collection[int]) -> Sequence[ScheduledTask]:
    """Return those of the tasks that there still are, by name."""
    return db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.id.in_(task_ids))
        .order_by(*_order(Sort.NAME, descending=False))
    ).all()
