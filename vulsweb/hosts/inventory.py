"""The hosts as people look for them and describe them: lists, tags, notes, and what is known of each."""

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, exists, func, or_, select, update
from sqlalchemy.orm import joinedload

from vulsweb.extensions import db
from vulsweb.hosts import tags as host_tags
from vulsweb.models import Finding, Host, Result, Run, RunHost, ScheduledTask
from vulsweb.vuls.connections import HostConnection
from vulsweb.vuls.results import Severity

NOTES_LENGTH = 4000
MOST_TAGS = 20


class InvalidHost(Exception):
    """A host cannot be described as asked; `errors` has a sentence for each field that is wrong."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = dict(errors)


class Show(enum.StrEnum):
    """Which hosts people ask for together."""

    ALL = "all"  # in service
    NEVER_SCANNED = "never_scanned"
    CRITICAL = "critical"  # with an open critical finding
    RETIRED = "retired"

    @property
    def label(self) -> str:
        """Return the words that people read."""
        return {
            "all": "All",
            "never_scanned": "Never scanned",
            "critical": "With critical findings",
            "retired": "Retired",
        }[self.value]


class Sort(enum.StrEnum):
    """What the list of hosts can go by."""

    NAME = "name"
    LAST_SCAN = "last_scan"
    CRITICAL = "critical"  # how many open critical findings


@dataclass(frozen=True)
class Filter:
    """What to show of the hosts; None and "" leave nothing out."""

    show: Show | None = Show.ALL  # None: retired ones as well
    text: str = ""
    tag: str = ""
    connection: HostConnection | None = None
    family: str = ""  # as the latest result has it


def query(wanted: Filter, sort: Sort = Sort.NAME, *, descending: bool = False) -> Select[Host]:
    """Return the hosts that `wanted` leaves in; one that was never scanned stands at the end."""
    return _ordered(_where(select(Host), wanted), sort, descending=descending)


def statistics() -> dict[Show, int]:
    """Return how many hosts there are of each sort."""
    row = db.session.execute(
        select(*(func.count().filter(_shown(show)) for show in Show if show is not Show.CRITICAL))
    ).one()
    serious = select(func.count(Finding.host_id.distinct())).join(Host).where(_OPEN_CRITICAL, _IN_SERVICE)
    counts = iter(row)
    return {
        show: (db.session.scalar(serious) or 0) if show is Show.CRITICAL else next(counts) for show in Show
    }


def families() -> dict[str, int]:
    """Return how many hosts in service there are of each family, the most first."""
    family = _FAMILY.label("family")
    counted = select(family).where(_IN_SERVICE).subquery()
    rows = db.session.execute(
        select(counted.c.family, func.count())
        .where(counted.c.family.is_not(None))
        .group_by(counted.c.family)
        .order_by(func.count().desc(), counted.c.family)
    )
    return {family: count for family, count in rows}  # noqa: C416 - dict() loses the types


def open_counts(host_ids: Collection[int]) -> dict[int, dict[Severity, int]]:
    """Return the open findings of each of the hosts by severity, worst first; those without are empty."""
    rows = db.session.execute(
        select(Finding.host_id, Finding.severity, func.count())
        .where(Finding.host_id.in_(host_ids), Finding.fixed_at.is_(None))
        .group_by(Finding.host_id, Finding.severity)
    )
    counted = {(host_id, severity): count for host_id, severity, count in rows}
    return {
        host_id: {each: counted[host_id, each] for each in Severity if (host_id, each) in counted}
        for host_id in host_ids
    }


def task_counts(hosts: Sequence[Host]) -> dict[int, int]:
    """Return how many tasks scan each of the hosts, for itself or by a tag."""
    tags = {tag for host in hosts for tag in host.tags}
    single = select(ScheduledTask.host_id, func.count()).where(
        ScheduledTask.host_id.in_([host.id for host in hosts])
    )
    shared = select(ScheduledTask.host_tag, func.count()).where(ScheduledTask.host_tag.in_(tags))
    own = {key: count for key, count in db.session.execute(single.group_by(ScheduledTask.host_id))}  # noqa: C416
    by_tag = {key: count for key, count in db.session.execute(shared.group_by(ScheduledTask.host_tag))}  # noqa: C416
    return {host.id: own.get(host.id, 0) + sum(by_tag.get(tag, 0) for tag in host.tags) for host in hosts}


def get(host_id: int) -> Host | None:
    """Return the host, or None."""
    return db.session.get(Host, host_id, options=[joinedload(Host.parent)])


def findings(host_id: int, severity: Severity | None) -> Select[Finding]:
    """Return the host's open findings, the worst first; of one severity if it is named."""
    rank = case({each.value: each.rank for each in Severity}, value=Finding.severity)
    chosen = select(Finding).where(Finding.host_id == host_id, Finding.fixed_at.is_(None))
    if severity is not None:
        chosen = chosen.where(Finding.severity == severity)
    return chosen.order_by(rank, Finding.score.desc().nulls_last(), Finding.cve_id)


def latest_runs(host_id: int, limit: int) -> Sequence[RunHost]:
    """Return what the host's latest runs came to on it, the newest first."""
    chosen = select(RunHost).where(RunHost.host_id == host_id).order_by(RunHost.run_id.desc()).limit(limit)
    run = joinedload(RunHost.run)
    loaded = (run.joinedload(Run.task).joinedload(ScheduledTask.host), run.joinedload(Run.requested_by))
    return db.session.scalars(chosen.options(*loaded)).all()


def count_sharing_entry(host: Host) -> int:
    """Return how many other hosts in service are scanned whenever this one is."""
    together = (Host.entry == host.entry) & (Host.id != host.id)
    others = select(func.count()).where(together, Host.retired_at.is_(None), Host.parent_id.is_(None))
    return db.session.scalar(others.select_from(Host)) or 0


