"""Queries of the overview page."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import joinedload

from vulsweb.extensions import db
from vulsweb.models import Finding, Host, Run, RunStatus, ScheduledTask
from vulsweb.models.run import ACTIVE
from vulsweb.runs import history
from vulsweb.vuls.results import Severity

PROBLEMS = (RunStatus.FAILED, RunStatus.PARTIAL, RunStatus.TIMEOUT)
HOURS = 24


@dataclass(frozen=True)
class HostCounts:
    """How many hosts are active, and how many were never scanned."""

    total: int
    never_scanned: int


@dataclass(frozen=True)
class Hour:
    """The runs created in one hour, counted by status."""

    begins_at: datetime
    counts: dict[RunStatus, int]

    @property
    def total(self) -> int:
        """Return the number of runs."""
        return sum(self.counts.values())

    def of(self, statuses: Collection[RunStatus]) -> int:
        """Return the number of runs with one of these statuses."""
        return sum(self.counts.get(status, 0) for status in statuses)


@dataclass(frozen=True)
class WorstHost:
    """A host with the numbers of its open critical and high findings."""

    id: int
    name: str
    critical: int
    high: int


def running(limit: int) -> Sequence[Run]:
    """Return the active runs, newest first."""
    chosen = history.query(ACTIVE).options(joinedload(Run.jobs)).limit(limit)
    return db.session.scalars(chosen).unique().all()


def recent_problems(limit: int) -> Sequence[Run]:
    """Return the latest runs that failed, timed out or are partial."""
    return db.session.scalars(history.query(PROBLEMS).limit(limit)).all()


def next_up(limit: int) -> Sequence[ScheduledTask]:
    """Return the active tasks that run next."""
    return db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.active)
        .options(joinedload(ScheduledTask.host))
        .order_by(ScheduledTask.next_run_at, ScheduledTask.id)
        .limit(limit)
    ).all()


def host_counts() -> HostCounts:
    """Count the active hosts."""
    never = func.count().filter(Host.last_scan_at.is_(None))
    row = db.session.execute(
        select(func.count(), never).select_from(Host).where(Host.retired_at.is_(None))
    ).one()
    return HostCounts(*row)


def new_since(moment: datetime) -> int:
    """Count the open findings on active hosts first seen since `moment`."""
    query = (
        select(func.count())
        .select_from(Finding)
        .join(Finding.host)
        .where(Finding.fixed_at.is_(None), Finding.first_seen_at >= moment, Host.retired_at.is_(None))
    )
    return db.session.scalar(query) or 0


def hours(now: datetime) -> list[Hour]:
    """Return the last 24 clock hours, including the current one, oldest first."""
    this_hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    by_hour = {
        this_hour - timedelta(hours=back): Hour(this_hour - timedelta(hours=back), {})
        for back in reversed(range(HOURS))
    }
    hour = func.date_trunc("hour", Run.created_at)
    rows = db.session.execute(
        select(hour, Run.status, func.count())
        .where(Run.created_at >= min(by_hour))
        .group_by(hour, Run.status)
    )
    for begins_at, status, count in rows:
        if begins_at in by_hour:
            by_hour[begins_at].counts[status] = count
    return list(by_hour.values())


def outcomes(day: Collection[Hour]) -> dict[RunStatus, int]:
    """Return the number of runs by status, without zeros."""
    counted = {status: sum(hour.of([status]) for hour in day) for status in RunStatus}
    return {status: count for status, count in counted.items() if count}


def worst_hosts(limit: int) -> Sequence[WorstHost]:
    """Return the active hosts with the most critical and high findings."""
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
