"""Repeated detections: stored packages, checked with the latest databases.

No host is contacted. A database update starts them, and their own schedules do.
"""

import gzip
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, literal, or_, select, text
from sqlalchemy.dialects.postgresql import insert

from vulsweb.executors.client import Job
from vulsweb.executors.settings import Executor
from vulsweb.extensions import db
from vulsweb.models import Host, Result, Run, RunHost, RunJob, RunStatus, ScheduledTask, TaskType
from vulsweb.models.run import ACTIVE, DONE
from vulsweb.runs import jobs, scan_results
from vulsweb.runs.scan_results import HostResult
from vulsweb.vuls import results
from vulsweb.vuls.results import Outcome

NOTHING = "No host has a result yet, so there is nothing to check. Scan a host first."
SCANNED = "Scanned again meanwhile: that scan has its findings."
UNKNOWN = "its executor does not have it in its config.toml yet."
# The executor takes as much in one request as one result may have, 64 MB unless its setting says more.
DOCUMENTS_PER_JOB, BYTES_PER_JOB = 100, 32 * 10**6

# What an update's result looks like. Executors of earlier versions do not say whether something changed.
_SOMETHING_NEW = '$.databases[*] ? (@.status == "completed" && !(@.changed == false))'

_STOPPED = (RunStatus.CANCELLED, RunStatus.TIMEOUT)

# Of a host whose latest scan failed, nobody knows more now.
_UPDATE_OUTCOME = """
    UPDATE hosts SET last_run_id = result.run_id, last_outcome = result.outcome,
        warned = result.warnings <> '[]'
    FROM run_hosts AS result
    WHERE result.host_id = hosts.id AND result.run_id = :run AND hosts.id = ANY(:hosts)
        AND hosts.last_outcome <> 'failed'
"""


def due() -> list[int]:
    """Return the tasks to start after a database update.

    They wait until no other update is going, so that one detection sees all of them. An update that brought
    nothing new starts none. One that was stopped may have brought something, and nobody knows what.
    """
    updates = (
        select(func.max(Run.completed_at))
        .join(Run.task)
        .where(
            ScheduledTask.task_type == TaskType.DB_UPDATE,
            or_(
                and_(Run.status.in_(DONE), func.jsonb_path_exists(Run.result_data, _SOMETHING_NEW)),
                and_(Run.status.in_(_STOPPED), Run.started_at.is_not(None)),
            ),
        )
        .scalar_subquery()
    )
    begun = select(func.max(Run.created_at)).where(Run.task_id == ScheduledTask.id).scalar_subquery()
    going = (
        select(Run.id)
        .join(Run.task)
        .where(ScheduledTask.task_type == TaskType.DB_UPDATE, Run.status.in_(ACTIVE))
    )
    tasks = select(ScheduledTask.id).where(
        ScheduledTask.task_type == TaskType.DETECTION,
        ScheduledTask.active,
        ScheduledTask.paused_at.is_(None),
        updates > func.coalesce(begun, ScheduledTask.created_at),
    )
    # A scan that began after it has seen what it brought.
    earlier = select(Result.id).join(Run, Run.id == Result.run_id).where(Run.started_at < updates)
    return list(db.session.scalars(tasks.where(~going.exists(), earlier.exists())))


def prepare(run: Run, executors: Sequence[Executor]) -> str | None:
    """Store the run's hosts and jobs, or return why not.

    A second call, after a worker died, changes nothing.
    """
    if run.jobs:
        return None
    newest = select(Result.host_id, func.max(Result.id).label("id")).group_by(Result.host_id).subquery()
    found = db.session.execute(
        # gzip ends with the size of what was compressed (RFC 1952): a host may repeat itself a thousandfold.
        select(
            Host.entry,
            Host.name,
            Result.id,
            func.substr(Result.document, func.octet_length(Result.document) - 3),
        )
        .join(newest, newest.c.host_id == Host.id)
        .join(Result, Result.id == newest.c.id)
        .where(Host.retired_at.is_(None), Host.problem.is_(None))
        .order_by(func.lower(Host.name), Host.name)
    ).all()
    if not found:
        return NOTHING
    stored: dict[str, list[Sequence[Any]]] = {}
    for entry, *document in found:
        stored.setdefault(entry, []).append(document)
    run.request = run.request | {"servers": list(stored)}
    _mark_pending(run, [name for _, name, _, _ in found])
    jobs.set_jobs(
        run,
        [
            (executor, request)
            for executor, entries in jobs.by_executor(list(stored), executors).items()
            for request in _requests(entries, stored)
        ],
    )
    return None


