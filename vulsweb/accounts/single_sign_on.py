"""Sign-on by OpenID Connect: who a provider's user is here.

The provider says who somebody is and in which groups; those decide the role, anew at each sign-in.
"""

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from vulsweb.accounts import credentials, sessions, users
from vulsweb.accounts.credentials import NAME_LENGTH, AccessError
from vulsweb.config import OpenIdSettings
from vulsweb.extensions import db
from vulsweb.models import Role, User
from vulsweb.models.user import NOBODY, SUBJECT_LENGTH

# Claims that may hold a name to show, the best first (OpenID Connect Core 1.0, 5.1).
_NAMES = ("preferred_username", "email", "name", "sub")


def user_of(claims: Mapping[str, Any], settings: OpenIdSettings, now: datetime) -> User:
    """Return the user with these claims.

    The claims have been verified. A user who is new is added; the role is that of the groups. Raise
    AccessError if the groups let nobody in, or if the name of a new user belongs to somebody else.
    """
    role = role_of(claims, settings)
    if role is None:
        raise AccessError(
            f"{settings.label} knows you, but none of your groups may use Vuls Web. Ask an administrator."
        )
    subject = f"{settings.issuer} {claims['sub']}"
    if len(subject) > SUBJECT_LENGTH or not subject.isprintable():
        raise AccessError(f"{settings.label} gives you an id that Vuls Web cannot store.")
    user = db.session.scalars(select(User).where(User.subject == subject, User.deleted_at.is_(None))).first()
    if user is None:
        return _new_user(subject, claims, role, settings, now)
    if user.role is not role:
        users.set_role(user, role, settings.label, now)
        sessions.end_all(user)
    return user


def role_of(claims: Mapping[str, Any], settings: OpenIdSettings) -> Role | None:
    """Return the highest role that the groups give; None is no access."""
    given = claims.get(settings.groups_claim)
    groups = {given} if isinstance(given, str) else set(map(str, given)) if isinstance(given, list) else set()
    for role in (Role.ADMIN, Role.OPERATOR, Role.VIEWER):
        wanted = settings.groups[role]
        if wanted & groups or "*" in wanted:
            return role
    return None


def _new_user(
    subject: str, claims: Mapping[str, Any], role: Role, settings: OpenIdSettings, now: datetime
) -> User:
    given = next((str(claims[claim]) for claim in _NAMES if claims.get(claim)), "")
    name = unicodedata.normalize("NFKC", given).strip()[:NAME_LENGTH]
    try:
        credentials.check_name(name)
    except AccessError as error:
        raise AccessError(
            f"{settings.label} gives you a name that Vuls Web does not take. {error}"
        ) from error
    same_name = select(User.id).where(User.deleted_at.is_(None), func.lower(User.name) == func.lower(name))
    if db.session.scalar(same_name) is not None:
        raise AccessError(
            f"There is already another user named {name!r}. An administrator has to delete that one first."
        )
    user = User(name=name, role=role, created_at=now, subject=subject, password_hash=NOBODY)
    db.session.add(user)
    db.session.flush()
    return user
