"""Results of database updates: stored for each job, judged for the run."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from vulsweb.executors.client import Job
from vulsweb.models import Run, RunJob, RunStatus
from vulsweb.runs import jobs as run_jobs
from vulsweb.runs import lifecycle


def store_job(run: Run, job: RunJob, told: Job) -> None:
    """Add the steps of an update's job to what the run shows."""
    entries = [
        {
            "name": step["name"],
            "status": step["status"],
            "message": step["message"],
            "rows": told.databases.get(step["name"], {}).get("rows"),
            "size_bytes": told.databases.get(step["name"], {}).get("size_bytes"),
            "executor": job.executor,
        }
        for step in told.steps
    ]
    run.result_data = {"databases": [*(run.result_data or {}).get("databases", []), *entries]}


def end(run: Run, now: datetime) -> None:
    """End the run of a database update, judged by its steps."""
    steps: Sequence[Mapping[str, Any]] = (run.result_data or {}).get("databases", [])
    broken = [step for step in steps if step["status"] != "completed"]
    given_up = run_jobs.failure_reasons(run)
    if steps and not broken and not given_up:
        lifecycle.end(run, RunStatus.SUCCESS, None, now)
        return
    why = " ".join(filter(None, (*given_up, _why_failed(broken))))
    if updated := len(steps) - len(broken):
        lifecycle.end(run, RunStatus.PARTIAL, f"{updated} of {len(steps)} databases updated. {why}", now)
    else:
        lifecycle.end(run, RunStatus.FAILED, why or "No database was updated.", now)


def _why_failed(steps: Sequence[Mapping[str, Any]]) -> str:
    if len(steps) > 1:
        names = dict.fromkeys(step["name"] for step in steps)
        return f"Failed: {', '.join(names)}; each step says why."
    return " ".join(f"{step['name']}: {step['message'] or step['status']}" for step in steps)
