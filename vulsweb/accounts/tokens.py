"""API tokens: each has a user, a scope and an end."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import joinedload

from vulsweb.accounts.credentials import NAME_LENGTH, AccessError
from vulsweb.extensions import db
from vulsweb.models import ApiToken, Scope, User

PREFIX = "vulsweb_"  # lets secret scanners recognise a leaked token
DEFAULT_DAYS = 90
# What the form offers; 0 is without an end.
DAYS = (7, 30, 90, 365, 0)
USED_EVERY = timedelta(minutes=1)


def create(name: str, user: User, scope: Scope, days: int, now: datetime) -> str:
    """Create a token that acts as `user`; store only its hash.

    It ends after `days`, or never if they are 0. Raise AccessError for a wrong name or number of days.
    """
    if not name.strip() or not name.isprintable() or len(name) > NAME_LENGTH:
        raise AccessError(f"A token's name has 1 to {NAME_LENGTH} printable characters.")
    if not 0 <= days <= 3650:
        raise AccessError("A token is valid for 1 to 3650 days, or without an end.")
    taken = select(ApiToken.id).where(ApiToken.user_id == user.id, ApiToken.name == name)
    if db.session.scalar(taken) is not None:
        raise AccessError(f"{user.name} already has a token named {name!r}.")
    token = PREFIX + secrets.token_urlsafe(32)
    row = ApiToken(name=name, token_hash=_hash(token), user=user, scope=scope, created_at=now)
    row.expires_at = now + timedelta(days=days) if days else None
    db.session.add(row)
    db.session.flush()
    return token


def find(token: str, now: datetime) -> ApiToken | None:
    """Return a token that is valid now, with its user."""
    is_valid = or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > now)
    found = select(ApiToken).options(joinedload(ApiToken.user))
    return db.session.scalars(found.where(ApiToken.token_hash == _hash(token), is_valid)).first()


def note_used(token: ApiToken, address: str, now: datetime) -> None:
    """Note the use of a token, at most once a minute."""
    if token.last_used_at is not None and token.last_used_at > now - USED_EVERY:
        return
    # In a transaction of its own: the request has not begun its work.
    with db.engine.begin() as connection:
        used = {"last_used_at": now, "last_used_from": address}
        connection.execute(update(ApiToken).where(ApiToken.id == token.id).values(**used))


def of_user(user: User) -> Sequence[ApiToken]:
    """Return the user's tokens, by name."""
    return db.session.scalars(
        select(ApiToken).where(ApiToken.user_id == user.id).order_by(ApiToken.name)
    ).all()


def of_all() -> Sequence[ApiToken]:
    """Return the tokens of all users, with them, by user and name."""
    found = select(ApiToken).join(ApiToken.user).options(joinedload(ApiToken.user))
    return db.session.scalars(found.order_by(User.name, ApiToken.name)).all()


def revoke(token_id: int, user: User | None = None) -> str | None:
    """Delete a token and return its name; None if there is none.

    With `user`, only their own can be deleted.
    """
    token = db.session.get(ApiToken, token_id)
    if token is None or (user is not None and token.user_id != user.id):
        return None
    db.session.delete(token)
    return token.name


def revoke_all(user: User) -> int:
    """Delete a user's tokens; return how many."""
    revoked = of_user(user)
    for token in revoked:
        db.session.delete(token)
    db.session.flush()
    return len(revoked)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
