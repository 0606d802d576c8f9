"""Findings of all active hosts, filtered, sorted and divided into pages.

A page costs the same however many findings there are.
"""

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, or_, select, tuple_, union_all
from sqlalchemy.orm import contains_eager

from vulsweb.extensions import db
from vulsweb.models import Finding, Host, Result, Run
from vulsweb.vuls.results import Severity

# The page then shows "1,000+", which costs the same for a million findings.
COUNT_LIMIT = 1000


class Sort(enum.StrEnum):
    """How a list of findings can be sorted."""

    SEVERITY = "severity"  # worst first
    FIRST_SEEN = "first_seen"  # newest first
    HOST = "host"  # by name, then worst first


@dataclass(frozen=True)
class Filter:
    """Which findings to list; None, "" and () match everything."""

    fixed: bool = False
    severities: Collection[Severity] = ()
    host_id: int | None = None
    host: str = ""  # its name; `*` matches any text
    first_seen_from: datetime | None = None
    cve_id: str = ""
    text: str = ""
    fixed_by: int | None = None  # id of the run that no longer found them


@dataclass(frozen=True)
class Page:
    """One page of findings, and whether others come before and after."""

    findings: Sequence[Finding]
    earlier: bool
    later: bool


@dataclass(frozen=True)
class Cve:
    """One CVE on all active hosts."""

    cve_id: str
    severity: Severity
    title: str
    open: int
    fixed: int
    first_seen_at: datetime
    last_seen_at: datetime


class NoSuchFinding(Exception):
    """The finding that a page should start from does not exist."""


# No two findings have the same values in all columns of an order, and all columns go in one direction.
_ORDERS: dict[Sort, list[Any]] = {
    Sort.SEVERITY: [Finding.severity_order, Finding.id],
    Sort.FIRST_SEEN: [Finding.first_seen_at, Finding.id],
    Sort.HOST: [Host.name, Finding.severity_order, Finding.id],
}


def page(
    wanted: Filter, sort: Sort, *, limit: int, after: int | None = None, before: int | None = None
) -> Page:
    """Return a page of up to `limit` matching findings.

    It is the first page, or the findings after or before the one with a given id. Raise NoSuchFinding if
    there is no finding with that id.
    """
    start_id = after if after is not None else before
    backwards = after is None and before is not None
    descending = (sort is Sort.FIRST_SEEN) != backwards
    columns = _ORDERS[sort]
    order = [column.desc() if descending else column.asc() for column in columns]
    chosen = _where(select(Finding).join(Finding.host).options(contains_eager(Finding.host)), wanted)
    if start_id is not None:
        chosen = _beyond(chosen, columns, start_id, descending=descending)
    if sort is Sort.SEVERITY and len(wanted.severities) > 1:
        # Take the first rows of each severity: from critical to low, PostgreSQL would read all of medium.
        ids = chosen.with_only_columns(Finding.id).order_by(*order).limit(limit + 1)
        firsts = [ids.where(_within([severity])).subquery() for severity in wanted.severities]
        chosen = chosen.where(Finding.id.in_(union_all(*(select(first.c.id) for first in firsts))))
    rows = db.session.scalars(chosen.order_by(*order).limit(limit + 1)).all()
    if not backwards:
        return Page(rows[:limit], earlier=start_id is not None, later=len(rows) > limit)
    if len(rows) > limit:
        return Page(rows[limit - 1 :: -1], earlier=True, later=True)
    # At most one page comes before: show the first page, filled up.
    return page(wanted, sort, limit=limit)


def count(wanted: Filter) -> int:
    """Count the matching findings, up to COUNT_LIMIT + 1."""
    some = _where(select(Finding.id).join(Finding.host), wanted).limit(COUNT_LIMIT + 1).subquery()
    return db.session.scalar(select(func.count()).select_from(some)) or 0


def get_cve(cve_id: str) -> Cve | None:
    """Return a summary of one CVE on all active hosts.

    Return None if no active host ever had it.
    """
    row = db.session.execute(
        select(
            func.count().filter(Finding.fixed_at.is_(None)),
            func.count(Finding.fixed_at),
            func.min(Finding.first_seen_at),
            func.max(Finding.last_seen_at),
        )
        .join(Finding.host)
        .where(Finding.cve_id == cve_id, Host.retired_at.is_(None))
    ).one()
    still_open, fixed, first_seen_at, last_seen_at = row
    worst = db.session.execute(
        select(Finding.severity, Finding.title)
        .join(Finding.host)
        .where(Finding.cve_id == cve_id, Host.retired_at.is_(None))
        .order_by(Finding.severity_order)
        .limit(1)
    ).first()
    if worst is None:
        return None
    return Cve(cve_id, worst.severity, worst.title, still_open, fixed, first_seen_at, last_seen_at)


def has_results() -> bool:
    """Return whether any scan result is stored."""
    return bool(db.session.scalar(select(exists().where(Result.id.is_not(None)))))


def _beyond(
    chosen: Select[Finding], columns: list[ColumnElement[Any]], start_id: int, *, descending: bool
) -> Select[Finding]:
    """Limit `chosen` to what comes after the finding `start_id`.

    The order is that of `columns`. Raise NoSuchFinding if there is no finding with that id.
    """
    start = db.session.execute(
        select(*columns).select_from(Finding).join(Finding.host).where(Finding.id == start_id)
    ).first()
    if start is None:
        raise NoSuchFinding
    row, start_row = tuple_(*columns), tuple_(*start)
    # The first column alone as well: no index covers a row of columns from two tables.
    first = columns[0] <= start[0] if descending else columns[0] >= start[0]
    return chosen.where(first, row < start_row if descending else row > start_row)


def _where(chosen: Select[Any], wanted: Filter) -> Select[Any]:
    """Limit findings, joined with their hosts, to those that match `wanted`."""
    chosen = chosen.where(
        Finding.fixed_at.is_not(None) if wanted.fixed else Finding.fixed_at.is_(None),
        Host.retired_at.is_(None),
    )
    if wanted.severities:
        chosen = chosen.where(Finding.severity.in_(wanted.severities), _within(wanted.severities))
    if wanted.host_id is not None:
        chosen = chosen.where(Finding.host_id == wanted.host_id)
    if "*" in wanted.host:
        chosen = chosen.where(Host.name.like(_escaped(wanted.host).replace("*", "%")))
    elif wanted.host:
        chosen = chosen.where(Host.name == wanted.host)
    if wanted.first_seen_from is not None:
        chosen = chosen.where(Finding.first_seen_at >= wanted.first_seen_from)
    if wanted.cve_id:
        chosen = chosen.where(Finding.cve_id == wanted.cve_id)
    if wanted.fixed_by is not None:
        # A run ends at the same time at which it closes what it no longer finds.
        ended = select(Run.completed_at).where(Run.id == wanted.fixed_by).scalar_subquery()
        scanned = select(Result.host_id).where(Result.run_id == wanted.fixed_by)
        chosen = chosen.where(Finding.fixed_at == ended, Finding.host_id.in_(scanned))
    if wanted.text:
        chosen = chosen.where(Finding.words.like(func.lower(f"%{_escaped(wanted.text)}%")))
    return chosen


def _within(severities: Collection[Severity]) -> ColumnElement[bool]:
    """Express severities as ranges of `severity_order`, which an index can use."""
    ranges = [
        Finding.severity_order.between(severity.rank * 100 - 10, severity.rank * 100)
        for severity in severities
    ]
    return or_(*ranges)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
