"""What a scan came to on each of its hosts: a line for a document, and one for each host that left none."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, case, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import load_only

from vulsweb.executors.client import Job
from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.hosts.containers import NAME_LENGTH, Containers
from vulsweb.models import Host, JobStatus, Run, RunHost, RunJob, RunStatus
from vulsweb.runs import jobs as run_jobs
from vulsweb.runs import lifecycle
from vulsweb.vuls import results
from vulsweb.vuls.results import Outcome, Severity

# How many hosts a run's reason quotes; the others' lines stand on its page.
QUOTED_MESSAGES = 3
UNKNOWN_HOST = "a result came back for a host that we do not know."
_WORST_FIRST = (Outcome.FAILED, Outcome.PARTIAL, Outcome.SUCCESS)

_LATEST = """
    UPDATE hosts SET last_run_id = line.run_id, last_scan_at = :now, last_outcome = line.outcome
    FROM run_hosts AS line WHERE line.host_id = hosts.id AND line.run_id = :run AND line.outcome IS NOT NULL
"""


@dataclass(frozen=True)
class HostResult:
    """What the scan came to on one host."""

    name: str
    outcome: Outcome
    message: str | None
    host_id: int | None = None
    severity_counts: Mapping[str, int] = field(default_factory=dict)
    packages: int = 0
    opened: int = 0
    fixed: int = 0


def host_results(run_id: int) -> Select[RunHost]:
    """Return the run's lines, those that need somebody first; without outcome: not told yet."""
    places = {each.value: place for place, each in enumerate(_WORST_FIRST)}
    worst_first = case(places, value=RunHost.outcome)
    chosen = select(RunHost).where(RunHost.run_id == run_id)
    return chosen.order_by(worst_first.nulls_first(), func.lower(RunHost.name), RunHost.name)


def store_documents(
    job: RunJob, told: Job, documents: Iterable[tuple[str, bytes]], now: datetime
) -> list[HostResult]:
    """Store each document with its findings, and return what it says of its host."""
    known = _lock_hosts(job)
    found = Containers(known, now)
    lines = [
        _store_document(job.run_id, told, name, known.get(name) or found.add_host(name), text, now)
        for name, text in documents
    ]
    found.retire_absent(
        reported={line.name for line in lines},
        scanned={line.name for line in lines if line.outcome is not Outcome.FAILED},
    )
    return lines


def unreported_hosts(
    servers: Collection[str], told: Job, lines: Sequence[HostResult] = ()
) -> list[HostResult]:
    """Return a line for each host of the servers of which the scan has left nothing."""
    spoken = {line.name for line in lines}
    expected = db.session.execute(
        select(Host.name, Host.id, Host.vuls_config)
        .where(Host.entry.in_(servers), Host.parent_id.is_(None), Host.retired_at.is_(None))
        .order_by(Host.id)
    ).all()
    silent = [
        _unreported(told, row.name, row.id, row.vuls_config, spoken)
        for row in expected
        if row.name not in spoken
    ]
    entries = set(db.session.scalars(select(Host.entry).where(Host.entry.in_(servers))))
    unknown = [
        HostResult(name, Outcome.FAILED, f"{name}: {told.error or 'the scan left no result.'}")
        for name in servers
        if name not in entries and name not in spoken
    ]
    return silent + unknown


def excluded_hosts(run: Run) -> list[HostResult]:
    """Return a line for each host that has the run's tag and could not be asked for."""
    return [HostResult(name, Outcome.FAILED, problem, host_id) for name, problem, host_id in _excluded(run)]


def outcomes(run_id: int) -> Sequence[tuple[Outcome, str | None]]:
    """Return outcome and message of each of the run's lines that has one, those that need somebody first."""
    chosen = host_results(run_id).with_only_columns(RunHost.outcome, RunHost.message)
    rows = db.session.execute(chosen)
    return [(outcome, message) for outcome, message in rows if outcome is not None]


def store_results(run_id: int, lines: Sequence[HostResult], now: datetime) -> None:
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


