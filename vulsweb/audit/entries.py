"""Queries for entries: filtered, newest first."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask.ctx import AppContext
from sqlalchemy import Select, or_, select

from vulsweb.extensions import db
from vulsweb.models import AuditAction, AuditEntry, AuditKind

_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Filter:
    """Which entries to return; the defaults return all."""

    actor: str = ""  # a part of the name
    action: AuditAction | None = None
    kinds: Collection[AuditKind] = ()
    object_id: str = ""
    text: str = ""  # a part of the name of what was changed
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Page:
    """A page of entries, and whether there are older ones."""

    entries: Sequence[AuditEntry]
    older: bool


def page(chosen: Filter, *, limit: int, before: int | None = None) -> Page:
    """Return up to `limit` entries, newest first, with smaller numbers than `before`."""
    rows = db.session.scalars(_query(chosen, before).limit(limit + 1)).all()
    return Page(rows[:limit], older=len(rows) > limit)


def each(context: AppContext, chosen: Filter) -> Iterator[AuditEntry]:
    """Yield all matching entries, newest first, without holding them.

    Each part is read in the `context` and a transaction of its own: whoever takes them may be slow.
    """
    before: int | None = None
    while rows := _part(context, chosen, before):
        yield from rows
        before = rows[-1].number


def _part(context: AppContext, chosen: Filter, before: int | None) -> Sequence[AuditEntry]:
    with context:
        rows = db.session.scalars(_query(chosen, before).limit(_ROWS_AT_ONCE)).all()
        db.session.expunge_all()
        return rows


def _query(chosen: Filter, before: int | None) -> Select[AuditEntry]:
    query = select(AuditEntry).where(AuditEntry.number.is_not(None)).order_by(AuditEntry.number.desc())
    if before is not None:
        query = query.where(AuditEntry.number < before)
    if chosen.actor:
        # The name of a user, or that of a token.
        columns = (AuditEntry.actor, AuditEntry.token)
        query = query.where(or_(*(column.icontains(chosen.actor, autoescape=True) for column in columns)))
    if chosen.action is not None:
        query = query.where(AuditEntry.action == chosen.action)
    if chosen.kinds:
        query = query.where(AuditEntry.kind.in_(chosen.kinds))
    if chosen.object_id:
        query = query.where(AuditEntry.object_id == chosen.object_id)
    if chosen.text:
        query = query.where(AuditEntry.object_name.icontains(chosen.text, autoescape=True))
    if chosen.since is not None:
        query = query.where(AuditEntry.at >= chosen.since)
    if chosen.until is not None:
        query = query.where(AuditEntry.at < chosen.until)
    return query
