"""What happened: recorded for every channel whose rules want to know."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from vulsweb.extensions import db
from vulsweb.models import Channel, Delivery, Event, EventKind, Rule, ScheduledTask
from vulsweb.vuls.results import Severity

TITLE_LENGTH = 200
TEXT_LENGTH = 4000


@dataclass(frozen=True)
class Happening:
    """Something that happened; text may come from a scanned host."""

    kind: EventKind
    subject: str
    title: str
    text: str = ""
    path: str = "/"
    task: ScheduledTask | None = None
    severity: Severity | None = None
    # What still goes on is told again only by rules that repeat.
    news: bool = True


def record(happenings: Sequence[Happening], now: datetime) -> None:
    """Add what happened to the outbox, in the caller's transaction.

    What no rule asks for is not stored.
    """
    wanted = {happening.kind.value for happening in happenings}
    if not wanted:
        return
    rules = [rule for rule in _active_rules() if wanted & set(rule.kinds)]
    for happening in happenings:
        channels = {rule.channel_id for rule in rules if _matches(rule, happening, now)}
        add(happening, channels, now)


def add(happening: Happening, channel_ids: Collection[int], now: datetime) -> None:
    """Add an event for some channels, whatever their rules say."""
    if not channel_ids:
        return
    event = Event(
        kind=happening.kind,
        subject=happening.subject[:TITLE_LENGTH],
        at=now,
        title=one_line(happening.title)[:TITLE_LENGTH],
        text=_storable(happening.text)[:TEXT_LENGTH],
        path=happening.path,
    )
    db.session.add(event)
    db.session.add_all(
        Delivery(channel_id=channel_id, event=event, created_at=now) for channel_id in sorted(channel_ids)
    )
    db.session.flush()


def is_wanted(*kinds: EventKind) -> bool:
    """Return whether a channel is to be told of one of these."""
    return any(set(kinds) & set(rule.kinds) for rule in _active_rules())


def one_line(text: str) -> str:
    """Return the text as one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _storable(text: str) -> str:
    return "".join(c for c in text if c == "\n" or c.isprintable())


def _active_rules() -> Sequence[Rule]:
    # One small query, whatever happened: an installation has a handful of rules.
    return db.session.scalars(select(Rule).join(Channel).where(Channel.active)).all()


def _matches(rule: Rule, happening: Happening, now: datetime) -> bool:
    return (
        happening.kind.value in rule.kinds
        and _is_about(rule, happening.task)
        and _is_severe_enough(rule, happening)
        and (happening.news or _is_time_again(rule, happening, now))
    )


def _is_about(rule: Rule, task: ScheduledTask | None) -> bool:
    if rule.task_id is None and rule.tag is None and rule.host_id is None:
        return True
    if task is None or rule.task_id not in (None, task.id) or rule.host_id not in (None, task.host_id):
        return False
    if rule.tag is None:
        return True
    return rule.tag == task.host_tag or (task.host is not None and rule.tag in task.host.tags)


def _is_severe_enough(rule: Rule, happening: Happening) -> bool:
    if rule.severity is None or happening.kind is not EventKind.NEW_FINDINGS:
        return True
    return happening.severity is not None and happening.severity.rank <= rule.severity.rank


def _is_time_again(rule: Rule, happening: Happening, now: datetime) -> bool:
    if rule.repeat_hours is None:
        return False
    since = now - timedelta(hours=rule.repeat_hours)
    told = (
        select(Delivery.id)
        .join(Event)
        .where(
            Delivery.channel_id == rule.channel_id,
            Event.kind == happening.kind,
            Event.subject == happening.subject,
            Event.at > since,
        )
    )
    return db.session.scalar(select(told.exists())) is False
