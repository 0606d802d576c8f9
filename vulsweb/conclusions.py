"""What a run came to: judged by what its job left behind, and stored in one go."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from vulsweb import runs, scan_lines
from vulsweb.executor_client import Job
from vulsweb.models import Run, RunStatus
from vulsweb.scan_lines import Line
from vulsweb.vuls.results import Outcome, Severity

# How many hosts a run's reason quotes; the others' lines stand on its page.
MESSAGES = 3


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
    lines = scan_lines.of_documents(run, job, documents, now)
    lines += scan_lines.of_the_silent(run, job, lines)
    scan_lines.store(run, lines, now)
    run.result_data = {
        "severity_counts": {
            severity.value: sum(line.severity_counts.get(severity.value, 0) for line in lines)
            for severity in Severity
        },
        "opened": sum(line.opened for line in lines),
        "fixed": sum(line.fixed for line in lines),
        "host_counts": {each.value: sum(line.outcome is each for line in lines) for each in Outcome},
    }
    runs.end(run, _worst({line.outcome for line in lines}), _why_not_all(lines), now)


def _why_not_all(lines: Sequence[Line]) -> str | None:
    said = [line.message for line in lines if line.outcome is not Outcome.SUCCESS and line.message]
    if len(said) <= MESSAGES:
        return " ".join(said) or None
    failed = sum(line.outcome is Outcome.FAILED for line in lines)
    return (
        f"Of {len(lines):,} hosts {failed:,} failed and {len(said) - failed:,} are partial."
        f" {' '.join(said[:MESSAGES])}"
    )


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
