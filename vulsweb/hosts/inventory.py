"""The list of hosts, and the details of each host.

The list has filters and counts. The tags and notes of a host are edited by users.
"""

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, exists, false, func, or_, select
from sqlalchemy.orm import joinedload

from vulsweb.extensions import db
from vulsweb.hosts import tags as host_tags
from vulsweb.models import Finding, Host, Run, RunHost, ScheduledTask
from vulsweb.models.text import plain_text
from vulsweb.vuls.connections import HostConnection
from vulsweb.vuls.results import Severity

NOTES_LENGTH = 4000
MOST_TAGS = 20


class InvalidHost(Exception):
    """The details of a host are invalid.

    `errors` has a sentence for each invalid field.
    """

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = dict(errors)


class Show(enum.StrEnum):
    """The groups of hosts that the list offers."""

    ALL = "all"  # every active host
    NEVER_SCANNED = "never_scanned"
    CRITICAL = "critical"  # with an open critical finding
    WARNED = "warned"  # by Vuls, in the latest scan
    END_OF_LIFE = "end_of_life"  # without any support left
    RETIRED = "retired"

    @property
    def label(self) -> str:
        """Return the group's name on pages."""
        return {
            "all": "All",
            "never_scanned": "Never scanned",
            "critical": "With critical findings",
            "warned": "With warnings",
            "end_of_life": "End of life",
            "retired": "Retired",
        }[self.value]


class Sort(enum.StrEnum):
    """How the list of hosts can be sorted."""

    NAME = "name"
    LAST_SCAN = "last_scan"
    CRITICAL = "critical"  # by the number of open critical findings


@dataclass(frozen=True)
class Filter:
    """Which hosts to list; None and "" match everything."""

    show: Show | None = Show.ALL  # None: also retired hosts
    text: str = ""
    tag: str = ""
    connection: HostConnection | None = None
    family: str = ""  # as in the host's latest result
    release: str = ""


_ACTIVE = Host.retired_at.is_(None)
_OPEN_CRITICAL = Finding.fixed_at.is_(None) & (Finding.severity == Severity.CRITICAL)
_GROUPS: dict[Show, ColumnElement[bool]] = {
    Show.ALL: _ACTIVE,
    Show.NEVER_SCANNED: _ACTIVE & Host.last_scan_at.is_(None),
    Show.CRITICAL: _ACTIVE & exists().where(Finding.host_id == Host.id, _OPEN_CRITICAL),
    Show.WARNED: _ACTIVE & Host.warned,
    Show.END_OF_LIFE: _ACTIVE & (Host.support_ends < func.current_date()),
    Show.RETIRED: ~_ACTIVE,
}


def query(wanted: Filter, sort: Sort = Sort.NAME, *, descending: bool = False) -> Select[Host]:
    """Return the matching hosts, sorted.

    By last scan, hosts that were never scanned come last.
    """
    chosen = select(Host)
    if wanted.show is not None:
        chosen = chosen.where(_GROUPS[wanted.show])
    if wanted.tag:
        chosen = chosen.where(Host.tags.contains([wanted.tag]))
    if wanted.connection is not None:
        chosen = chosen.where(Host.connection == wanted.connection)
    if wanted.family:
        chosen = chosen.where(Host.family == wanted.family)
    if wanted.release:
        chosen = chosen.where(Host.release == wanted.release)
    if wanted.text:
        columns = (Host.name, Host.hostname, Host.notes)
        chosen = chosen.where(or_(*(column.icontains(wanted.text, autoescape=True) for column in columns)))
    if sort is Sort.CRITICAL:
        # Counted once for all hosts: a subquery for each of 50,000 hosts would take seconds.
        counted = select(Finding.host_id, func.count().label("count")).where(_OPEN_CRITICAL)
        critical = counted.group_by(Finding.host_id).subquery()
        chosen = chosen.outerjoin(critical, critical.c.host_id == Host.id)
        key: ColumnElement[Any] = func.coalesce(critical.c.count, 0)
    else:
        key = func.lower(Host.name) if sort is Sort.NAME else Host.last_scan_at.expression
    first = (key.desc() if descending else key.asc()).nulls_last()
    return chosen.order_by(first, Host.id.desc() if descending else Host.id.asc())


