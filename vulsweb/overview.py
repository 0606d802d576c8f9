"""What the overview shows: what runs, what went wrong, what comes next. Reads only."""

from collections.abc import Sequence

from sqlalchemy import case, select
from sqlalchemy.orm import joinedload

from vulsweb import runs
from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus, ScheduledTask, TaskType
from vulsweb.models.run import ACTIVE
from vulsweb.vuls.databases import DatabaseType

TROUBLED = (RunStatus.FAILED, RunStatus.PARTIAL, RunStatus.TIMEOUT)


def running(limit: int) -> Sequence[Run]:
    """Return the runs that are not over yet, newest first."""
    return db.session.scalars(runs.query(ACTIVE).limit(limit)).all()


def troubled(limit: int) -> Sequence[Run]:
    """Return the latest runs that did not do all that was asked."""
    return db.session.scalars(runs.query(TROUBLED).limit(limit)).all()


def next_up(limit: int) -> Sequence[ScheduledTask]:
    """Return the active tasks whose slots come first."""
    return db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.active)
        .options(joinedload(ScheduledTask.host))
        .order_by(ScheduledTask.next_run_at, ScheduledTask.id)
        .limit(limit)
    ).all()


def database_update() -> ScheduledTask | None:
    """Return the task that updates the most databases, if there is one."""
    everything_first = case((ScheduledTask.database_type == DatabaseType.ALL, 0), else_=1)
    return db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.task_type == TaskType.DB_UPDATE)
        .order_by(everything_first, ScheduledTask.id)
    ).first()
