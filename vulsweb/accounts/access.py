"""Who may come in: people by password, programs by token."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import available_timezones

from sqlalchemy import func, select

from vulsweb.extensions import db
from vulsweb.models import ApiToken, Role, User

MINIMUM_PASSWORD_LENGTH = 12
NAME_LENGTH = 80
PEOPLE_ALREADY = "The database knows people already; their passwords stay."
TOKEN_PREFIX = "vulsweb_"  # noqa: S105 - lets secret scanners recognise a leaked token


class AccessError(ValueError):
    """A person or token cannot be made as asked; the message says why."""


def authenticate(name: str, password: str) -> User | None:
    """Return the person with this name and password, or None, in the same time either way."""
    user = db.session.scalars(select(User).where(User.name == name)).first()
    return user if User.check_password(user, password) else None


def people() -> Sequence[User]:
    """Return everybody who may come in, by name."""
    return db.session.scalars(select(User).order_by(User.name)).all()


def user_of_session(remembered: str) -> User | None:
    """Return the person whom a session remembers (User.get_id), unless the password is another by now."""
    number, _, _ = remembered.partition(".")
    user = db.session.get(User, int(number)) if number.isdecimal() and len(number) < 10 else None
    return user if user is not None and user.get_id() == remembered else None


def create_user(name: str, password: str, role: Role, now: datetime) -> User:
    """Add a person; raise AccessError for a name in use or a password under 12 characters."""
    if not name.strip() or not name.isprintable() or len(name) > NAME_LENGTH or name != name.strip():
        raise AccessError(f"A name has 1 to {NAME_LENGTH} printable characters.")
    _check_password(password)
    if db.session.scalar(select(User.id).where(func.lower(User.name) == func.lower(name))) is not None:
        raise AccessError(f"There is a person named {name!r} already.")
    user = User(name=name, role=role, created_at=now)
    user.set_password(password)
    db.session.add(user)
    db.session.flush()
    return user


def change_password(user: User, password: str) -> None:
    """Give a person another password, which ends all their sessions; raise AccessError if it is short."""
    _check_password(password)
    user.set_password(password)


def change_role(user: User, role: Role) -> None:
    """Give a person another role; raise AccessError rather than leave nobody to administer."""
    if not role.administers:
        _keep_an_admin(user)
    user.role = role


def change_timezone(user: User, zone: str | None) -> None:
    """Choose the zone in which a person reads times, or None for the browser's; AccessError for others."""
    if zone is not None and zone not in available_timezones():
        raise AccessError(f"{zone!r} is not a time zone; write one like Europe/London or UTC.")
    user.timezone = zone


def delete_user(user: User) -> None:
    """Remove a person with their tokens; what they did stays. Raise AccessError for the last admin."""
    _keep_an_admin(user)
    db.session.delete(user)
    db.session.flush()


def tokens(user: User) -> Sequence[ApiToken]:
    """Return the person's tokens, by name."""
    return db.session.scalars(
        select(ApiToken).where(ApiToken.user_id == user.id).order_by(ApiToken.name)
    ).all()


def revoke_token(user: User, token_id: int) -> str | None:
    """Make one of the person's tokens worthless; return its name, or None when there is no such token."""
    token = db.session.get(ApiToken, token_id)
    if token is None or token.user_id != user.id:
        return None
    db.session.delete(token)
    return token.name


def create_token(name: str, user: User, now: datetime) -> str:
    """Return a new token that acts as `user`; only its hash is kept, so it cannot be shown again."""
    if not name.strip() or not name.isprintable() or len(name) > NAME_LENGTH:
        raise AccessError(f"Give the token a name of at most {NAME_LENGTH} characters.")
    if db.session.scalar(select(ApiToken.id).where(ApiToken.name == name)) is not None:
        raise AccessError(f"There is a token named {name!r} already.")
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    db.session.add(ApiToken(name=name, token_hash=_hash(token), user=user, created_at=now))
    db.session.flush()
    return token


def user_of_token(token: str) -> User | None:
    """Return the person whom a token stands for, or None."""
    return db.session.scalars(select(User).join(ApiToken).where(ApiToken.token_hash == _hash(token))).first()


def _check_password(password: str) -> None:
    if len(password) < MINIMUM_PASSWORD_LENGTH:
        raise AccessError(f"A password has at least {MINIMUM_PASSWORD_LENGTH} characters.")


def _keep_an_admin(user: User) -> None:
    # Locked, so that two admins who demote each other at once do not both succeed.
    admins = db.session.scalars(select(User.id).where(User.role == Role.ADMIN).with_for_update()).all()
    if set(admins) <= {user.id}:
        raise AccessError(f"{user.name} is the only admin. Make somebody else one first.")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
