"""Who may come in: people by password, programs by token."""

import hashlib
import secrets
from datetime import datetime

from sqlalchemy import select

from vulsweb.extensions import db
from vulsweb.models import ApiToken, User

MINIMUM_PASSWORD_LENGTH = 12
TOKEN_PREFIX = "vulsweb_"  # noqa: S105 - lets secret scanners recognise a leaked token


class AccessError(ValueError):
    """A person or token cannot be made as asked; the message says why."""


def authenticate(name: str, password: str) -> User | None:
    """Return the person with this name and password, or None, in the same time either way."""
    user = db.session.scalars(select(User).where(User.name == name)).first()
    return user if User.check_password(user, password) else None


def create_user(name: str, password: str, now: datetime) -> User:
    """Add a person; raise AccessError for a name in use or a password under 12 characters."""
    if len(password) < MINIMUM_PASSWORD_LENGTH:
        raise AccessError(f"A password has at least {MINIMUM_PASSWORD_LENGTH} characters.")
    if db.session.scalar(select(User.id).where(User.name == name)) is not None:
        raise AccessError(f"There is a person named {name!r} already.")
    user = User(name=name, created_at=now)
    user.set_password(password)
    db.session.add(user)
    db.session.flush()
    return user


def create_token(name: str, user: User, now: datetime) -> str:
    """Return a new token that acts as `user`; only its hash is kept, so it cannot be shown again."""
    if not name.strip() or not name.isprintable():
        raise AccessError("Give the token a name.")
    if db.session.scalar(select(ApiToken.id).where(ApiToken.name == name)) is not None:
        raise AccessError(f"There is a token named {name!r} already.")
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    db.session.add(ApiToken(name=name, token_hash=_hash(token), user=user, created_at=now))
    db.session.flush()
    return token


def user_of_token(token: str) -> User | None:
    """Return the person whom a token stands for, or None."""
    return db.session.scalars(select(User).join(ApiToken).where(ApiToken.token_hash == _hash(token))).first()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
