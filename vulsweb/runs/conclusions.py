"""The end of jobs and runs, with their results stored.

The last job of a run ends it; `scan_results` and `update_results` judge how.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from vulsweb.executors.client import Job
from vulsweb.models import JobStatus, Run, RunJob, RunStatus
from vulsweb.runs import detections, lifecycle, scan_results, update_results
from vulsweb.runs import jobs as run_jobs

NO_JOBS = "It has no jobs, so nothing can come of it. Run it again."


def conclude(
    run: Run, job: RunJob, reply: Job, documents: Iterable[tuple[str, bytes]], now: datetime
) -> None:
    """Store the results of an ended job; the last ends the run."""
    _store_job(run, job, reply, documents, now)
    if all(each.status.has_ended for each in run.jobs):
        _end(run, now)


def _end(run: Run, now: datetime) -> None:
    if any(each.status is JobStatus.CANCELLED for each in run.jobs):
        lifecycle.end(run, RunStatus.CANCELLED, run.cancel_reason or "Cancelled.", now)
    elif "servers" in run.request:
        scan_results.store_excluded(run, now)
        scan_results.end(run, now)
    else:
        update_results.end(run, now)


def give_up(run: Run, job: RunJob, status: JobStatus, reason: str, now: datetime) -> None:
    """End a job without results; the last one ends the run."""
    conclude(run, job, Job.ended_with(job.id, status.value, reason, job.steps), (), now)


def reopen(run: Run, now: datetime) -> None:
    """Have a run's forgotten jobs followed again; without any, end the run.

    Forgotten are jobs that were recorded as ended and left nothing, as version 0.2.0 did after a worker died.
    """
    forgotten = [job for job in run.jobs if not run_jobs.has_stored_results(run, job)]
    for job in forgotten:
        job.status, job.heartbeat_at = JobStatus.RUNNING, now
    if forgotten:
        run.status = RunStatus.RUNNING
    elif run.jobs:
        _end(run, now)
    else:
        lifecycle.end(run, RunStatus.FAILED, NO_JOBS, now)


def time_out(run: Run, timeout: timedelta, now: datetime) -> None:
    """End a run that is past its deadline; keep its stored results."""
    hours = timeout / timedelta(hours=1)
    reason = f"Timed out after {hours:g} {'hour' if hours == 1 else 'hours'}."
    unfinished = [job for job in run.jobs if not job.status.has_ended]
    waiting_for = [job.executor for job in unfinished if job.status is JobStatus.WAITING]
    for job in unfinished:
        _store_job(run, job, Job.ended_with(job.id, JobStatus.FAILED.value, reason, job.steps), (), now)
    if waiting_for:
        reason += f" It was still waiting for the executor {', '.join(waiting_for)}."
    lifecycle.end(run, RunStatus.TIMEOUT, reason, now)


def _store_job(
    run: Run, job: RunJob, reply: Job, documents: Iterable[tuple[str, bytes]], now: datetime
) -> None:
    job.status = JobStatus(reply.status)
    run_jobs.record_details(job, reply, now)
    if job.status is JobStatus.CANCELLED:
        return  # results of a cancelled job are dropped
    if "documents" in job.request:
        detections.store_job(run, job, reply, documents, now)
    elif "servers" in job.request:
        scan_results.store_job(run, job, reply, documents, now)
    else:
        update_results.store_job(run, job, reply)
