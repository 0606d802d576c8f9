"""Users: creating, checking and deleting them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from vulsweb import cron
from vulsweb.accounts import sessions
from vulsweb.extensions import db
from vulsweb.models import EventKind, KnownAddress, Role, User
from vulsweb.notifications import events
from vulsweb.notifications.events import Happening

MINIMUM_PASSWORD_LENGTH = 12
NAME_LENGTH = 80
USERS_EXIST = "The database already has users; their passwords do not change."


class AccessError(ValueError):
    """Invalid data for a user or a token; the message says why."""


def authenticate(name: str, password: str) -> User | None:
    """Return the user if name and password match; None takes as long."""
    user = db.session.scalars(select(User).where(User.name == name)).first()
    return user if User.check_password(user, password) else None


def all_users() -> Sequence[User]:
    """Return all users, by name."""
    return db.session.scalars(select(User).order_by(User.name)).all()


def create_user(name: str, password: str, role: Role, now: datetime) -> User:
    """Create a user; raise AccessError for an invalid name or password."""
    if not name.strip() or not name.isprintable() or len(name) > NAME_LENGTH or name != name.strip():
        raise AccessError(f"A name has 1 to {NAME_LENGTH} printable characters.")
    _check_password(password)
    if db.session.scalar(select(User.id).where(func.lower(User.name) == func.lower(name))) is not None:
        raise AccessError(f"There is already a user named {name!r}.")
    user = User(name=name, role=role, created_at=now)
    user.set_password(password)
    db.session.add(user)
    db.session.flush()
    return user


def change_password(user: User, password: str) -> None:
    """Change the password and end all sessions; raise AccessError if too short."""
    _check_password(password)
    user.set_password(password)
    sessions.end_all(user)


def change_role(user: User, role: Role, changed_by: str, now: datetime) -> None:
    """Change the role and end all sessions.

    Raise AccessError for the last admin.
    """
    if not role.administers:
        _require_another_admin(user)
    if role is user.role:
        return
    text = f"{changed_by} changed it from {user.role.label.lower()} to {role.label.lower()}."
    title = f"{user.name} is now {role.label.lower()}"
    events.record(
        [Happening(EventKind.ROLE_CHANGED, f"user {user.id}", title, text, "/people/")],
        now,
    )
    user.role = role
    sessions.end_all(user)


def record_sign_in(user: User, address: str, now: datetime) -> None:
    """Record where a user signed in from; tell of a new address.

    The first address of a user is no news.
    """
    known = set(db.session.scalars(select(KnownAddress.address).where(KnownAddress.user_id == user.id)))
    statement = insert(KnownAddress).values(user_id=user.id, address=address, first_at=now, last_at=now)
    db.session.execute(
        statement.on_conflict_do_update(index_elements=["user_id", "address"], set_={"last_at": now})
    )
    if known and address not in known:
        title = f"{user.name} signed in from a new address: {address}"
        text = "If that was somebody else, change the password. All sessions end with it."
        events.record(
            [Happening(EventKind.NEW_ADDRESS, f"user {user.id}", title, text, "/people/")],
            now,
        )


def change_timezone(user: User, zone: str | None) -> None:
    """Set the time zone, None for the browser's; raise AccessError if unknown."""
    try:
        user.timezone = zone if zone is None else cron.check_zone(zone)
    except ValueError as error:
        raise AccessError(str(error)) from error


def delete_user(user: User) -> None:
    """Delete a user and their tokens; raise AccessError for the last admin."""
    _require_another_admin(user)
    db.session.delete(user)
    db.session.flush()


def _check_password(password: str) -> None:
    if len(password) < MINIMUM_PASSWORD_LENGTH:
        raise AccessError(f"A password has at least {MINIMUM_PASSWORD_LENGTH} characters.")


def _require_another_admin(user: User) -> None:
    # The lock keeps two admins from demoting each other at the same time.
    admins = db.session.scalars(select(User.id).where(User.role == Role.ADMIN).with_for_update()).all()
    if set(admins) <= {user.id}:
        raise AccessError(f"{user.name} is the only admin. Make another user an admin first.")
