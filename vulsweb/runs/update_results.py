"""Results of database updates: stored for each job, judged for the run."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from vulsweb.executors.client import Job
from vulsweb.models import Run, RunJob, RunStatus
from vulsweb.runs import jobs as run_jobs
from vulsweb.runs import lifecycle


def store_job(run: Run, job: RunJob, reply: Job) -> None:
    """Add the steps of an update's job to the run's results."""
    entries = [
        {
            "name": step["name"],
            "status": step["status"],
            "message": step["message"],
            "executor": job.executor,
            # An executor of an earlier version does not say whether anything changed.
            **{
                key: reply.databases.get(step["name"], {}).get(key)
                for key in ("rows", "size_bytes", "made_at", "digest", "changed")
            },
        }
        for step in reply.steps
    ]
    run.result_data = {"databases": [*(run.result_data or {}).get("databases", []), *entries]}


def end(run: Run, now: datetime) -> None:
    """End the run of a database update, judged by its steps."""
    steps: Sequence[Mapping[str, Any]] = (run.result_data or {}).get("databases", [])
    # The executor says of those that it skipped why their feed has ended.
    ended = [step for step in steps if step["status"] == "skipped" and step["message"]]
    failed = [step for step in steps if step["status"] != "completed" and step not in ended]
    reasons = run_jobs.failure_reasons(run)
    if ended == steps:
        failed, ended = ended, []
    if steps and not failed and not reasons:
        skipped = f"Skipped: {', '.join(_names(ended))}. Upstream has ended the feed." if ended else None
        lifecycle.end(run, RunStatus.SUCCESS, skipped, now)
        return
    if len(failed) > 1:
        reasons.append(f"Failed: {', '.join(_names(failed))}. See the steps for details.")
    else:
        reasons += [f"{step['name']}: {step['message'] or step['status']}" for step in failed]
    reason = " ".join(reasons)
    if updated := len(steps) - len(failed) - len(ended):
        lifecycle.end(run, RunStatus.PARTIAL, f"{updated} of {len(steps)} databases updated. {reason}", now)
    else:
        lifecycle.end(run, RunStatus.FAILED, reason or "No database was updated.", now)


def _names(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    # Each executor has a step for it.
    return list(dict.fromkeys(step["name"] for step in steps))
