"""Failed sign-ins of a name, and the wait before the next.

From the tenth on, each try has to wait longer.
That is a delay and not a lock: from an address where its user has signed in before, a name has none, so
nobody else can keep them out. Names without a user are counted too, because they must not look different.
"""

import hashlib
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from vulsweb.extensions import db
from vulsweb.models import KnownAddress, SignInFailures, User

FREE = 9
LONGEST = timedelta(minutes=15)
# A counter that nothing has raised for so long is deleted.
KEPT = timedelta(days=1)


def begin(name: str, address: str, now: datetime) -> timedelta | None:
    """Count a try; return how long it has to wait, or None.

    A try that has to wait does not count. `forget` takes all back after a right password. Commit before the
    password is checked, so that tries at the same time see each other.
    """
    first = insert(SignInFailures).values(name_hash=_hash(name), count=0, last_at=now)
    db.session.execute(first.on_conflict_do_nothing())
    failures = db.session.get_one(SignInFailures, _hash(name), with_for_update=True, populate_existing=True)
    ready_at = failures.last_at + _delay(failures.count)
    if now < ready_at and not _is_known(name, address):
        return ready_at - now
    failures.count, failures.last_at = failures.count + 1, now
    return None


def forget(name: str) -> None:
    """Take back the failures of a name."""
    db.session.execute(delete(SignInFailures).where(SignInFailures.name_hash == _hash(name)))


def prune(now: datetime) -> None:
    """Delete what has not been counted up for a day."""
    db.session.execute(delete(SignInFailures).where(SignInFailures.last_at < now - KEPT))


def _delay(count: int) -> timedelta:
    """Return the wait after so many failures.

    It is 0, then 1, 2, 4 seconds and so on.
    """
    if count <= FREE:
        return timedelta()
    return min(timedelta(seconds=2 ** min(count - FREE - 1, 20)), LONGEST)


def _is_known(name: str, address: str) -> bool:
    known = select(KnownAddress.user_id).join(User, User.id == KnownAddress.user_id)
    found = known.where(User.name == name, User.deleted_at.is_(None), KnownAddress.address == address)
    return db.session.scalars(found).first() is not None


def _hash(name: str) -> str:
    # Its length is that of any name that somebody sends.
    return hashlib.sha256(name.encode(errors="replace")).hexdigest()
