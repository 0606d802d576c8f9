"""Results of scans: a row for each host, and the run's outcome."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, case, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError
from sqlalchemy.orm import load_only

from vulsweb.executors.client import Job
from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.hosts.containers import NAME_LENGTH, Containers
from vulsweb.models import Host, JobStatus, Run, RunHost, RunJob, RunStatus
from vulsweb.runs import jobs as run_jobs
from vulsweb.runs import lifecycle
from vulsweb.vuls import hiding, results
from vulsweb.vuls.results import Outcome, ScanResult, Severity

# How many messages a run's reason quotes; its page shows all of them.
QUOTED_MESSAGES = 3
VERSION_LENGTH = 100
UNKNOWN_HOST = "the executor returned a result for an unknown host."
_WORST_FIRST = (Outcome.FAILED, Outcome.PARTIAL, Outcome.SUCCESS)

_UPDATE_LATEST_SCAN = """
    UPDATE hosts SET last_run_id = result.run_id, last_scan_at = :now, last_outcome = result.outcome,
        warned = result.warnings <> '[]'
    FROM run_hosts AS result
    WHERE result.host_id = hosts.id AND result.run_id = :run AND result.outcome IS NOT NULL
"""


@dataclass(frozen=True)
class HostResult:
    """The result of a scan on one host."""

    name: str
    outcome: Outcome
    message: str | None
    host_id: int | None = None
    severity_counts: Mapping[str, int] = field(default_factory=dict)
    packages: int = 0
    opened_counts: Mapping[str, int] = field(default_factory=dict)
    fixed: int = 0
    warnings: Sequence[str] = ()
    hidden: int = 0  # by config.toml
    vuls: str = ""  # the version that looked for CVEs, as reported

    @property
    def opened(self) -> int:
        """Return how many findings are new or open again."""
        return sum(self.opened_counts.values())


def host_results(run_id: int) -> Select[RunHost]:
    """Return the run's host results: pending ones first, then the worst."""
    positions = {outcome.value: position for position, outcome in enumerate(_WORST_FIRST)}
    worst_first = case(positions, value=RunHost.outcome)
    chosen = select(RunHost).where(RunHost.run_id == run_id)
    return chosen.order_by(worst_first.nulls_first(), func.lower(RunHost.name), RunHost.name)


def store_job(
    run: Run, job: RunJob, reply: Job, documents: Iterable[tuple[str, bytes]], now: datetime
) -> None:
    """Store a result for each host of a scan's job."""
    reported = store_documents(job, reply, documents, now)
    unreported = unreported_hosts(job.request["servers"], reply, reported)
    add_results(run, [*reported, *unreported], now)
    add_stamp(run, job, reply, reported)


def add_stamp(run: Run, job: RunJob, reply: Job, reported: Sequence[HostResult]) -> None:
    """Store which Vuls looked for CVEs, and with which databases."""
    if versions := {result.vuls for result in reported if result.vuls}:
        stamp = _stamp(job, reply, max(versions))
        before: Mapping[str, Any] = run.result_data or {}
        run.result_data = {**before, "detected_by": [*before.get("detected_by", []), stamp]}


def _stamp(job: RunJob, reply: Job, vuls: str) -> dict[str, Any]:
    """Return the Vuls and the databases that looked for CVEs."""
    databases = [
        {"name": name} | {key: facts.get(key) for key in ("rows", "fetched_at", "made_at", "digest")}
        for name, facts in sorted(reply.databases.items())
    ]
    return {"executor": job.executor, "profile": reply.profile, "vuls": vuls, "databases": databases}


def store_documents(
    job: RunJob, reply: Job, documents: Iterable[tuple[str, bytes]], now: datetime
) -> list[HostResult]:
    """Store each document with its findings; return a result for each."""
    hosts = lock_hosts(job)
    containers = Containers(hosts, now)
    stored = [
        store_document(job, reply, name, hosts.get(name) or containers.add_host(name), document, now)
        for name, document in documents
    ]
    containers.retire_absent(
        reported={result.name for result in stored},
        scanned={result.name for result in stored if result.outcome is not Outcome.FAILED},
    )
    return stored