def update_details(host: Host, values: Mapping[str, Any]) -> None:
    """Give the host tags and notes, whichever there are; raise InvalidHost, having changed nothing."""
    errors: dict[str, str] = {}
    tags = _tags(values["tags"], errors) if "tags" in values else host.tags
    notes = _notes(values["notes"], errors) if "notes" in values else host.notes
    if errors:
        raise InvalidHost(errors)
    host.tags, host.notes = tags, notes
    db.session.flush()


def tag_many(host_ids: Collection[int], word: str, *, on: bool) -> int:
    """Give the hosts a tag or take it from them; return how many changed, or raise InvalidHost."""
    try:
        tag = host_tags.normalize(word)
    except ValueError as error:
        raise InvalidHost({"tag": str(error)}) from error
    has = Host.tags.contains([tag])
    room = func.cardinality(Host.tags) < MOST_TAGS
    changed = func.array_append(Host.tags, tag) if on else func.array_remove(Host.tags, tag)
    # In one order everywhere, so that nobody waits in a circle.
    locked = select(Host.id).where(Host.id.in_(host_ids)).order_by(Host.id).with_for_update(key_share=True)
    found = db.session.scalars(locked).all()
    touched = db.session.scalars(
        update(Host)
        .where(Host.id.in_(found), ~has & room if on else has)
        .values(tags=changed)
        .returning(Host.id)
        .execution_options(synchronize_session=False)
    ).all()
    db.session.expire_all()
    return len(touched)


_IN_SERVICE = Host.retired_at.is_(None)
# The latest scan may have failed and left no result; only then is the history looked through.
_RESULTS = select(Result.family).where(Result.host_id == Host.id)
_FAMILY = func.coalesce(
    _RESULTS.where(Result.run_id == Host.last_run_id).scalar_subquery(),
    _RESULTS.order_by(Result.scanned_at.desc()).limit(1).scalar_subquery(),
)
_OPEN_CRITICAL = Finding.fixed_at.is_(None) & (Finding.severity == Severity.CRITICAL)


def _shown(show: Show) -> ColumnElement[bool]:
    return {
        Show.ALL: _IN_SERVICE,
        Show.NEVER_SCANNED: _IN_SERVICE & Host.last_scan_at.is_(None),
        Show.CRITICAL: _IN_SERVICE & exists().where(Finding.host_id == Host.id, _OPEN_CRITICAL),
        Show.RETIRED: ~_IN_SERVICE,
    }[show]


def _where(chosen: Select[Host], wanted: Filter) -> Select[Host]:
    if wanted.show is not None:
        chosen = chosen.where(_shown(wanted.show))
    if wanted.tag:
        chosen = chosen.where(Host.tags.contains([wanted.tag]))
    if wanted.connection is not None:
        chosen = chosen.where(Host.connection == wanted.connection)
    if wanted.family:
        chosen = chosen.where(_FAMILY == wanted.family)  # noqa: SIM300 - a column
    if wanted.text:
        columns = (Host.name, Host.hostname, Host.notes)
        chosen = chosen.where(or_(*(column.icontains(wanted.text, autoescape=True) for column in columns)))
    return chosen


def _ordered(chosen: Select[Host], sort: Sort, *, descending: bool) -> Select[Host]:
    if sort is Sort.CRITICAL:
        # Counted once for all: a look at each of 50,000 hosts' findings would take seconds.
        counted = select(Finding.host_id, func.count().label("count")).where(_OPEN_CRITICAL)
        serious = counted.group_by(Finding.host_id).subquery()
        chosen = chosen.outerjoin(serious, serious.c.host_id == Host.id)
        column: ColumnElement[Any] = func.coalesce(serious.c.count, 0)
    else:
        column = func.lower(Host.name) if sort is Sort.NAME else Host.last_scan_at.expression
    first = (column.desc() if descending else column.asc()).nulls_last()
    return chosen.order_by(first, Host.id.desc() if descending else Host.id.asc())


def _tags(words: object, errors: dict[str, str]) -> list[str]:
    found: list[str] = []
    for word in words if isinstance(words, list) else []:
        try:
            found.append(host_tags.normalize(str(word)))
        except ValueError as error:
            errors["tags"] = str(error)
    found = list(dict.fromkeys(found))
    if not isinstance(words, list):
        errors["tags"] = "Write a list of words."
    elif len(found) > MOST_TAGS:
        errors["tags"] = f"A host has at most {MOST_TAGS} tags; these are {len(found)}."
    return found


def _notes(text: object, errors: dict[str, str]) -> str:
    # Neither NUL nor half a surrogate pair, which JSON can carry, can be stored.
    if not isinstance(text, str) or any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in text):
        errors["notes"] = "Write the notes as plain text."
        return ""
    if len(text) > NOTES_LENGTH:
        errors["notes"] = f"Notes have at most {NOTES_LENGTH} characters; these have {len(text)}."
    return text.strip()


def scannable() -> Sequence[Host]:
    """Return the hosts that a task may scan, by name."""
    return db.session.scalars(select(Host).where(Host.retired_at.is_(None)).order_by(Host.name)).all()


def count_active() -> int:
    """Return how many hosts a task may scan."""
    return db.session.scalar(select(func.count()).select_from(Host).where(Host.retired_at.is_(None))) or 0


def names_containing(text: str, limit: int) -> Sequence[str]:
    """Return the names of up to `limit` hosts in service that have `text` in their name."""
    chosen = select(Host.name).where(Host.retired_at.is_(None), Host.name.icontains(text, autoescape=True))
    return db.session.scalars(chosen.order_by(func.lower(Host.name)).limit(limit)).all()
