"""The browsers that are signed in: each can be seen and ended."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import joinedload

from vulsweb.audit import trail
from vulsweb.extensions import db
from vulsweb.models import AuditAction, AuditKind, User, UserSession

# Not with each request: a page makes several.
SEEN_EVERY = timedelta(minutes=1)
# Words in the names that browsers give themselves. Most claim to be several; the first that fits is true.
_BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
_SYSTEMS = {
    "Android": "Android",
    "iPhone": "iOS",
    "iPad": "iOS",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


def begin(user: User, address: str, agent: str, lifetime: timedelta, now: datetime) -> str:
    """Begin a session and return its key; forget old ones."""
    db.session.execute(delete(UserSession).where(UserSession.created_at < now - lifetime))
    key = secrets.token_urlsafe(32)
    row = UserSession(user_id=user.id, key_hash=key_hash(key), address=address, browser=browser(agent))
    row.created_at = row.last_seen_at = now
    db.session.add(row)
    return key


def find(key: str, lifetime: timedelta, idle: timedelta, now: datetime) -> UserSession | None:
    """Return the session with this key, unless it has ended.

    It ends `lifetime` after it began, or after it was `idle`.
    """
    return db.session.scalars(
        select(UserSession)
        .options(joinedload(UserSession.user))
        .where(
            UserSession.key_hash == key_hash(key),
            UserSession.created_at > now - lifetime,
            UserSession.last_seen_at > now - idle,
        )
    ).first()


def note_seen(session: UserSession, now: datetime) -> None:
    """Note that a person used the session, at most once a minute."""
    if session.last_seen_at > now - SEEN_EVERY:
        return
    # In a transaction of its own: the request has not begun its work.
    with db.engine.begin() as connection:
        connection.execute(update(UserSession).where(UserSession.id == session.id).values(last_seen_at=now))


def of_user(user: User) -> Sequence[UserSession]:
    """Return a user's sessions, the latest used first."""
    found = select(UserSession).where(UserSession.user_id == user.id)
    return db.session.scalars(found.order_by(UserSession.last_seen_at.desc(), UserSession.id)).all()


def last_seen() -> Mapping[int, tuple[int, datetime]]:
    """Return the number and last use of each user's sessions."""
    seen = select(UserSession.user_id, func.count(), func.max(UserSession.last_seen_at))
    rows = db.session.execute(seen.group_by(UserSession.user_id)).all()
    return {user_id: (count, last) for user_id, count, last in rows}


def end(key: str) -> None:
    """End the session with this key."""
    ended = delete(UserSession).where(UserSession.key_hash == key_hash(key)).returning(UserSession.user_id)
    if user_id := db.session.scalars(ended).first():
        _note_signed_out(db.session.get_one(User, user_id), 1)


def end_one(user: User, session_id: int) -> bool:
    """End one of a user's sessions; return whether there was one."""
    chosen = delete(UserSession).where(UserSession.id == session_id, UserSession.user_id == user.id)
    count = len(db.session.execute(chosen.returning(UserSession.id)).all())
    _note_signed_out(user, count)
    return count > 0


def end_all(user: User, but: str = "") -> int:
    """End a user's sessions, except `but`; return how many."""
    chosen = delete(UserSession).where(UserSession.user_id == user.id, UserSession.key_hash != key_hash(but))
    count = len(db.session.execute(chosen.returning(UserSession.id)).all())
    _note_signed_out(user, count)
    return count


def _note_signed_out(user: User, count: int) -> None:
    if count:
        trail.note(AuditAction.SIGNED_OUT, AuditKind.USER, user.id, user.name, before={"sessions": count})


def key_hash(key: str) -> str:
    """Return the hash under which a key is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


def browser(agent: str) -> str:
    """Return the names of a browser and its system."""
    name = next((name for word, name in _BROWSERS.items() if word in agent), "")
    system = next((name for word, name in _SYSTEMS.items() if word in agent), "")
    if name:
        return f"{name} on {system}" if system else name
    readable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in agent)
    return readable[:200] or "Unknown browser"