def lock_hosts(job: RunJob) -> dict[str, Host]:
    """Lock the hosts of a job; return them by name."""
    locked = (
        select(Host)
        .where(Host.entry.in_(job.request["servers"]))
        .options(load_only(Host.name, Host.entry, Host.parent_id, Host.retired_at, Host.hostname))
        # Always in this order, so that two scans and a sync cannot deadlock.
        .order_by(Host.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return {host.name: host for host in db.session.scalars(locked)}


def store_document(
    job: RunJob, reply: Job, name: str, host: Host | None, document: bytes, now: datetime
) -> HostResult:
    """Store a host's document with its findings, and judge it."""
    again = "documents" in job.request
    if host is None:
        return HostResult(name, Outcome.FAILED, f"{name}: {UNKNOWN_HOST}")
    try:
        result = results.parse(document)
    except results.ResultsError as error:
        return HostResult(name, Outcome.FAILED, f"{name}: the result cannot be read. {error}", host.id)
    outcome, problem = results.judge(result, reply.databases)
    if again and not result.reported_by:
        outcome, problem = Outcome.FAILED, "Vuls did not check its packages. See the log."
    message = f"{name}: {problem}" if problem else None
    if outcome is Outcome.FAILED:
        return HostResult(name, outcome, message, host.id)
    host_id, vuls = host.id, result.reported_by[:VERSION_LENGTH]
    try:
        # What PostgreSQL cannot hold harms this host alone.
        with db.session.begin_nested():
            change = storage.store(
                run_id=job.run_id,
                host=host,
                document=document,
                result=result,
                complete=outcome is Outcome.SUCCESS,
                again=again,
                now=now,
                detected_by=_stamp(job, reply, vuls) if vuls else None,
            )
    except DataError as error:
        reason = str(error.orig).splitlines()[0]
        return HostResult(name, Outcome.FAILED, f"{name}: the result cannot be stored: {reason}.", host_id)
    return HostResult(
        name,
        outcome,
        message,
        host.id,
        result.severity_counts,
        result.package_count,
        change.opened_counts,
        change.fixed,
        _warnings(job, result),
        len(result.hidden_ids),
        vuls,
    )


def _warnings(job: RunJob, result: ScanResult) -> tuple[str, ...]:
    return (
        *results.why_not_deep(job.request.get("scan_type", ""), result),
        *([hiding.sentence(result.hidden)] if result.hidden else []),
        *result.warnings,
    )


def unreported_hosts(
    servers: Collection[str], reply: Job, reported: Sequence[HostResult] = ()
) -> list[HostResult]:
    """Return a result for each host without a document."""
    names = {result.name for result in reported}
    problem = reply.error or "the scan left no result."
    hosts = db.session.execute(
        select(Host.name, Host.id, Host.vuls_config)
        .where(Host.entry.in_(servers), Host.parent_id.is_(None), Host.retired_at.is_(None))
        .order_by(Host.id)
    )
    unreported = []
    for name, host_id, section in hosts:
        if name in names:
            continue
        if section.get("containersOnly") is True and any(each.endswith(f"@{name}") for each in names):
            message = "Only its containers were scanned, as its section in config.toml says."
            unreported.append(HostResult(name, Outcome.SUCCESS, message, host_id))
        else:
            unreported.append(HostResult(name, Outcome.FAILED, f"{name}: {problem}", host_id))
    entries = set(db.session.scalars(select(Host.entry).where(Host.entry.in_(servers))))
    unknown = [name for name in servers if name not in entries and name not in names]
    return unreported + [HostResult(name, Outcome.FAILED, f"{name}: {problem}") for name in unknown]


def exclude_servers(run: Run, job: RunJob, unknown: Collection[str], now: datetime) -> None:
    """Remove servers unknown to the executor from a job; fail their hosts."""
    error = f"The executor {job.executor} does not have it in its config.toml yet."
    reply = Job.ended_with(job.id, JobStatus.FAILED.value, error, [])
    job.request = job.request | {"servers": [name for name in job.request["servers"] if name not in unknown]}
    add_results(run, unreported_hosts(unknown, reply), now)


def store_excluded(run: Run, now: datetime) -> None:
    """Store a failed result for each tagged host with an invalid entry."""
    problems: Mapping[str, str] = run.request.get("left_out", {})
    if not problems:
        return
    rows = db.session.execute(select(Host.name, Host.id).where(Host.name.in_(problems)))
    ids = {name: host_id for name, host_id in rows}  # noqa: C416 - dict() loses the types
    excluded = [
        HostResult(name, Outcome.FAILED, problem, ids.get(name)) for name, problem in problems.items()
    ]
    add_results(run, excluded, now)


def add_results(run: Run, added: Sequence[HostResult], now: datetime) -> None:
    """Store results of hosts, and add them to the run's figures."""
    store_results(run, added, now)
    before: Mapping[str, Any] = run.result_data or {}
    run.result_data = {
        "severity_counts": _added(before, "severity_counts", [each.severity_counts for each in added]),
        "opened_counts": _added(before, "opened_counts", [each.opened_counts for each in added]),
        "opened": before.get("opened", 0) + sum(result.opened for result in added),
        "fixed": before.get("fixed", 0) + sum(result.fixed for result in added),
        "hidden": before.get("hidden", 0) + sum(result.hidden for result in added),
        "detected_by": before.get("detected_by", []),
        "host_counts": {
            outcome.value: before.get("host_counts", {}).get(outcome.value, 0)
            + sum(result.outcome is outcome for result in added)
            for outcome in Outcome
        },
    }


def _added(before: Mapping[str, Any], name: str, counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums for each severity, with those of earlier jobs."""
    earlier: Mapping[str, int] = before.get(name, {})
    return {
        severity.value: earlier.get(severity.value, 0) + sum(each.get(severity.value, 0) for each in counts)
        for severity in Severity
    }


def store_results(run: Run, added: Sequence[HostResult], now: datetime) -> None:
    """Store host results; those of a scan are their hosts' latest."""
    rows = [
        {
            "run_id": run.id,
            "name": result.name[:NAME_LENGTH],
            "host_id": result.host_id,
            "outcome": result.outcome,
            "message": result.message,
            "severity_counts": dict(result.severity_counts),
            "packages": result.packages,
            "opened": result.opened,
            "fixed": result.fixed,
            "warnings": list(result.warnings),
        }
        for result in added
    ]
    if not rows:
        return
    statement = insert(RunHost)
    changed = {column: statement.excluded[column] for column in rows[0] if column not in ("run_id", "name")}
    db.session.execute(statement.on_conflict_do_update(index_elements=["run_id", "name"], set_=changed), rows)
    if not run.is_detection:
        db.session.execute(text(_UPDATE_LATEST_SCAN), {"run": run.id, "now": now})


def end(run: Run, now: datetime) -> None:
    """End the run of a scan, judged by its host results."""
    rows = db.session.execute(
        host_results(run.id)
        .where(RunHost.outcome.is_not(None))
        .with_only_columns(RunHost.outcome, RunHost.message)
    ).all()
    outcomes = [outcome for outcome, _ in rows]
    reasons = run_jobs.failure_reasons(run)
    messages = [message for outcome, message in rows if outcome is not Outcome.SUCCESS and message]
    # A reason that all hosts of a job share is quoted once.
    messages = [*reasons, *(message for message in messages if not message.endswith(tuple(reasons)))]
    reason = " ".join(messages[:QUOTED_MESSAGES])
    if len(messages) > QUOTED_MESSAGES:
        failed, partial = outcomes.count(Outcome.FAILED), outcomes.count(Outcome.PARTIAL)
        also = f", {partial:,} partial" if partial else ""
        reason = f"{failed:,} of {len(outcomes):,} hosts failed{also}. {reason}"
    if set(outcomes) == {Outcome.SUCCESS}:
        status = RunStatus.SUCCESS
    else:
        status = RunStatus.FAILED if set(outcomes) <= {Outcome.FAILED} else RunStatus.PARTIAL
    lifecycle.end(run, status, reason or None, now)
