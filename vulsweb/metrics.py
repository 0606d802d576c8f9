"""Metrics for Prometheus, read from PostgreSQL: the same from each web process."""

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy import extract, func, select
from sqlalchemy import text as sql

from vulsweb.extensions import db
from vulsweb.models import (
    Delivery,
    Finding,
    Heartbeat,
    Host,
    Run,
    RunStatus,
    ScheduledTask,
    TaskType,
    Trigger,
    Trouble,
)
from vulsweb.models.heartbeat import TICK
from vulsweb.models.run import ACTIVE
from vulsweb.vuls.results import Outcome, Severity

# Upper bounds of how late a scheduled run began, in seconds.
LATENESS = (1, 2, 5, 10, 30, 60, 300, 1800)
RECENT = timedelta(days=1)
_LATEST_CONTENT = sql(
    "SELECT DISTINCT ON (entry ->> 'executor', entry ->> 'name')"
    " entry ->> 'executor', entry ->> 'name', entry ->> 'made_at'"
    " FROM runs JOIN scheduled_tasks ON scheduled_tasks.id = runs.task_id,"
    " jsonb_array_elements(runs.result_data -> 'databases') AS entry"
    " WHERE task_type = 'db_update' AND status IN ('success', 'partial')"
    " AND entry ->> 'status' = 'completed' AND entry ->> 'executor' IS NOT NULL"
    " ORDER BY entry ->> 'executor', entry ->> 'name', runs.id DESC"
)


def text(version: str, now: datetime) -> bytes:
    """Return all metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(version, now))
    return generate_latest(registry)


class _Collector:
    def __init__(self, version: str, now: datetime) -> None:
        self.version, self.now = version, now

    def collect(self) -> Iterator[Metric]:
        """Yield each metric."""
        info = GaugeMetricFamily("vulsweb_info", "The version of Vuls Web.", labels=["version"])
        info.add_metric([self.version], 1)
        yield info
        yield from _runs(self.now)
        yield from _databases()
        yield _lateness(self.now)
        yield from _hosts_and_findings()
        yield from _system(self.now)


def _runs(now: datetime) -> Iterator[Metric]:
    active = GaugeMetricFamily("vulsweb_runs_active", "Runs that have not ended.", labels=["status"])
    counted = select(Run.status, func.count()).where(Run.status.in_(ACTIVE)).group_by(Run.status)
    rows = db.session.execute(counted)
    found = {status: count for status, count in rows}  # noqa: C416 - dict() loses the types
    for status in ACTIVE:
        active.add_metric([status.value], found.get(status, 0))
    yield active
    recent = GaugeMetricFamily(
        "vulsweb_runs_24h", "Runs of the last 24 hours that have ended.", labels=["type", "status"]
    )
    ended = (
        select(ScheduledTask.task_type, Run.status, func.count())
        .join(Run.task)
        .where(Run.created_at > now - RECENT, Run.status.not_in(ACTIVE))
        .group_by(ScheduledTask.task_type, Run.status)
    )
    counts = {(kind, status): count for kind, status, count in db.session.execute(ended)}
    for kind in TaskType:
        for status in RunStatus:
            if not status.is_active:
                recent.add_metric([kind.value, status.value], counts.get((kind, status), 0))
    yield recent


def _databases() -> Iterator[Metric]:
    updated = GaugeMetricFamily(
        "vulsweb_database_updated_timestamp_seconds",
        "When an update of a database last succeeded, by the task's setting.",
        labels=["database"],
    )
    latest = (
        select(ScheduledTask.database_type, func.max(Run.completed_at))
        .join(Run.task)
        .where(ScheduledTask.task_type == TaskType.DB_UPDATE, Run.status == RunStatus.SUCCESS)
        .group_by(ScheduledTask.database_type)
    )
    for database, moment in db.session.execute(latest):
        if database and moment:
            updated.add_metric([database.value], moment.timestamp())
    yield updated
    content = GaugeMetricFamily(
        "vulsweb_database_content_timestamp_seconds",
        "When the content of a database was made, as of its last update.",
        labels=["executor", "database"],
    )
    for executor, database, made_at in db.session.execute(_LATEST_CONTENT):
        # Executors of other versions send what they like.
        with contextlib.suppress(ValueError, TypeError):
            content.add_metric([executor, database], datetime.fromisoformat(made_at).timestamp())
    yield content


def _lateness(now: datetime) -> Metric:
    late = extract("epoch", Run.started_at - Run.scheduled_for)
    chosen = (
        Run.trigger == Trigger.SCHEDULE,
        Run.created_at > now - RECENT,
        Run.started_at.is_not(None),
    )
    columns = [func.count().filter(late <= bound) for bound in LATENESS]
    *within, total, seconds = db.session.execute(
        select(*columns, func.count(), func.coalesce(func.sum(late), 0)).where(*chosen)
    ).one()
    bounds = [*map(str, map(float, LATENESS)), "+Inf"]
    return HistogramMetricFamily(
        "vulsweb_run_start_lateness_seconds",
        "How long after their slot the scheduled runs of the last 24 hours began.",
        buckets=list(zip(bounds, [*within, total], strict=True)),
        sum_value=float(seconds),
    )


def _hosts_and_findings() -> Iterator[Metric]:
    hosts = GaugeMetricFamily("vulsweb_hosts", "Active hosts by their latest scan.", labels=["outcome"])
    by_outcome = select(Host.last_outcome, func.count()).where(Host.retired_at.is_(None))
    rows = db.session.execute(by_outcome.group_by(Host.last_outcome))
    counted = {outcome: count for outcome, count in rows}  # noqa: C416 - dict() loses the types
    for outcome in Outcome:
        hosts.add_metric([outcome.value], counted.get(outcome, 0))
    hosts.add_metric(["never_scanned"], counted.get(None, 0))
    yield hosts
    findings = GaugeMetricFamily(
        "vulsweb_open_findings", "Open findings on active hosts.", labels=["severity"]
    )
    open_ones = (
        select(Finding.severity, func.count())
        .join(Host)
        .where(Finding.fixed_at.is_(None), Host.retired_at.is_(None))
        .group_by(Finding.severity)
    )
    by_severity = db.session.execute(open_ones)
    found = {severity: count for severity, count in by_severity}  # noqa: C416 - as above
    for severity in Severity:
        findings.add_metric([severity.value], found.get(severity, 0))
    yield findings


def _system(now: datetime) -> Iterator[Metric]:
    tick = db.session.scalar(select(Heartbeat.at).where(Heartbeat.name == TICK))
    age = GaugeMetricFamily(
        "vulsweb_scheduler_tick_age_seconds", "How long ago the scheduler last looked for due tasks."
    )
    if tick is not None:
        age.add_metric([], (now - tick).total_seconds())
    yield age
    failing = GaugeMetricFamily(
        "vulsweb_failing_parts",
        "How long a part of the system needs attention, in seconds. Parts that work are absent.",
        labels=["part"],
    )
    for trouble in db.session.scalars(select(Trouble).order_by(Trouble.part)):
        failing.add_metric([trouble.part], (now - trouble.since).total_seconds())
    yield failing
    waiting = select(func.count()).where(Delivery.sent_at.is_(None), Delivery.given_up_at.is_(None))
    outbox = GaugeMetricFamily("vulsweb_outbox_waiting", "Events that wait to be sent to a channel.")
    outbox.add_metric([], db.session.scalar(waiting) or 0)
    yield outbox
