"""What a scan came to on each of its hosts: a line for a document, and one for each host that left none."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, case, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import load_only

from vulsweb import findings, pauses
from vulsweb.executor_client import Job
from vulsweb.extensions import db
from vulsweb.models import Host, Run, RunHost, RunJob
from vulsweb.vuls import results
from vulsweb.vuls.results import Outcome

NAME_LENGTH = 253
# What one host's scan can add to the hosts: the names of containers come from the scanned host.
MOST_CONTAINERS = 200
UNKNOWN = "a result came back for a host that we do not know."
_WORST_FIRST = (Outcome.FAILED, Outcome.PARTIAL, Outcome.SUCCESS)
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)

_LATEST = """
    UPDATE hosts SET last_run_id = line.run_id, last_scan_at = :now, last_outcome = line.outcome
    FROM run_hosts AS line WHERE line.host_id = hosts.id AND line.run_id = :run AND line.outcome IS NOT NULL
"""


@dataclass(frozen=True)
class Line:
    """What the scan came to on one host."""

    name: str
    outcome: Outcome
    message: str | None
    host_id: int | None = None
    severity_counts: Mapping[str, int] = field(default_factory=dict)
    packages: int = 0
    opened: int = 0
    fixed: int = 0


def of_run(run_id: int) -> Select[RunHost]:
    """Return the run's lines, those that need somebody first; without outcome: not told yet."""
    places = {each.value: place for place, each in enumerate(_WORST_FIRST)}
    worst_first = case(places, value=RunHost.outcome)
    chosen = select(RunHost).where(RunHost.run_id == run_id)
    return chosen.order_by(worst_first.nulls_first(), func.lower(RunHost.name), RunHost.name)


def of_documents(job: RunJob, told: Job, documents: Iterable[tuple[str, bytes]], now: datetime) -> list[Line]:
    """Store each document with its findings, and return what it says of its host."""
    known = _lock_hosts(job)
    found = _Containers(known, now)
    lines = [
        _line(job.run_id, told, name, known.get(name) or found.host(name), text, now)
        for name, text in documents
    ]
    found.retire_the_absent({line.name: line for line in lines})
    return lines


def of_the_silent(job: RunJob, told: Job, lines: Sequence[Line]) -> list[Line]:
    """Return a line for each host of which the scan has left nothing."""
    spoken = {line.name for line in lines}
    expected = db.session.execute(
        select(Host.name, Host.id, Host.vuls_config)
        .where(Host.entry.in_(job.request["servers"]), Host.parent_id.is_(None), Host.retired_at.is_(None))
        .order_by(Host.id)
    ).all()
    silent = [
        _silent(told, row.name, row.id, row.vuls_config, spoken) for row in expected if row.name not in spoken
    ]
    entries = set(db.session.scalars(select(Host.entry).where(Host.entry.in_(job.request["servers"]))))
    unknown = [
        Line(name, Outcome.FAILED, f"{name}: {told.error or 'the scan left no result.'}")
        for name in job.request["servers"]
        if name not in entries and name not in spoken
    ]
    return silent + unknown


def of_the_left_out(run: Run) -> list[Line]:
    """Return a line for each host that has the run's tag and could not be asked for."""
    return [Line(name, Outcome.FAILED, problem, host_id) for name, problem, host_id in _left_out(run)]


def outcomes(run_id: int) -> Sequence[tuple[Outcome, str | None]]:
    """Return outcome and message of each of the run's lines that has one, those that need somebody first."""
    chosen = of_run(run_id).with_only_columns(RunHost.outcome, RunHost.message)
    rows = db.session.execute(chosen)
    return [(outcome, message) for outcome, message in rows if outcome is not None]


def store(run_id: int, lines: Sequence[Line], now: datetime) -> None:
    """Keep the lines with the run, and say on their hosts that this was the latest scan."""
    rows = [
        {
            "run_id": run_id,
            "name": line.name[:NAME_LENGTH],
            "host_id": line.host_id,
            "outcome": line.outcome,
            "message": line.message,
            "severity_counts": dict(line.severity_counts),
            "packages": line.packages,
            "opened": line.opened,
            "fixed": line.fixed,
        }
        for line in lines
    ]
    if not rows:
        return
    statement = insert(RunHost)
    changed = {column: statement.excluded[column] for column in rows[0] if column not in ("run_id", "name")}
    db.session.execute(statement.on_conflict_do_update(index_elements=["run_id", "name"], set_=changed), rows)
    db.session.execute(text(_LATEST), {"run": run_id, "now": now})