def _mark_pending(run: Run, names: Collection[str]) -> None:
    counts, warnings = literal({}, RunHost.severity_counts.type), literal([], RunHost.warnings.type)
    pending = select(literal(run.id), Host.name, Host.id, counts, *[literal(0)] * 3, warnings)
    columns = ["run_id", "name", "host_id", "severity_counts", "packages", "opened", "fixed", "warnings"]
    chosen = pending.where(Host.name.in_(names))
    db.session.execute(insert(RunHost).from_select(columns, chosen).on_conflict_do_nothing())


def _requests(
    entries: Sequence[str], stored: Mapping[str, Sequence[Sequence[Any]]]
) -> Iterator[dict[str, Any]]:
    """Yield requests, each small enough for one job."""
    batch: list[list[Any]] = []
    total = 0
    for entry in entries:
        for name, result_id, end in stored[entry]:
            size = int.from_bytes(end, "little")
            if batch and (len(batch) == DOCUMENTS_PER_JOB or total + size > BYTES_PER_JOB):
                yield _request(batch)
                batch, total = [], 0
            batch.append([entry, name, result_id])
            total += size
    if batch:
        yield _request(batch)


def _request(documents: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return a job's request: each document's server, host and row."""
    return {"servers": list(dict.fromkeys(entry for entry, *_ in documents)), "documents": list(documents)}


def body(job: RunJob) -> dict[str, Any]:
    """Return what the executor is asked, with the documents themselves."""
    ids = [result_id for _, _, result_id in job.request["documents"]]
    rows = db.session.execute(select(Result.id, Result.document).where(Result.id.in_(ids)))
    documents = {result_id: results.before_report(gzip.decompress(document)) for result_id, document in rows}
    return {
        "documents": [
            {"server": entry, "name": name, "document": documents[result_id]}
            for entry, name, result_id in job.request["documents"]
            if result_id in documents
        ]
    }


def exclude_servers(run: Run, job: RunJob, unknown: Collection[str], now: datetime) -> None:
    """Remove servers unknown to the executor from a job; fail their hosts."""
    documents = job.request["documents"]
    job.request = _request([document for document in documents if document[0] not in unknown])
    names = [name for entry, name, _ in documents if entry in unknown]
    scan_results.add_results(run, _failed(names, UNKNOWN), now)


def store_job(
    run: Run, job: RunJob, reply: Job, documents: Iterable[tuple[str, bytes]], now: datetime
) -> None:
    """Store what the latest databases say about each host."""
    hosts = scan_results.lock_hosts(job)
    sent = {name: result_id for _, name, result_id in job.request["documents"]}
    ids = [host.id for host in hosts.values()]
    latest = select(Result.host_id, func.max(Result.id)).where(Result.host_id.in_(ids))
    rows = db.session.execute(latest.group_by(Result.host_id))
    newest = {host_id: result_id for host_id, result_id in rows}  # noqa: C416 - dict() loses the types
    reported = []
    for name, document in documents:
        host = hosts.get(name)
        if host and newest.get(host.id) != sent.get(name):
            # Its packages are those of a later scan now.
            reported.append(HostResult(name, Outcome.SUCCESS, SCANNED, host.id))
        else:
            reported.append(scan_results.store_document(job, reply, name, host, document, now))
    there = {result.name for result in reported}
    missing = _failed([name for name in sent if name not in there], reply.error or "Vuls left no result.")
    scan_results.add_results(run, [*reported, *missing], now)
    checked = [each for each in reported if each.outcome is not Outcome.FAILED and each.message != SCANNED]
    db.session.execute(text(_UPDATE_OUTCOME), {"run": run.id, "hosts": [each.host_id for each in checked]})
    scan_results.add_stamp(run, job, reply, reported)


def _failed(names: Sequence[str], problem: str) -> list[HostResult]:
    rows = db.session.execute(select(Host.name, Host.id).where(Host.name.in_(names)))
    ids = {name: host_id for name, host_id in rows}  # noqa: C416 - dict() loses the types
    return [HostResult(name, Outcome.FAILED, f"{name}: {problem}", ids.get(name)) for name in names]