def statistics() -> dict[Show, int]:
    """Count the hosts of each group."""
    # Critical separately: counting from the findings avoids a subquery for each host.
    others = [show for show in Show if show is not Show.CRITICAL]
    row = db.session.execute(select(*(func.count().filter(_GROUPS[show]) for show in others))).one()
    counts = dict(zip(others, row, strict=True))
    critical = select(func.count(Finding.host_id.distinct())).join(Host).where(_OPEN_CRITICAL, _ACTIVE)
    counts[Show.CRITICAL] = db.session.scalar(critical) or 0
    return {show: counts[show] for show in Show}


def families() -> dict[str, int]:
    """Count the active hosts by family, the most frequent first."""
    rows = db.session.execute(
        select(Host.family, func.count())
        .where(_ACTIVE, Host.family != "")
        .group_by(Host.family)
        .order_by(func.count().desc(), Host.family)
    )
    return {family: count for family, count in rows}  # noqa: C416 - dict() loses the types


def systems() -> dict[tuple[str, str], int]:
    """Count the active hosts by family and release, in this order."""
    rows = db.session.execute(
        select(Host.family, Host.release, func.count())
        .where(_ACTIVE, Host.family != "")
        .group_by(Host.family, Host.release)
        .order_by(Host.family, Host.release)
    )
    return {(family, release): count for family, release, count in rows}


def system_counts(host_ids: Collection[int] = (), tag: str = "") -> Sequence[tuple[list[str], str, str, int]]:
    """Count some active hosts by tags, family and release.

    They are those with the ids and those with the tag. Hosts whose system is not known yet are left out.
    """
    chosen = Host.id.in_(host_ids) | (Host.tags.contains([tag]) if tag else false())
    rows = db.session.execute(
        select(Host.tags, Host.family, Host.release, func.count())
        .where(_ACTIVE, Host.family != "", chosen)
        .group_by(Host.tags, Host.family, Host.release)
        .order_by(Host.family, Host.release)
    )
    return [(tags, family, release, count) for tags, family, release, count in rows]


def open_counts(host_ids: Collection[int]) -> dict[int, dict[Severity, int]]:
    """Count the open findings of each host by severity.

    The worst severity comes first. Severities without findings are left out.
    """
    rows = db.session.execute(
        select(Finding.host_id, Finding.severity, func.count())
        .where(Finding.host_id.in_(host_ids), Finding.fixed_at.is_(None))
        .group_by(Finding.host_id, Finding.severity)
    )
    counted = {(host_id, severity): count for host_id, severity, count in rows}
    return {
        host_id: {level: counted[host_id, level] for level in Severity if (host_id, level) in counted}
        for host_id in host_ids
    }


def task_counts(hosts: Sequence[Host]) -> dict[int, int]:
    """Count the tasks that scan each host, directly or by a tag."""
    tags = {tag for host in hosts for tag in host.tags}
    single = select(ScheduledTask.host_id, func.count()).where(
        ScheduledTask.host_id.in_([host.id for host in hosts])
    )
    shared = select(ScheduledTask.host_tag, func.count()).where(ScheduledTask.host_tag.in_(tags))
    direct = {key: count for key, count in db.session.execute(single.group_by(ScheduledTask.host_id))}  # noqa: C416
    by_tag = {key: count for key, count in db.session.execute(shared.group_by(ScheduledTask.host_tag))}  # noqa: C416
    return {host.id: direct.get(host.id, 0) + sum(by_tag.get(tag, 0) for tag in host.tags) for host in hosts}


def get(host_id: int) -> Host | None:
    """Return the host, or None."""
    return db.session.get(Host, host_id, options=[joinedload(Host.parent)])


