"""Digests: what happened since the last one, in one message."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select

from vulsweb.extensions import db
from vulsweb.models import Channel, EventKind, Finding, Host, Run, RunStatus, ScheduledTask
from vulsweb.models.notification import Rhythm
from vulsweb.models.run import LATE
from vulsweb.notifications import channels, events
from vulsweb.notifications.events import Happening
from vulsweb.runs.notices import finding_line
from vulsweb.vuls.results import Severity

# Of each list; the pages have all of them.
MOST_LINES = 10
# What the first digest of a channel covers; each later one begins where the last one ended.
_PERIODS = {Rhythm.DAILY: timedelta(days=1), Rhythm.WEEKLY: timedelta(weeks=1)}
_FAILED = (RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.PARTIAL)


def due(now: datetime) -> Sequence[Channel]:
    """Lock and return the channels whose digest is due."""
    chosen = select(Channel).where(Channel.active, Channel.next_digest_at <= now).order_by(Channel.id)
    return db.session.scalars(chosen.with_for_update(skip_locked=True)).all()


def write(channel: Channel, now: datetime) -> None:
    """Add a channel's digest to the outbox, and plan the next."""
    since = channel.digest_since or now - _PERIODS[channel.digest]
    summary, sections = _summary(since), _sections(since, now)
    if sections or channel.digest_when_empty:
        title = f"{'Week' if channel.digest is Rhythm.WEEKLY else 'Day'} in short: {summary}"
        sections = sections or ["Nothing new, nothing failed, nothing overdue."]
        text = "\n\n".join((f"{summary[0].upper()}{summary[1:]}.", *sections))
        digest = Happening(EventKind.DIGEST, f"channel {channel.id}", title, text)
        events.add(digest, [channel.id], now)
    channel.digest_since = now
    channels.plan_digest(channel, now)


def _summary(since: datetime) -> str:
    """Return the first line: what is new, and what failed."""
    ended = select(Run.status, func.count()).where(Run.completed_at > since).group_by(Run.status)
    counts = {status: count for status, count in db.session.execute(ended)}  # noqa: C416 - typed
    failed = sum(counts.get(status, 0) for status in _FAILED)
    total = failed + counts.get(RunStatus.SUCCESS, 0)
    found = _new_findings(since)
    new = ", ".join(f"{found[severity]:,} {severity.value}" for severity in Severity if severity in found)
    findings = f"new findings: {new}" if new else "no new findings"
    return f"{findings}; {failed:,} of {total:,} runs not complete"


def _new_findings(since: datetime) -> dict[Severity, int]:
    counted = (
        select(Finding.severity, func.count())
        .where(Finding.first_seen_at > since, Finding.fixed_at.is_(None))
        .group_by(Finding.severity)
    )
    return {severity: count for severity, count in db.session.execute(counted)}  # noqa: C416 - typed


def _sections(since: datetime, now: datetime) -> list[str]:
    parts = (("New", _new(since)), ("Not complete", _failed(since)), ("Overdue", _overdue(now)))
    return ["\n".join((f"{heading}:", *lines)) for heading, lines in parts if lines]


def _new(since: datetime) -> list[str]:
    worst = (
        select(Finding.cve_id, Finding.severity, Host.name, Finding.title)
        .join(Host, Finding.host_id == Host.id)
        .where(Finding.first_seen_at > since, Finding.fixed_at.is_(None))
        .order_by(Finding.severity_order, Finding.id)
        .limit(MOST_LINES)
    )
    return [finding_line(*row) for row in db.session.execute(worst)]


def _failed(since: datetime) -> list[str]:
    ended = (
        select(ScheduledTask.name, Run.status, Run.reason)
        .join(ScheduledTask, Run.task_id == ScheduledTask.id)
        .where(Run.completed_at > since, Run.status.in_(_FAILED))
        .order_by(Run.id.desc())
        .limit(MOST_LINES)
    )
    rows = db.session.execute(ended)
    return [f"{name}: {status.label.lower()}. {reason or ''}".strip() for name, status, reason in rows]


def _overdue(now: datetime) -> list[str]:
    """Return active tasks that are paused or late, one a line."""
    late = (
        select(ScheduledTask.name, ScheduledTask.paused_reason)
        .where(
            ScheduledTask.active,
            ScheduledTask.paused_at.is_not(None) | (ScheduledTask.next_run_at < now - LATE),
        )
        .order_by(func.lower(ScheduledTask.name))
        .limit(MOST_LINES)
    )
    rows = db.session.execute(late)
    return [f"{name}: {reason or 'its run is due and has not begun.'}" for name, reason in rows]
