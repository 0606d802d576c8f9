"""Writes an entry for each change, in the transaction of the change.

Rows of the watched tables are noticed by themselves. What has no row, or is changed by one statement for many
rows, calls `note`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import event, insert
from sqlalchemy.orm import Session, UOWTransaction

from vulsweb.audit import actors, chain, watched
from vulsweb.extensions import db
from vulsweb.models import AuditAction, AuditEntry, AuditKind

_UNSEALED = "unsealed audit entries"


def note(
    action: AuditAction,
    kind: AuditKind,
    object_id: int | str,
    name: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry; `before` and `after` have field names with values."""
    entry = _row(
        action, kind, str(object_id), name, watched.plain_fields(before), watched.plain_fields(after)
    )
    db.session.execute(insert(AuditEntry), [entry])
    db.session.info[_UNSEALED] = True


def note_deleted(row: Any, **more: Any) -> None:
    """Add an entry for a row that a statement deletes."""
    about = watched.about(row)
    fields = watched.fields_of(row) | more
    note(AuditAction.DELETED, about.kind, about.object_id(row), about.name(row), before=fields)


@event.listens_for(db.session, "after_flush")
def _note_rows(session: Session, _: UOWTransaction) -> None:
    """Add entries for the watched rows of a flush."""
    changes = [
        *(watched.addition(row) for row in session.new if watched.is_watched(row)),
        *(watched.change(row) for row in session.dirty if watched.is_watched(row)),
        *(watched.deletion(row) for row in session.deleted if watched.is_watched(row)),
    ]
    entries = [_row(*change) for change in changes if change is not None]
    if entries:
        # By the connection: the session cannot add rows while it flushes.
        session.connection().execute(insert(AuditEntry), entries)
        session.info[_UNSEALED] = True


@event.listens_for(db.session, "before_commit")
def _seal(session: Session) -> None:
    """Seal the entries as the last step of the transaction.

    The chain is locked until the commit, so nothing else may follow.
    """
    if session.in_nested_transaction():
        return
    session.flush()
    if session.info.pop(_UNSEALED, False):
        chain.seal(session.connection())


def _row(
    action: AuditAction,
    kind: AuditKind,
    object_id: str,
    name: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> dict[str, Any]:
    actor = actors.current()
    return {
        "at": datetime.now(UTC),
        "way": actor.way,
        "actor_id": actor.user_id,
        "actor": actor.name,
        "token": actor.token,
        "address": actor.address,
        "action": action,
        "kind": kind,
        "object_id": object_id,
        "object_name": name,
        "before": before,
        "after": after,
    }
