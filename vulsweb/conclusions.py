"""What a run came to: judged by what its job left behind, and stored in one go."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select

from vulsweb import findings, runs
from vulsweb.executor_client import Job
from vulsweb.extensions import db
from vulsweb.models import Host, Run, RunStatus
from vulsweb.vuls import results
from vulsweb.vuls.results import Outcome, Severity


def conclude(run: Run, job: Job, documents: Iterable[tuple[str, bytes]], now: datetime) -> None:
    """End a run whose job has ended: store what it left behind and say what it came to."""
    runs.note(run, job, now)
    if job.status == "cancelled":
        runs.end(run, RunStatus.CANCELLED, run.cancel_reason or "Cancelled.", now)
    elif "servers" in run.request:
        _conclude_scan(run, job, documents, now)
    else:
        _conclude_update(run, job, now)


def _conclude_scan(run: Run, job: Job, documents: Iterable[tuple[str, bytes]], now: datetime) -> None:
    hosts = [_store_host(run, job, server, document, now) for server, document in documents]
    left = {str(host["name"]) for host in hosts}
    hosts += [
        _host_line(server, Outcome.FAILED, f"{server}: {job.error or 'the scan left no result.'}")
        for server in run.request["servers"]
        if server not in left
    ]
    run.result_data = {
        "severity_counts": {
            severity.value: sum(host["severity_counts"].get(severity.value, 0) for host in hosts)
            for severity in Severity
        },
        "opened": sum(host["opened"] for host in hosts),
        "fixed": sum(host["fixed"] for host in hosts),
        "hosts": hosts,
    }
    reason = " ".join(host["message"] for host in hosts if host["message"])
    runs.end(run, _worst({Outcome(host["outcome"]) for host in hosts}), reason or None, now)


def _store_host(run: Run, job: Job, server: str, document: bytes, now: datetime) -> dict[str, Any]:
    host = db.session.scalars(select(Host).where(Host.name == server)).first()
    if host is None:
        return _host_line(
            server, Outcome.FAILED, f"{server}: a result came back for a host that we do not know."
        )
    try:
        result = results.parse(document)
    except results.ResultsError as error:
        return _host_line(server, Outcome.FAILED, f"{server}: the result cannot be read. {error}")
    outcome, message = results.judge(result, job.databases)
    line = _host_line(server, outcome, f"{server}: {message}" if message else None)
    if outcome is Outcome.FAILED:
        return line
    change = findings.store(
        run_id=run.id,
        host=host,
        document=document,
        result=result,
        complete=outcome is Outcome.SUCCESS,
        now=now,
    )
    figures = {"severity_counts": result.severity_counts, "packages": result.package_count}
    return line | figures | {"opened": change.opened, "fixed": change.fixed}


def _host_line(server: str, outcome: Outcome, message: str | None) -> dict[str, Any]:
    return {
        "name": server,
        "outcome": outcome.value,
        "message": message,
        "severity_counts": {},
        "packages": 0,
        "opened": 0,
        "fixed": 0,
    }


def _worst(outcomes: set[Outcome]) -> RunStatus:
    if outcomes == {Outcome.SUCCESS}:
        return RunStatus.SUCCESS
    return RunStatus.FAILED if outcomes <= {Outcome.FAILED} else RunStatus.PARTIAL


def _conclude_update(run: Run, job: Job, now: datetime) -> None:
    updated = [step["name"] for step in job.steps if step["status"] == "completed"]
    broken = [step for step in job.steps if step["status"] != "completed"]
    run.result_data = {
        "databases": [
            {
                "name": step["name"],
                "status": step["status"],
                "message": step["message"],
                "rows": job.databases.get(step["name"], {}).get("rows"),
                "size_bytes": job.databases.get(step["name"], {}).get("size_bytes"),
            }
            for step in job.steps
        ]
    }
    if not broken and updated:
        runs.end(run, RunStatus.SUCCESS, None, now)
        return
    why = _why_broken(broken)
    if updated:
        runs.end(run, RunStatus.PARTIAL, f"{len(updated)} of {len(job.steps)} databases updated. {why}", now)
    else:
        runs.end(run, RunStatus.FAILED, why or job.error or "No database was updated.", now)


def _why_broken(steps: Sequence[Mapping[str, Any]]) -> str:
    if len(steps) > 1:
        return f"Failed: {', '.join(step['name'] for step in steps)}; each step says why."
    return " ".join(f"{step['name']}: {step['message'] or step['status']}" for step in steps)