def _store_document(
    run_id: int, told: Job, name: str, host: Host | None, document: bytes, now: datetime
) -> HostResult:
    if host is None:
        return HostResult(name, Outcome.FAILED, f"{name}: {UNKNOWN_HOST}")
    try:
        result = results.parse(document)
    except results.ResultsError as error:
        return HostResult(name, Outcome.FAILED, f"{name}: the result cannot be read. {error}", host.id)
    outcome, message = results.judge(result, told.databases)
    said = f"{name}: {message}" if message else None
    if outcome is Outcome.FAILED:
        return HostResult(name, outcome, said, host.id)
    change = storage.store(
        run_id=run_id,
        host=host,
        document=document,
        result=result,
        complete=outcome is Outcome.SUCCESS,
        now=now,
    )
    return HostResult(
        name,
        outcome,
        said,
        host.id,
        result.severity_counts,
        result.package_count,
        change.opened,
        change.fixed,
    )


def _excluded(run: Run) -> list[tuple[str, str, int | None]]:
    left_out: Mapping[str, str] = run.request.get("left_out", {})
    if not left_out:
        return []
    rows = db.session.execute(select(Host.name, Host.id).where(Host.name.in_(left_out)))
    ids = {name: host_id for name, host_id in rows}  # noqa: C416 - dict() loses the types
    return [(name, problem, ids.get(name)) for name, problem in left_out.items()]


def _unreported(
    told: Job, name: str, host_id: int, section: Mapping[str, Any], spoken: set[str]
) -> HostResult:
    if section.get("containersOnly") is True and any(each.endswith(f"@{name}") for each in spoken):
        only = "Only its containers were looked at, as its section in config.toml says."
        return HostResult(name, Outcome.SUCCESS, only, host_id)
    return HostResult(name, Outcome.FAILED, f"{name}: {told.error or 'the scan left no result.'}", host_id)


def exclude_servers(run: Run, job: RunJob, unknown: Collection[str], now: datetime) -> None:
    """Have the job go on without servers that its executor does not know; their hosts fail alone."""
    why = f"The executor {job.executor} does not have it in its config.toml yet."
    told = Job.ended_with(job.id, JobStatus.FAILED.value, why, [])
    job.request = job.request | {"servers": [each for each in job.request["servers"] if each not in unknown]}
    _add_results(run, unreported_hosts(unknown, told), now)


def store_job(
    run: Run, job: RunJob, told: Job, documents: Iterable[tuple[str, bytes]], now: datetime
) -> None:
    """Store the results of a scan's job, with one for each host that left none."""
    lines = store_documents(job, told, documents, now)
    lines += unreported_hosts(job.request["servers"], told, lines)
    _add_results(run, lines, now)


def _add_results(run: Run, lines: Sequence[HostResult], now: datetime) -> None:
    store_results(run.id, lines, now)
    before: Mapping[str, Any] = run.result_data or {}
    run.result_data = {
        "severity_counts": {
            each.value: before.get("severity_counts", {}).get(each.value, 0)
            + sum(line.severity_counts.get(each.value, 0) for line in lines)
            for each in Severity
        },
        "opened": before.get("opened", 0) + sum(line.opened for line in lines),
        "fixed": before.get("fixed", 0) + sum(line.fixed for line in lines),
        "host_counts": {
            each.value: before.get("host_counts", {}).get(each.value, 0)
            + sum(line.outcome is each for line in lines)
            for each in Outcome
        },
    }


def store_excluded(run: Run, now: datetime) -> None:
    """Store a failed result for each host that has the run's tag and could not be asked for."""
    if excluded := excluded_hosts(run):
        _add_results(run, excluded, now)


def end(run: Run, now: datetime) -> None:
    """End the run of a scan, judged by the results of its hosts."""
    found = outcomes(run.id)
    given_up = run_jobs.failure_reasons(run)
    messages = [message for outcome, message in found if outcome is not Outcome.SUCCESS and message]
    # A reason that all hosts of a job share is quoted once.
    messages = [*given_up, *(message for message in messages if not message.endswith(tuple(given_up)))]
    reason = " ".join(messages[:QUOTED_MESSAGES])
    if len(messages) > QUOTED_MESSAGES:
        failed = sum(outcome is Outcome.FAILED for outcome, _ in found)
        partial = sum(outcome is Outcome.PARTIAL for outcome, _ in found)
        reason = f"Of {len(found):,} hosts {failed:,} failed and {partial:,} are partial. {reason}"
    lifecycle.end(run, _worst({outcome for outcome, _ in found}), reason or None, now)


def _worst(outcomes: set[Outcome]) -> RunStatus:
    if outcomes == {Outcome.SUCCESS}:
        return RunStatus.SUCCESS
    return RunStatus.FAILED if outcomes <= {Outcome.FAILED} else RunStatus.PARTIAL
