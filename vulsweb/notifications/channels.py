"""Channels and rules, as admins define them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from vulsweb import cron
from vulsweb.audit import trail
from vulsweb.extensions import db
from vulsweb.models import (
    AuditAction,
    AuditKind,
    Channel,
    Delivery,
    EventKind,
    Host,
    Rhythm,
    Rule,
    ScheduledTask,
)
from vulsweb.models.notification import ABOUT_TASKS, CHOSEN_BY_RULES
from vulsweb.models.text import plain_text
from vulsweb.notifications import addresses, events
from vulsweb.notifications.addresses import AddressError
from vulsweb.notifications.events import Happening
from vulsweb.vuls.results import Severity

NAME_LENGTH = 80
MOST_HOURS = 24 * 30
# What a new channel is told of, until someone chooses otherwise.
FIRST_KINDS = (
    EventKind.RUN_FAILED,
    EventKind.RUN_TIMED_OUT,
    EventKind.RUN_PARTIAL,
    EventKind.RUN_RECOVERED,
    EventKind.RUN_MISSED,
    EventKind.NEW_FINDINGS,
    EventKind.PART_FAILED,
    EventKind.PART_RECOVERED,
)


class InvalidChannel(ValueError):
    """Invalid values; `errors` has a sentence for each field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


def all_channels() -> Sequence[Channel]:
    """Return all channels, by name."""
    return db.session.scalars(select(Channel).order_by(func.lower(Channel.name))).all()


def exist() -> bool:
    """Return whether there is any channel."""
    return db.session.scalar(select(Channel.id).limit(1)) is not None


def waiting_counts() -> Mapping[int, int]:
    """Return how many messages wait for each channel."""
    waits = Delivery.sent_at.is_(None), Delivery.given_up_at.is_(None)
    rows = db.session.execute(
        select(Delivery.channel_id, func.count()).where(*waits).group_by(Delivery.channel_id)
    )
    return {channel_id: count for channel_id, count in rows}  # noqa: C416 - dict() loses the types


def create(name: str, url: str, zone: str, secret_key: str, now: datetime) -> Channel:
    """Add a channel with a rule for what matters; raise InvalidChannel."""
    channel = Channel(name="", url="", timezone="UTC", created_at=now)
    errors = _name_errors(channel, name) | _address_errors(url)
    if errors:
        raise InvalidChannel(errors)
    channel.name, channel.url = name.strip(), addresses.encrypt(url, secret_key)
    channel.timezone = cron.check_zone(zone)
    channel.rules.append(
        Rule(kinds=[kind.value for kind in FIRST_KINDS], severity=Severity.HIGH, task_id=None)
    )
    db.session.add(channel)
    db.session.flush()
    return channel


def edit(channel: Channel, values: Mapping[str, Any], now: datetime) -> None:
    """Change name, state, quiet hours and digest; raise InvalidChannel.

    Times of day are written like "22:30", and empty for no quiet hours.
    """
    errors = _name_errors(channel, values["name"])
    minutes: dict[str, int | None] = {}
    for field in ("quiet_from", "quiet_until", "digest_at"):
        try:
            minutes[field] = _minute(values[field])
        except ValueError as error:
            errors[field] = str(error)
    if not errors and (minutes["quiet_from"] is None) != (minutes["quiet_until"] is None):
        errors["quiet_from"] = "Enter both times, or none."
    try:
        zone = cron.check_zone(values["timezone"])
    except ValueError as error:
        errors["timezone"] = str(error)
    if values["digest"] not in set(Rhythm):
        errors["digest"] = "Choose how often."
    if values["digest_weekday"] not in {str(day) for day in range(7)}:
        errors["digest_weekday"] = "Choose a day."
    if errors:
        raise InvalidChannel(errors)
    channel.name, channel.active, channel.timezone = values["name"].strip(), values["active"], zone
    channel.quiet_from, channel.quiet_until = minutes["quiet_from"], minutes["quiet_until"]
    channel.digest, channel.digest_weekday = Rhythm(values["digest"]), int(values["digest_weekday"])
    channel.digest_minute = minutes["digest_at"] or 0
    channel.digest_when_empty = values["digest_when_empty"]
    plan_digest(channel, now)


