"""Pings of single tasks: an outside service watches them.

Its address gets a request when a run starts (with /start at its end), succeeds, or ends otherwise (with
/fail), as services in the style of Healthchecks take them (https://healthchecks.io/docs/http_api/).
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit, urlunsplit

import requests
from sqlalchemy import select
from sqlalchemy.orm import aliased, joinedload

from vulsweb import encryption
from vulsweb.extensions import db
from vulsweb.models import PingKind, ScheduledTask, TaskPing
from vulsweb.notifications import pings

LENGTH = 500
TEXT_LENGTH = 2000
# The service has missed it long since, and a newer one follows.
GIVE_UP_AFTER = timedelta(hours=1)
FIRST_PAUSE = timedelta(seconds=15)
AT_ONCE = 50
_PURPOSE = "vulsweb task pings"
_ADDRESS = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?(\?[^\s#]*)?")


class WrongAddress(ValueError):
    """An address that cannot be pinged."""


def set_address(task: ScheduledTask, url: str, secret_key: str) -> None:
    """Ping this address, or none if it is empty; raise WrongAddress."""
    if url and (len(url) > LENGTH or not url.isascii() or not _ADDRESS.fullmatch(url)):
        raise WrongAddress("Enter an address like https://hc-ping.com/your-uuid.")
    task.ping_url = encryption.encrypt(url, secret_key, _PURPOSE) if url else None


def host(task: ScheduledTask, secret_key: str) -> str:
    """Return the host that is pinged; empty if there is none."""
    if task.ping_url is None:
        return ""
    try:
        return urlsplit(encryption.decrypt(task.ping_url, secret_key, _PURPOSE)).hostname or ""
    except encryption.Unreadable:
        return "an address that cannot be read, because the secret key has changed"


def record(task: ScheduledTask, kind: PingKind, text: str, now: datetime) -> None:
    """Add a ping, to be sent after the commit."""
    if task.ping_url is not None:
        ping = TaskPing(task_id=task.id, kind=kind, text=text[:TEXT_LENGTH])
        ping.created_at = ping.next_try_at = now
        db.session.add(ping)


def waiting(task: ScheduledTask) -> Sequence[TaskPing]:
    """Return the pings of a task that have not been taken yet."""
    return db.session.scalars(select(TaskPing).where(TaskPing.task_id == task.id).order_by(TaskPing.id)).all()


def due(now: datetime) -> Sequence[TaskPing]:
    """Return the pings to send now; each task's in their order.

    While a task's earlier ping waits for its next try, so do the later ones: a start after the end would look
    like a run that never ends.
    """
    earlier = aliased(TaskPing)
    waits = earlier.next_try_at > now, earlier.task_id == TaskPing.task_id, earlier.id < TaskPing.id
    query = select(TaskPing).options(joinedload(TaskPing.task)).order_by(TaskPing.id).limit(AT_ONCE)
    is_due = TaskPing.next_try_at <= now
    return db.session.scalars(query.where(is_due, ~select(earlier.id).where(*waits).exists())).all()


def record_try(ping_id: int, problem: str | None, now: datetime) -> None:
    """Record that a ping was taken, or why it was not."""
    ping = db.session.get(TaskPing, ping_id, populate_existing=True)
    if ping is None:  # deleted with its task meanwhile
        return
    if problem is None or now - ping.created_at > GIVE_UP_AFTER:
        db.session.delete(ping)
        return
    ping.tries, ping.problem = ping.tries + 1, problem
    ping.next_try_at = now + FIRST_PAUSE * 2 ** min(ping.tries, 6)


def send(stored: str | None, kind: PingKind, text: str, secret_key: str) -> str | None:
    """Send one ping; return why it was not taken."""
    if stored is None:  # the address was removed meanwhile
        return None
    try:
        parts = urlsplit(encryption.decrypt(stored, secret_key, _PURPOSE))
    except encryption.Unreadable:
        return "Its address cannot be read, because the secret key has changed."
    url = urlunsplit(parts._replace(path=parts.path.rstrip("/") + kind.path))
    try:
        # Not where it redirects: what is there has not been chosen by an admin.
        answer = requests.post(url, data=text.encode(), timeout=pings.SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        return f"{parts.hostname} cannot be reached: {type(error).__name__}."
    is_taken = 200 <= answer.status_code < 300
    return None if is_taken else f"{parts.hostname} answered {answer.status_code}."
