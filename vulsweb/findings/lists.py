"""Findings of all hosts: filtered, in order, in stretches that cost the same however many there are."""

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, UnaryExpression, exists, func, or_, select, tuple_, union_all
from sqlalchemy.orm import contains_eager

from vulsweb.extensions import db
from vulsweb.models import Finding, Host, Result, Run
from vulsweb.vuls.results import Severity

# Beyond this nobody counts on: "1,000+" costs the same at a thousand findings and at a million.
COUNT_LIMIT = 1000


class Sort(enum.StrEnum):
    """What a list of findings can go by."""

    SEVERITY = "severity"  # the worst first
    FIRST_SEEN = "first_seen"  # the newest first
    HOST = "host"  # by name, each host's worst first


@dataclass(frozen=True)
class Filter:
    """What to show of the findings; None and "" leave nothing out."""

    fixed: bool = False
    severities: Collection[Severity] = ()
    host_id: int | None = None
    host: str = ""  # its name; `*` stands for anything
    first_seen_from: datetime | None = None
    cve_id: str = ""
    text: str = ""
    fixed_by: int | None = None  # the run that showed them to be fixed


@dataclass(frozen=True)
class Page:
    """Some findings in their order, and whether there are more on either side."""

    findings: Sequence[Finding]
    earlier: bool
    later: bool


@dataclass(frozen=True)
class Cve:
    """One CVE over all hosts in service."""

    cve_id: str
    severity: Severity
    title: str
    open: int
    fixed: int
    first_seen_at: datetime
    last_seen_at: datetime


class NoSuchFinding(Exception):
    """There is no finding next to which a stretch could begin."""


def page(
    wanted: Filter, sort: Sort, *, limit: int, after: int | None = None, before: int | None = None
) -> Page:
    """Return up to `limit` findings that `wanted` leaves in: the first, or those next to a finding's id.

    Raise NoSuchFinding when there is none of that id.
    """
    place = after if after is not None else before
    columns = _columns(sort)
    newest_first = sort is Sort.FIRST_SEEN
    chosen = _where(select(Finding).join(Finding.host).options(contains_eager(Finding.host)), wanted)
    backwards = after is None and before is not None
    if place is not None:
        chosen = _next_to(chosen, columns, place, upwards=newest_first == backwards)
    descending = newest_first != backwards
    order = [column.desc() if descending else column.asc() for column in columns]
    if sort is Sort.SEVERITY and len(wanted.severities) > 1:
        chosen = _one_by_one(chosen, wanted.severities, order, limit + 1)
    rows = db.session.scalars(chosen.order_by(*order).limit(limit + 1)).all()
    if not backwards:
        return Page(rows[:limit], earlier=place is not None, later=len(rows) > limit)
    if len(rows) > limit:
        return Page(rows[limit - 1 :: -1], earlier=True, later=True)
    # A page or less comes before: that is the first page.
    return page(wanted, sort, limit=limit)


def count(wanted: Filter) -> int:
    """Count the findings that `wanted` leaves in, as far as one more than COUNTED."""
    some = _where(select(Finding.id).join(Finding.host), wanted).limit(COUNT_LIMIT + 1).subquery()
    return db.session.scalar(select(func.count()).select_from(some)) or 0


def get_cve(cve_id: str) -> Cve | None:
    """Return what is known of one CVE, or None when no host in service ever had it."""
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
    """Say whether a scan has ever left a result that is still kept."""
    kept: bool = db.session.execute(select(exists().where(Result.id.is_not(None)))).scalar_one()
    return kept


def _columns(sort: Sort) -> list[ColumnElement[Any]]:
    """Return what the order goes by; no two findings are alike in all of it, and all go one way."""
    named: dict[Sort, list[Any]] = {
        Sort.SEVERITY: [Finding.severity_order, Finding.id],
        Sort.FIRST_SEEN: [Finding.first_seen_at, Finding.id],
        Sort.HOST: [Host.name, Finding.severity_order, Finding.id],
    }
    return named[sort]


def _next_to(
    chosen: Select[Finding], columns: list[ColumnElement[Any]], finding_id: int, *, upwards: bool
) -> Select[Finding]:
    found = db.session.execute(
        select(*columns).select_from(Finding).join(Finding.host).where(Finding.id == finding_id)
    ).first()
    if found is None:
        raise NoSuchFinding
    here, there = tuple_(*columns), tuple_(*found)
    # The first column by itself as well: of two tables, PostgreSQL's indexes cannot see the whole.
    first = columns[0] >= found[0] if upwards else columns[0] <= found[0]
    return chosen.where(first, here > there if upwards else here < there)


def _one_by_one(
    chosen: Select[Any], severities: Collection[Severity], order: list[UnaryExpression[Any]], limit: int
) -> Select[Any]:
    """Narrow to the first of each severity: between critical and low, PostgreSQL would read all of medium."""
    firsts = [
        chosen.with_only_columns(Finding.id)
        .where(_within([severity]))
        .order_by(*order)
        .limit(limit)
        .subquery()
        for severity in severities
    ]
    return chosen.where(Finding.id.in_(union_all(*(select(first.c.id) for first in firsts))))


def _where(chosen: Select[Any], wanted: Filter) -> Select[Any]:
    """Narrow findings, joined with their hosts, to those that `wanted` leaves in."""
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
        # A run ends at the moment at which it closes what it no longer sees.
        ended = select(Run.completed_at).where(Run.id == wanted.fixed_by).scalar_subquery()
        scanned = select(Result.host_id).where(Result.run_id == wanted.fixed_by)
        chosen = chosen.where(Finding.fixed_at == ended, Finding.host_id.in_(scanned))
    if wanted.text:
        chosen = chosen.where(Finding.words.like(func.lower(f"%{_escaped(wanted.text)}%")))
    return chosen


def _within(severities: Collection[Severity]) -> ColumnElement[bool]:
    """Say the severities as ranges of their order, which an index can find."""
    ranges = [
        Finding.severity_order.between(severity.rank * 100 - 10, severity.rank * 100)
        for severity in severities
    ]
    return or_(*ranges)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