def plan_digest(channel: Channel, now: datetime) -> None:
    """Set when the channel's next digest is due."""
    if channel.digest is Rhythm.NEVER or not channel.active:
        channel.next_digest_at = channel.digest_since = None
        return
    day = "*" if channel.digest is Rhythm.DAILY else str(channel.digest_weekday)
    line = f"{channel.digest_minute % 60} {channel.digest_minute // 60} * * {day}"
    channel.next_digest_at = cron.next_slot(line, channel.timezone, now)


def change_address(channel: Channel, url: str, secret_key: str) -> None:
    """Send the channel's messages to another address; raise InvalidChannel."""
    if errors := _address_errors(url):
        raise InvalidChannel(errors)
    channel.url = addresses.encrypt(url, secret_key)
    channel.failures, channel.next_try_at, channel.last_error = 0, None, None


def send_test(channel: Channel, sender: str, now: datetime) -> None:
    """Add a test message, to be sent at once."""
    test = Happening(
        EventKind.TEST,
        f"channel {channel.id}",
        f"Test of the channel {channel.name}",
        f"{sender} has sent this to see whether it arrives. It does.",
        f"/notifications/{channel.id}",
    )
    channel.next_try_at = None
    trail.note(AuditAction.TESTED, AuditKind.CHANNEL, channel.id, channel.name)
    events.add(test, [channel.id], now)


def add_rule(channel: Channel, values: Mapping[str, Any]) -> Rule:
    """Add a rule to a channel; raise InvalidChannel."""
    rule = Rule(kinds=[], task_id=None)
    edit_rule(rule, values)
    channel.rules.append(rule)
    db.session.flush()
    return rule


def edit_rule(rule: Rule, values: Mapping[str, Any]) -> None:
    """Change a rule; raise InvalidChannel."""
    errors: dict[str, str] = {}
    kinds = [kind.value for kind in CHOSEN_BY_RULES if kind.value in values["kinds"]]
    if not kinds:
        errors["kinds"] = "Choose at least one event."
    task = _named(ScheduledTask, values["task"], errors, "task")
    host = _named(Host, values["host"], errors, "host")
    severity = Severity(values["severity"]) if values["severity"] in set(Severity) else None
    hours = _hours(values["repeat_hours"], errors)
    try:
        tag = plain_text(values["tag"], 32) or None
    except ValueError as error:
        errors["tag"] = str(error)
    if not errors and (task or host or tag) and not set(kinds) & {kind.value for kind in ABOUT_TASKS}:
        errors["kinds"] = "None of these events is about a task or a host. Leave those fields empty."
    if errors:
        raise InvalidChannel(errors)
    rule.kinds, rule.tag, rule.severity, rule.repeat_hours = kinds, tag, severity, hours
    rule.task, rule.host = task, host


def _named(model: type[Any], name: str, errors: dict[str, str], field: str) -> Any:
    if not name.strip():
        return None
    found = db.session.scalars(select(model).where(func.lower(model.name) == name.strip().lower())).first()
    if found is None:
        errors[field] = f"There is no {field} with this name."
    return found


def _hours(text: str, errors: dict[str, str]) -> int | None:
    if not text.strip():
        return None
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:6]) <= MOST_HOURS:
        errors["repeat_hours"] = f"Enter hours from 1 to {MOST_HOURS}, or nothing."
        return None
    return int(text)


def _name_errors(channel: Channel, name: str) -> dict[str, str]:
    try:
        name = plain_text(name, NAME_LENGTH)
    except ValueError as error:
        return {"name": str(error)}
    if not name or not name.isprintable():
        return {"name": "Enter a name."}
    same = select(Channel.id).where(func.lower(Channel.name) == name.lower(), Channel.id != channel.id)
    if channel.id is None:
        same = select(Channel.id).where(func.lower(Channel.name) == name.lower())
    if db.session.scalar(same) is not None:
        return {"name": "Another channel has this name."}
    return {}


def _address_errors(url: str) -> dict[str, str]:
    try:
        addresses.service(url)
    except AddressError as error:
        return {"url": str(error)}
    return {}


def _minute(text: str) -> int | None:
    """Return the minute of the day of a time like "22:30"."""
    if not text.strip():
        return None
    hours, colon, minutes = text.strip().partition(":")
    are_digits = text.isascii() and all(each.isdecimal() and len(each) <= 2 for each in (hours, minutes))
    numbers = [int(each) for each in (hours, minutes)] if are_digits else []
    if not colon or len(numbers) != 2 or numbers[0] > 23 or numbers[1] > 59:
        raise ValueError("Enter a time like 22:30.")
    return numbers[0] * 60 + numbers[1]
