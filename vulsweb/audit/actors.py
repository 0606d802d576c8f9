"""Who makes the changes of a database session."""

from dataclasses import dataclass

from vulsweb.extensions import db
from vulsweb.models import AuditWay


@dataclass(frozen=True)
class Actor:
    """A person, a program or the system itself."""

    way: AuditWay
    name: str = ""  # empty: nobody who is known
    user_id: int | None = None
    token: str = ""  # the name of the API token
    address: str = ""


SYSTEM = Actor(AuditWay.SYSTEM)


def act_as(actor: Actor) -> None:
    """Note who makes the changes that follow in this session."""
    db.session.info["actor"] = actor


def current() -> Actor:
    """Return who makes the changes; the system, unless noted."""
    actor: Actor = db.session.info.get("actor", SYSTEM)
    return actor