def findings(host_id: int, severity: Severity | None) -> Select[Finding]:
    """Return the host's open findings, worst first.

    They have the given severity, or any severity if it is None.
    """
    rank = case({level.value: level.rank for level in Severity}, value=Finding.severity)
    chosen = select(Finding).where(Finding.host_id == host_id, Finding.fixed_at.is_(None))
    if severity is not None:
        chosen = chosen.where(Finding.severity == severity)
    return chosen.order_by(rank, Finding.score.desc().nulls_last(), Finding.cve_id)


def latest_runs(host_id: int, limit: int) -> Sequence[RunHost]:
    """Return the results of the host's latest runs, newest first."""
    chosen = select(RunHost).where(RunHost.host_id == host_id).order_by(RunHost.run_id.desc()).limit(limit)
    run = joinedload(RunHost.run)
    loaded = (run.joinedload(Run.task).joinedload(ScheduledTask.host), run.joinedload(Run.requested_by))
    return db.session.scalars(chosen.options(*loaded)).all()


def count_sharing_entry(host: Host) -> int:
    """Count the other active hosts that are scanned with this one.

    Hosts of the same entry in config.toml are always scanned together. Containers are not counted.
    """
    together = (Host.entry == host.entry) & (Host.id != host.id)
    others = select(func.count()).where(together, _ACTIVE, Host.parent_id.is_(None))
    return db.session.scalar(others.select_from(Host)) or 0


def update_details(host: Host, values: Mapping[str, Any]) -> None:
    """Set the host's tags and notes, if given.

    Raise InvalidHost and change nothing if one of them is invalid.
    """
    errors: dict[str, str] = {}
    tags, notes = host.tags, host.notes
    if "tags" in values:
        try:
            tags = list(dict.fromkeys(host_tags.normalize(tag) for tag in values["tags"]))
        except ValueError as error:
            errors["tags"] = str(error)
        if len(tags) > MOST_TAGS:
            errors["tags"] = f"A host can have at most {MOST_TAGS} tags; these are {len(tags)}."
    if "notes" in values:
        try:
            notes = plain_text(values["notes"], NOTES_LENGTH)
        except ValueError as error:
            errors["notes"] = str(error)
    if errors:
        raise InvalidHost(errors)
    host.tags, host.notes = tags, notes
    db.session.flush()


def tag_many(host_ids: Collection[int], new_tag: str, *, on: bool) -> int:
    """Add a tag to the hosts, or remove it from them.

    Return how many hosts changed. Raise InvalidHost if the tag is invalid.
    """
    try:
        tag = host_tags.normalize(new_tag)
    except ValueError as error:
        raise InvalidHost({"tag": str(error)}) from error
    # Hosts are locked in the order of their ids everywhere, which prevents deadlocks.
    locked = select(Host).where(Host.id.in_(host_ids)).order_by(Host.id).with_for_update(key_share=True)
    found = db.session.scalars(locked.execution_options(populate_existing=True)).all()
    changing = [host for host in found if (tag in host.tags) != on and (len(host.tags) < MOST_TAGS or not on)]
    for host in changing:
        host.tags = [*host.tags, tag] if on else [each for each in host.tags if each != tag]
    db.session.flush()
    return len(changing)


def ids_named(name: str) -> Sequence[int]:
    """Return the ids of the hosts with a name, none or one."""
    return db.session.scalars(select(Host.id).where(Host.name == name)).all()


def scannable() -> Sequence[Host]:
    """Return the active hosts, which tasks can scan, by name."""
    return db.session.scalars(select(Host).where(_ACTIVE).order_by(Host.name)).all()


def count_active() -> int:
    """Count the active hosts."""
    return db.session.scalar(select(func.count()).select_from(Host).where(_ACTIVE)) or 0


def names_containing(text: str, limit: int) -> Sequence[str]:
    """Return up to `limit` names of active hosts that contain `text`."""
    chosen = select(Host.name).where(_ACTIVE, Host.name.icontains(text, autoescape=True))
    return db.session.scalars(chosen.order_by(func.lower(Host.name)).limit(limit)).all()
