"""What the overview shows: what runs, what went wrong, what is bad, what comes next. Reads only."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import case, func, select
from sqlalchemy.orm import joinedload

from vulsweb.extensions import db
from vulsweb.models import Finding, Host, Run, RunStatus, ScheduledTask, TaskType
from vulsweb.models.run import ACTIVE
from vulsweb.runs import history
from vulsweb.vuls.catalogue import DatabaseType
from vulsweb.vuls.results import Severity

TROUBLED = (RunStatus.FAILED, RunStatus.PARTIAL, RunStatus.TIMEOUT)
HOURS = 24


@dataclass(frozen=True)
class HostCounts:
    """The hosts in service, and those of them that no scan has ever reached."""

    total: int
    never_scanned: int


@dataclass(frozen=True)
class Hour:
    """The runs that were asked for in one hour, by what they came to."""

    begins_at: datetime
    counts: dict[RunStatus, int]

    @property
    def total(self) -> int:
        """Return how many there were."""
        return sum(self.counts.values())

    def of(self, statuses: Collection[RunStatus]) -> int:
        """Return how many of them came to one of these."""
        return sum(self.counts.get(status, 0) for status in statuses)


@dataclass(frozen=True)
class WorstHost:
    """A host with its open findings that are critical or high."""

    id: int
    name: str
    critical: int
    high: int


def running(limit: int) -> Sequence[Run]:
    """Return the runs that are not over yet, newest first."""
    chosen = history.query(ACTIVE).options(joinedload(Run.jobs)).limit(limit)
    return db.session.scalars(chosen).unique().all()


def troubled(limit: int) -> Sequence[Run]:
    """Return the latest runs that did not do all that was asked."""
    return db.session.scalars(history.query(TROUBLED).limit(limit)).all()


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


def host_counts() -> HostCounts:
    """Count the hosts in service."""
    never = func.count().filter(Host.last_scan_at.is_(None))
    row = db.session.execute(
        select(func.count(), never).select_from(Host).where(Host.retired_at.is_(None))
    ).one()
    return HostCounts(*row)


def new_since(moment: datetime) -> int:
    """Count the open findings on hosts in service that were first seen at `moment` or later."""
    query = (
        select(func.count())
        .select_from(Finding)
        .join(Finding.host)
        .where(Finding.fixed_at.is_(None), Finding.first_seen_at >= moment, Host.retired_at.is_(None))
    )
    return db.session.scalar(query) or 0


def outcomes(day: Collection[Hour]) -> dict[RunStatus, int]:
    """Return how many runs of a day came to what; what none came to is not named."""
    counted = {status: sum(hour.of([status]) for hour in day) for status in RunStatus}
    return {status: count for status, count in counted.items() if count}


def hours(now: datetime) -> list[Hour]:
    """Return the last 24 hours of the clock, this one among them, oldest first."""
    this_hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    found = {
        this_hour - timedelta(hours=back): Hour(this_hour - timedelta(hours=back), {})
        for back in reversed(range(HOURS))
    }
    hour = func.date_trunc("hour", Run.created_at)
    rows = db.session.execute(
        select(hour, Run.status, func.count()).where(Run.created_at >= min(found)).group_by(hour, Run.status)
    )
    for begins_at, status, count in rows:
        if begins_at in found:
            found[begins_at].counts[status] = count
    return list(found.values())


def worst_hosts(limit: int) -> Sequence[WorstHost]:
    """Return the hosts in service with the most critical findings, then the most high ones."""
    critical = func.count().filter(Finding.severity == Severity.CRITICAL)
    high = func.count().filter(Finding.severity == Severity.HIGH)
    rows = db.session.execute(
        select(Host.id, Host.name, critical, high)
        .join(Finding, Finding.host_id == Host.id)
        .where(
            Finding.severity.in_((Severity.CRITICAL, Severity.HIGH)),
            Finding.fixed_at.is_(None),
            Host.retired_at.is_(None),
        )
        .group_by(Host.id)
        .order_by(critical.desc(), high.desc(), Host.name)
        .limit(limit)
    )
    return [WorstHost(*row) for row in rows]
