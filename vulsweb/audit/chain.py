"""The chain of entries: each has the hash of the one before.

Whoever changes, removes or inserts an entry in the database has to write all later ones anew, and then the
last hash differs from the one that somebody noted elsewhere.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, text, update

from vulsweb.extensions import Base, db
from vulsweb.models import AuditEntry

# What the hash covers.
FIELDS = (
    "number",
    "at",
    "way",
    "actor_id",
    "actor",
    "token",
    "address",
    "action",
    "kind",
    "object_id",
    "object_name",
    "before",
    "after",
    "previous",
)
_TABLE = Base.metadata.tables[AuditEntry.__tablename__]
_COLUMNS = [_TABLE.c[name] for name in FIELDS]
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Verified:
    """The result of reading the whole chain."""

    count: int
    number: int  # of the last entry; 0: there is none
    hash: str
    problem: str = ""  # a sentence; empty: the chain is whole


def seal(connection: Connection) -> None:
    """Give the entries of this transaction their numbers and hashes.

    The chain is locked until the transaction ends.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('vulsweb.audit'))"))
    last = select(_TABLE.c.number, _TABLE.c.hash).where(_TABLE.c.number.is_not(None))
    number, before = connection.execute(last.order_by(_TABLE.c.number.desc()).limit(1)).first() or (0, "")
    # Those of other transactions cannot be seen before they are sealed.
    new = select(_TABLE.c.id, *_COLUMNS).where(_TABLE.c.hash.is_(None)).order_by(_TABLE.c.id)
    sealed = []
    for row in connection.execute(new).mappings():
        number += 1
        place = {"number": number, "previous": before}
        before = entry_hash(content(row) | place)
        sealed.append({"row_id": row["id"], "hash": before, **place})
    if sealed:
        to_seal = update(_TABLE).where(_TABLE.c.id == bindparam("row_id"))
        connection.execute(to_seal, sealed)


def content(row: Any) -> dict[str, Any]:
    """Return what the hash of an entry covers, as exports have it."""
    return {name: row[name] for name in FIELDS} | {"at": row["at"].astimezone(UTC).isoformat()}


def entry_hash(fields: dict[str, Any]) -> str:
    """Return the hash of an entry.

    It is the SHA-256 of its fields as JSON, with sorted keys and no blanks, in UTF-8.
    """
    whole = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(whole.encode()).hexdigest()


def verify(known_number: int = 0, known_hash: str = "") -> Verified:
    """Read the whole chain, and say what is wrong with it.

    With `known_number`, that entry must have `known_hash`.
    """
    number, previous, count = 0, "", 0
    query = select(*_COLUMNS, _TABLE.c.hash).order_by(_TABLE.c.number.nulls_last(), _TABLE.c.id)
    rows = db.session.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}).mappings()
    for row in rows:
        if count and row["number"] != number + 1:
            return Verified(count, number, previous, f"After entry {number}, entries are missing.")
        # The entries before the first are gone, because they were old; so is the hash of the last of them.
        follows = row["previous"] == previous or (not count and row["number"] != 1)
        if not follows or row["hash"] != entry_hash(content(row)):
            return Verified(count, number, previous, f"Entry {row['number']} has been changed.")
        number, previous, count = row["number"], row["hash"], count + 1
        if number == known_number and previous != known_hash:
            return Verified(count, number, previous, f"Entry {number} has another hash than the one given.")
    if number < known_number:
        return Verified(count, number, previous, f"Entry {known_number} is missing, as are all after it.")
    return Verified(count, number, previous)


def prune(before: datetime) -> int:
    """Delete the entries made before a moment; return how many.

    The newest of them stays, so that the next one can be verified.
    """
    db.session.execute(text("SET LOCAL vulsweb.audit_retention = 'on'"))
    newest = select(func.max(AuditEntry.number)).where(AuditEntry.at < before).scalar_subquery()
    deleted = db.session.execute(
        delete(AuditEntry).where(AuditEntry.number < newest).returning(AuditEntry.id)
    )
    count = len(deleted.all())
    db.session.execute(text("SET LOCAL vulsweb.audit_retention = 'off'"))
    return count
