"""The list of tasks: filtered, sorted and counted."""

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
    """The five counts on the Scheduler page."""

    total: int
    active: int
    scans: int
    database_updates: int
    detections: int


class LastResult(enum.StrEnum):
    """The last result of a task, as a filter of the list."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"  # or timed out
    CANCELLED = "cancelled"
    RUNNING = "running"  # or queued
    NEVER = "never"

    @property
    def label(self) -> str:
        """Return the result's name on pages."""
        return "Never run" if self is LastResult.NEVER else self.value.capitalize()

    @property
    def statuses(self) -> tuple[RunStatus, ...]:
        """Return the run statuses that count as this result."""
        others = {
            LastResult.NEVER: (),
            LastResult.FAILED: (RunStatus.FAILED, RunStatus.TIMEOUT),
            LastResult.RUNNING: ACTIVE,
        }
        return others[self] if self in others else (RunStatus(self.value),)


class Sort(enum.StrEnum):
    """How the list of tasks can be sorted."""

    NAME = "name"
    NEXT_RUN = "next_run"
    LAST_RUN = "last_run"


@dataclass(frozen=True)
class Filter:
    """Which tasks to list; None and "" match everything."""

    task_type: TaskType | None = None
    active: bool | None = None
    text: str = ""
    result: LastResult | None = None


def statistics() -> Statistics:
    """Count all tasks, and the tasks by status and type."""
    row = db.session.execute(
        select(
            func.count(),
            func.count().filter(ScheduledTask.active),
            func.count().filter(ScheduledTask.task_type == TaskType.SCAN),
            func.count().filter(ScheduledTask.task_type == TaskType.DB_UPDATE),
            func.count().filter(ScheduledTask.task_type == TaskType.DETECTION),
        ).select_from(ScheduledTask)
    ).one()
    return Statistics(*row)


def query(wanted: Filter, sort: Sort = Sort.NAME, *, descending: bool = False) -> Select[ScheduledTask]:
    """Return the matching tasks, with host and last run loaded.

    Tasks without a next or last run come last in either direction.
    """
    chosen = (
        select(ScheduledTask)
        # Not joined, since PostgreSQL would sort 10,000 tasks with their hosts and runs to show 50.
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
        # Run ids increase in the order in which runs were requested.
        Sort.LAST_RUN: ScheduledTask.last_run_id.expression,
    }[sort]
    first = (column.desc() if descending else column.asc()).nulls_last()
    return first, ScheduledTask.id.desc() if descending else ScheduledTask.id.asc()


def scanning_host(host: Host) -> Select[ScheduledTask]:
    """Return the tasks that scan the host, sorted by name.

    A task scans a host directly or by a tag.
    """
    return (
        select(ScheduledTask)
        .where(or_(ScheduledTask.host_id == host.id, ScheduledTask.host_tag.in_(host.tags)))
        .options(selectinload(ScheduledTask.host), selectinload(ScheduledTask.last_run))
        .order_by(*_order(Sort.NAME, descending=False))
    )


def count_paused(task_ids: Collection[int]) -> int:
    """Count the tasks that are paused."""
    chosen = ScheduledTask.id.in_(task_ids) & ScheduledTask.paused_at.is_not(None)
    return db.session.scalar(select(func.count()).select_from(ScheduledTask).where(chosen)) or 0


def get(task_id: int) -> ScheduledTask | None:
    """Return the task with its host and last run loaded, or None."""
    return db.session.get(
        ScheduledTask,
        task_id,
        options=[joinedload(ScheduledTask.host), joinedload(ScheduledTask.last_run)],
    )


def run_count(*task_ids: int) -> int:
    """Count the runs of the tasks."""
    return db.session.scalar(select(func.count()).select_from(Run).where(Run.task_id.in_(task_ids))) or 0


def by_ids(task_ids: Collection[int]) -> Sequence[ScheduledTask]:
    """Return the tasks that still exist, sorted by name."""
    return db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.id.in_(task_ids))
        .order_by(*_order(Sort.NAME, descending=False))
    ).all()
