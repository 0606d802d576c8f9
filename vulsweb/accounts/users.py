"""Users: creating, checking and deleting them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from vulsweb import cron
from vulsweb.accounts import credentials, second_factor, sessions, tokens
from vulsweb.accounts.credentials import AccessError
from vulsweb.audit import trail
from vulsweb.extensions import db
from vulsweb.models import AuditAction, AuditEntry, AuditKind, EventKind, KnownAddress, Role, User
from vulsweb.models.user import NOBODY
from vulsweb.notifications import events
from vulsweb.notifications.events import Happening

MOST_REFUSALS = 1000
USERS_EXIST = "The database already has users; their passwords do not change."


def authenticate(name: str, password: str) -> User | None:
    """Return the user if name and password match; None takes as long."""
    user = named(name)
    return user if User.check_password(user, password) else None


def named(name: str) -> User | None:
    """Return the user of that name, unless deleted."""
    return db.session.scalars(_existing().where(User.name == name)).first()


def get(user_id: int) -> User | None:
    """Return the user of that id, unless deleted."""
    return db.session.scalars(_existing().where(User.id == user_id)).first()


def all_users() -> Sequence[User]:
    """Return all users, by name."""
    return db.session.scalars(_existing().order_by(User.name)).all()


def _existing() -> Select[User]:
    return select(User).where(User.deleted_at.is_(None))


def create_user(name: str, password: str, role: Role, now: datetime, *, first: bool = False) -> User:
    """Create a user; raise AccessError for an invalid name or password.

    A `first` password has to be changed by the user before anything else.
    """
    credentials.check_name(name)
    credentials.check_password(password, name)
    if db.session.scalars(_existing().where(func.lower(User.name) == func.lower(name))).first() is not None:
        raise AccessError(f"There is already a user named {name!r}.")
    user = User(name=name, role=role, created_at=now, must_change_password=first)
    user.set_password(password)
    db.session.add(user)
    db.session.flush()
    return user


def change_password(user: User, password: str, *, first: bool = False) -> None:
    """Change the password and end all sessions.

    Raise AccessError if it is weak. A `first` password has to be changed by the user before anything else.
    """
    if user.subject is not None:
        raise AccessError("This user signs in by single sign-on and has no password here.")
    credentials.check_password(password, user.name)
    if user.must_change_password and not first and User.check_password(user, password):
        raise AccessError("This is the password that you were given. Choose another one.")
    user.set_password(password)
    user.must_change_password = first
    sessions.end_all(user)


def change_role(user: User, role: Role, changed_by: str, now: datetime) -> None:
    """Change the role and end all sessions.

    Raise AccessError for the last admin.
    """
    if not role.administers:
        _require_another_admin(user)
    if role is not user.role:
        set_role(user, role, changed_by, now)
        sessions.end_all(user)


def set_role(user: User, role: Role, changed_by: str, now: datetime) -> None:
    """Set the role, and tell of it."""
    text = f"{changed_by} changed it from {user.role.label.lower()} to {role.label.lower()}."
    title = f"{user.name} is now {role.label.lower()}"
    events.record(
        [Happening(EventKind.ROLE_CHANGED, f"user {user.id}", title, text, "/people/")],
        now,
    )
    user.role = role


def record_refusal(name: str, reason: str) -> None:
    """Record that nobody was signed in.

    Of a name that no user has nothing is kept: it may be a password in the wrong field. Of very many in an
    hour only the first are kept, so that nobody can fill the database; the log has all.
    """
    refused = AuditEntry.action == AuditAction.SIGN_IN_REFUSED
    last_hour = select(func.count()).where(refused, AuditEntry.at > datetime.now(UTC) - timedelta(hours=1))
    count = db.session.scalar(last_hour) or 0
    if count >= MOST_REFUSALS:
        return
    if count == MOST_REFUSALS - 1:
        reason = f"{reason}; more in this hour are in the log alone"
    user = named(name)
    about = (user.id, user.name) if user else ("", "")
    trail.note(AuditAction.SIGN_IN_REFUSED, AuditKind.USER, *about, after={"reason": reason})


def record_sign_in(user: User, address: str, now: datetime) -> None:
    """Record where a user signed in from; tell of a new address.

    The first address of a user is no news.
    """
    trail.note(AuditAction.SIGNED_IN, AuditKind.USER, user.id, user.name)
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


def delete_user(user: User, now: datetime) -> None:
    """Delete a user; raise AccessError for the last admin.

    All that lets them in goes. Their name stays on what they did, and is free for another user.
    """
    _require_another_admin(user)
    sessions.end_all(user)
    tokens.revoke_all(user)
    second_factor.switch_off(user)
    db.session.execute(delete(KnownAddress).where(KnownAddress.user_id == user.id))
    user.password_hash, user.role, user.deleted_at = NOBODY, Role.VIEWER, now
    db.session.flush()


def _require_another_admin(user: User) -> None:
    # The lock keeps two admins from demoting each other at the same time.
    admins = db.session.scalars(_existing().where(User.role == Role.ADMIN).with_for_update()).all()
    if set(admins) <= {user}:
        raise AccessError(f"{user.name} is the only admin. Make another user an admin first.")
