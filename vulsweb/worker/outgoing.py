"""What goes out to people: messages, digests and failures of the system."""

import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from vulsweb import digests
from vulsweb.extensions import db
from vulsweb.models import EventKind, Trouble
from vulsweb.notifications import addresses, events, outbox, sending, task_pings, texts
from vulsweb.notifications.events import Happening
from vulsweb.system import health
from vulsweb.system.checks import Check, State

log = logging.getLogger(__name__)

# A restart is no trouble.
TOLD_AFTER = timedelta(seconds=90)
# What a worker spends on pings in one turn; the last one may take as long again.
PING_SECONDS = 8
_KINDS = {State.FAILED: EventKind.PART_FAILED, State.WARNING: EventKind.PART_WARNING}


def send_next(config: Mapping[str, Any], now: datetime) -> bool:
    """Send the next message; return False if there is nothing to do.

    There is none, or another worker is sending.
    """
    # Held until the message is recorded as sent: two workers never send the same one.
    with db.engine.connect() as connection:
        if not connection.scalar(select(func.pg_try_advisory_xact_lock(func.hashtext("notify")))):
            return False
        message = outbox.next_message(now)
        db.session.commit()
        if message is None:
            return False
        channel_id, name = message.channel.id, message.channel.name
        problem = _send(message, config)
        if problem is None:
            outbox.record_sent(channel_id, message.id, now)
            log.info("channel %d %s: sent a message of %d events", channel_id, name, len(message.events))
        else:
            outbox.record_failure(channel_id, message.id, problem, now)
            log.warning("channel %d %s: not sent: %s", channel_id, name, problem)
        db.session.commit()
    return True


def _send(message: outbox.Message, config: Mapping[str, Any]) -> str | None:
    text = texts.write(message.events, config["PUBLIC_URL"])
    try:
        url = addresses.decrypt(message.channel.url, config["SECRET_KEY"])
    except addresses.AddressUnreadable as error:
        return str(error)
    db.session.rollback()  # no transaction is open while the other side answers
    return sending.send(url, message.id, text)


def ping_tasks(secret_key: str, now: datetime) -> int:
    """Report runs to the outside services of their tasks; return how many.

    One worker at a time does so. A ping may arrive twice, if the worker dies in between.
    """
    begun, held, sent = time.monotonic(), set(), 0
    with db.engine.connect() as connection:
        if not connection.scalar(select(func.pg_try_advisory_xact_lock(func.hashtext("task pings")))):
            return 0
        facts = [
            (ping.id, ping.task_id, ping.task.ping_url, ping.kind, ping.text) for ping in task_pings.due(now)
        ]
        db.session.commit()  # no transaction is open while the other side answers
        for ping_id, task_id, address, kind, text in facts:
            if task_id not in held and time.monotonic() - begun <= PING_SECONDS:
                problem = task_pings.send(address, kind, text, secret_key)
                task_pings.record_try(ping_id, problem, now)
                db.session.commit()
                sent += problem is None
                held |= {task_id} if problem else set()
    return sent


def write_digests(now: datetime) -> None:
    """Add the digests that are due to the outbox."""
    for channel in digests.due(now):
        digests.write(channel, now)


def watch_parts(config: Mapping[str, Any], now: datetime) -> None:
    """Note parts of the system that fail or recover; tell of them."""
    checks = health.read(config, now).checks
    troubles = {trouble.part: trouble for trouble in db.session.scalars(select(Trouble))}
    # A part counts as told only if a channel gets it, so a channel that is added later hears of it.
    is_wanted = events.is_wanted(*_KINDS.values(), EventKind.PART_RECOVERED)
    told = [_told(check, troubles.get(check.name), now, is_wanted) for check in checks]
    events.record([happening for happening in told if happening], now)


def _told(check: Check, trouble: Trouble | None, now: datetime, is_wanted: bool) -> Happening | None:
    if check.state is State.OK:
        if trouble is None:
            return None
        db.session.delete(trouble)
        text = f"It did not for {round((now - trouble.since).total_seconds() / 60)} minutes."
        title = f"{check.label} works again"
        return _about(EventKind.PART_RECOVERED, check, title, text) if trouble.told else None
    if trouble is None:
        db.session.add(Trouble(part=check.name, since=now, told=False))
        return None
    if now - trouble.since < TOLD_AFTER or not is_wanted:
        return None
    news, trouble.told = not trouble.told, True
    text = "\n".join((check.message, *check.advice))
    return _about(_KINDS[check.state], check, f"{check.label}: {check.state.label.lower()}", text, news=news)


def _about(kind: EventKind, check: Check, title: str, text: str, *, news: bool = True) -> Happening:
    return Happening(kind, f"part {check.name}", title, text, "/system/", news=news)
