"""What a run came to: judged by what its jobs left behind, and stored as each of them ends."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from vulsweb import run_jobs, runs, scan_lines
from vulsweb.executor_client import Job
from vulsweb.models import JobStatus, Run, RunJob, RunStatus
from vulsweb.scan_lines import Line
from vulsweb.vuls.results import Outcome, Severity

# How many hosts a run's reason quotes; the others' lines stand on its page.
MESSAGES = 3
LATE = "It took longer than a run may take, and was stopped."


def conclude(run: Run, job: RunJob, told: Job, documents: Iterable[tuple[str, bytes]], now: datetime) -> None:
    """Store what a job that has ended left behind, and end the run if it was the last."""
    _take(run, job, told, documents, now)
    if all(each.status.has_ended for each in run.jobs):
        _end(run, now)


def give_up(run: Run, job: RunJob, status: JobStatus, reason: str, now: datetime) -> None:
    """End a job of which nothing will come, and the run if it was the last."""
    conclude(run, job, Job.ended_with(job.id, status.value, reason, job.steps), (), now)


def time_out(run: Run, now: datetime) -> None:
    """End a run that is past its deadline; what its jobs have left by then stays."""
    missed = [job for job in run.jobs if not job.status.has_ended]
    away = [job.executor for job in missed if job.status is JobStatus.WAITING]
    for job in missed:
        _take(run, job, Job.ended_with(job.id, JobStatus.FAILED.value, LATE, job.steps), (), now)
    still = f" It still waited for the executor {', '.join(away)}." if away else ""
    runs.end(run, RunStatus.TIMEOUT, f"{LATE}{still}", now)


def leave_out(run: Run, job: RunJob, unknown: Collection[str], now: datetime) -> None:
    """Have the job go on without servers that its executor does not know; their hosts fail alone."""
    why = f"The executor {job.executor} does not have it in its config.toml yet."
    told = Job.ended_with(job.id, JobStatus.FAILED.value, why, [])
    job.request = job.request | {"servers": [each for each in job.request["servers"] if each not in unknown]}
    _keep(run, scan_lines.of_the_silent(unknown, told), now)


def _take(run: Run, job: RunJob, told: Job, documents: Iterable[tuple[str, bytes]], now: datetime) -> None:
    run_jobs.note(job, told, now)
    # Of one that was cancelled nothing is kept.
    if job.status is not JobStatus.CANCELLED and "servers" in job.request:
        _take_scan(run, job, told, documents, now)
    elif job.status is not JobStatus.CANCELLED:
        _take_update(run, job, told)


def _take_scan(
    run: Run, job: RunJob, told: Job, documents: Iterable[tuple[str, bytes]], now: datetime
) -> None:
    lines = scan_lines.of_documents(job, told, documents, now)
    lines += scan_lines.of_the_silent(job.request["servers"], told, lines)
    _keep(run, lines, now)


def _keep(run: Run, lines: Sequence[Line], now: datetime) -> None:
    scan_lines.store(run.id, lines, now)
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


def _take_update(run: Run, job: RunJob, told: Job) -> None:
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


def _end(run: Run, now: datetime) -> None:
    if any(job.status is JobStatus.CANCELLED for job in run.jobs):
        runs.end(run, RunStatus.CANCELLED, run.cancel_reason or "Cancelled.", now)
    elif "servers" in run.request:
        if left_out := scan_lines.of_the_left_out(run):
            _keep(run, left_out, now)
        _end_scan(run, now)
    else:
        _end_update(run, now)


def _end_scan(run: Run, now: datetime) -> None:
    outcomes = scan_lines.outcomes(run.id)
    given_up = _given_up(run)
    said = [message for outcome, message in outcomes if outcome is not Outcome.SUCCESS and message]
    # What all hosts of a job say is said once.
    said = [*given_up, *(message for message in said if not message.endswith(tuple(given_up)))]
    reason = " ".join(said[:MESSAGES])
    if len(said) > MESSAGES:
        failed = sum(outcome is Outcome.FAILED for outcome, _ in outcomes)
        partial = sum(outcome is Outcome.PARTIAL for outcome, _ in outcomes)
        reason = f"Of {len(outcomes):,} hosts {failed:,} failed and {partial:,} are partial. {reason}"
    runs.end(run, _worst({outcome for outcome, _ in outcomes}), reason or None, now)


def _given_up(run: Run) -> list[str]:
    """Return why jobs never began or were lost, each reason once."""
    jobs = [job for job in run.jobs if not job.steps or job.status is JobStatus.LOST]
    return list(dict.fromkeys(job.reason for job in jobs if job.reason))


def _worst(outcomes: set[Outcome]) -> RunStatus:
    if outcomes == {Outcome.SUCCESS}:
        return RunStatus.SUCCESS
    return RunStatus.FAILED if outcomes <= {Outcome.FAILED} else RunStatus.PARTIAL


def _end_update(run: Run, now: datetime) -> None:
    steps: Sequence[Mapping[str, Any]] = (run.result_data or {}).get("databases", [])
    broken = [step for step in steps if step["status"] != "completed"]
    given_up = _given_up(run)
    if steps and not broken and not given_up:
        runs.end(run, RunStatus.SUCCESS, None, now)
        return
    why = " ".join(filter(None, (*given_up, _why_broken(broken))))
    if updated := len(steps) - len(broken):
        runs.end(run, RunStatus.PARTIAL, f"{updated} of {len(steps)} databases updated. {why}", now)
    else:
        runs.end(run, RunStatus.FAILED, why or "No database was updated.", now)


def _why_broken(steps: Sequence[Mapping[str, Any]]) -> str:
    if len(steps) > 1:
        names = dict.fromkeys(step["name"] for step in steps)
        return f"Failed: {', '.join(names)}; each step says why."
    return " ".join(f"{step['name']}: {step['message'] or step['status']}" for step in steps)