def _lock_hosts(job: RunJob) -> dict[str, Host]:
    """Return the hosts that the job may tell of, by name, for this worker alone."""
    chosen = (
        select(Host)
        .where(Host.entry.in_(job.request["servers"]))
        .options(load_only(Host.name, Host.entry, Host.parent_id, Host.retired_at, Host.hostname))
        # In one order everywhere, so that two scans and a sync never wait for each other in a circle.
        .order_by(Host.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return {host.name: host for host in db.session.scalars(chosen)}


def _line(run_id: int, told: Job, name: str, host: Host | None, document: bytes, now: datetime) -> Line:
    if host is None:
        return Line(name, Outcome.FAILED, f"{name}: {UNKNOWN}")
    try:
        result = results.parse(document)
    except results.ResultsError as error:
        return Line(name, Outcome.FAILED, f"{name}: the result cannot be read. {error}", host.id)
    outcome, message = results.judge(result, told.databases)
    said = f"{name}: {message}" if message else None
    if outcome is Outcome.FAILED:
        return Line(name, outcome, said, host.id)
    change = findings.store(
        run_id=run_id,
        host=host,
        document=document,
        result=result,
        complete=outcome is Outcome.SUCCESS,
        now=now,
    )
    return Line(
        name,
        outcome,
        said,
        host.id,
        result.severity_counts,
        result.package_count,
        change.opened,
        change.fixed,
    )


def _left_out(run: Run) -> list[tuple[str, str, int | None]]:
    left_out: Mapping[str, str] = run.request.get("left_out", {})
    if not left_out:
        return []
    rows = db.session.execute(select(Host.name, Host.id).where(Host.name.in_(left_out)))
    ids = {name: host_id for name, host_id in rows}  # noqa: C416 - dict() loses the types
    return [(name, problem, ids.get(name)) for name, problem in left_out.items()]


def _silent(told: Job, name: str, host_id: int, section: Mapping[str, Any], spoken: set[str]) -> Line:
    if section.get("containersOnly") is True and any(each.endswith(f"@{name}") for each in spoken):
        only = "Only its containers were looked at, as its section in config.toml says."
        return Line(name, Outcome.SUCCESS, only, host_id)
    return Line(name, Outcome.FAILED, f"{name}: {told.error or 'the scan left no result.'}", host_id)


class _Containers:
    """The containers on the hosts of a scan; hosts themselves, with packages and findings of their own."""

    def __init__(self, known: dict[str, Host], now: datetime) -> None:
        self._known = known
        self._now = now
        self._changed = False

    def host(self, document: str) -> Host | None:
        """Return the host for a document named container@host, a new one; None for any other name."""
        name, _, parent_name = document.partition("@")
        parent = self._known.get(parent_name)
        if parent is None or parent.parent_id is not None or not _CONTAINER.fullmatch(name):
            return None
        siblings = sum(host.parent_id == parent.id for host in self._known.values())
        if siblings >= MOST_CONTAINERS or len(document) > NAME_LENGTH:
            return None
        made = Host(
            name=document,
            entry=parent.entry,
            parent_id=parent.id,
            hostname=parent.hostname,
            connection=parent.connection,
            scan_modes=parent.scan_modes,
            vuls_config={},
            created_at=self._now,
            synced_at=self._now,
        )
        db.session.add(made)
        db.session.flush()
        self._known[document] = made
        return made

    def retire_the_absent(self, lines: Mapping[str, Line]) -> None:
        """Retire the containers that a scan of their host no longer finds, and take back those it does."""
        names = {host.id: host.name for host in self._known.values()}
        for host in self._known.values():
            if host.parent_id is None:
                continue
            parent = lines.get(names.get(host.parent_id, ""))
            if host.name in lines and host.retired_at is not None:
                host.retired_at, self._changed = None, True
            elif host.name not in lines and host.retired_at is None and _looked(parent):
                host.retired_at, self._changed = self._now, True
        if self._changed:
            pauses.follow(self._now)


def _looked(parent: Line | None) -> bool:
    return parent is not None and parent.outcome is not Outcome.FAILED
