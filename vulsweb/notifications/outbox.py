"""The outbox: what waits for a channel becomes one message."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Update, delete, or_, select, update
from sqlalchemy.orm import joinedload

from vulsweb.audit import trail
from vulsweb.extensions import db
from vulsweb.models import AuditAction, AuditKind, Channel, Delivery, Event, EventKind

# Between two attempts at a channel that fails: one minute, then twice as long each time.
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)
# After this long nobody wants the message any more. The channel's page shows it.
GIVE_UP_AFTER = timedelta(days=7)
REASON_LENGTH = 500


@dataclass(frozen=True)
class Message:
    """What waits for one channel, as one message."""

    id: str  # the same for each attempt whose end nobody saw
    channel: Channel
    events: Sequence[Event]  # oldest first


def next_message(now: datetime) -> Message | None:
    """Return the message to send next; None if nothing is due.

    Everything that waits for a channel is one message, so nothing floods one that was down. The caller
    commits before it sends.
    """
    due = (
        select(Channel)
        .where(
            Channel.active,
            select(Delivery.id).where(_is_waiting(), Delivery.channel_id == Channel.id).exists(),
            or_(Channel.next_try_at.is_(None), Channel.next_try_at <= now),
        )
        .order_by(Channel.next_try_at.nulls_first(), Channel.last_sent_at.nulls_first(), Channel.id)
    )
    for channel in db.session.scalars(due).all():
        deliveries = waiting(channel)
        if is_quiet(channel, now):
            # Somebody looks at the page and waits for a test.
            deliveries = [each for each in deliveries if each.event.kind is EventKind.TEST]
        if deliveries:
            return _begin(channel, deliveries)
    return None


def _begin(channel: Channel, deliveries: Sequence[Delivery]) -> Message:
    # A message whose end nobody saw goes out as it was; what came since then waits for the next one.
    begun = next((each.message_id for each in deliveries if each.message_id), None)
    chosen = [each for each in deliveries if each.message_id == begun] if begun else deliveries
    message_id = begun or str(uuid.uuid4())
    for each in chosen:
        each.message_id = message_id
    return Message(message_id, channel, [each.event for each in chosen])


def waiting(channel: Channel) -> Sequence[Delivery]:
    """Return what waits for a channel, oldest first."""
    chosen = select(Delivery).where(_is_waiting(), Delivery.channel_id == channel.id).order_by(Delivery.id)
    return db.session.scalars(chosen.options(joinedload(Delivery.event))).all()


def latest(channel: Channel, limit: int) -> Sequence[Delivery]:
    """Return the latest deliveries of a channel, newest first."""
    chosen = select(Delivery).where(Delivery.channel_id == channel.id).order_by(Delivery.id.desc())
    return db.session.scalars(chosen.options(joinedload(Delivery.event)).limit(limit)).all()


def record_sent(channel_id: int, message_id: str, now: datetime) -> None:
    """Record that a message was sent."""
    db.session.execute(_of_message(channel_id, message_id).values(sent_at=now))
    calm = {"failures": 0, "next_try_at": None, "last_error": None, "last_sent_at": now}
    db.session.execute(update(Channel).where(Channel.id == channel_id).values(calm))


def record_failure(channel_id: int, message_id: str, reason: str, now: datetime) -> None:
    """Record that a message was not sent, and when to try again."""
    channel = db.session.get(Channel, channel_id, populate_existing=True)
    if channel is None:  # deleted meanwhile
        return
    pause = min(FIRST_PAUSE * 2 ** min(channel.failures, 10), LONGEST_PAUSE)
    channel.failures += 1
    channel.next_try_at = now + pause
    channel.last_error = reason[:REASON_LENGTH]
    db.session.execute(_of_message(channel_id, message_id).values(message_id=None))
    too_old = (_is_waiting(), Delivery.channel_id == channel_id, Delivery.created_at < now - GIVE_UP_AFTER)
    db.session.execute(update(Delivery).where(*too_old).values(given_up_at=now))


def send_again(channel: Channel, now: datetime) -> None:
    """Try a channel now, with the messages that were given up."""
    given_up = (Delivery.channel_id == channel.id, Delivery.given_up_at.is_not(None))
    db.session.execute(update(Delivery).where(*given_up).values(given_up_at=None, created_at=now))
    channel.next_try_at = None
    trail.note(AuditAction.SENT_AGAIN, AuditKind.CHANNEL, channel.id, channel.name)


def is_quiet(channel: Channel, now: datetime) -> bool:
    """Return whether the channel's quiet hours last."""
    begin, end = channel.quiet_from, channel.quiet_until
    if begin is None or end is None:
        return False
    local = now.astimezone(ZoneInfo(channel.timezone))
    minute = local.hour * 60 + local.minute
    return begin <= minute < end if begin <= end else minute >= begin or minute < end


def prune(before: datetime) -> None:
    """Delete the events before a moment that wait for no channel."""
    waits = select(Delivery.id).where(_is_waiting(), Delivery.event_id == Event.id).exists()
    db.session.execute(delete(Event).where(Event.at < before, ~waits))


def _of_message(channel_id: int, message_id: str) -> Update:
    chosen = (_is_waiting(), Delivery.channel_id == channel_id, Delivery.message_id == message_id)
    return update(Delivery).where(*chosen).execution_options(synchronize_session=False)


def _is_waiting() -> ColumnElement[bool]:
    return Delivery.sent_at.is_(None) & Delivery.given_up_at.is_(None)
