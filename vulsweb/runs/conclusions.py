"""What a run came to: judged by what its jobs left behind, and stored as each of them ends."""

from collections.abc import Iterable
from datetime import datetime

from vulsweb.executors.client import Job
from vulsweb.models import JobStatus, Run, RunJob, RunStatus
from vulsweb.runs import jobs as run_jobs
from vulsweb.runs import lifecycle, scans, updates

TIMED_OUT = "It took longer than a run may take, and was stopped."


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
        _take(run, job, Job.ended_with(job.id, JobStatus.FAILED.value, TIMED_OUT, job.steps), (), now)
    still = f" It still waited for the executor {', '.join(away)}." if away else ""
    lifecycle.end(run, RunStatus.TIMEOUT, f"{TIMED_OUT}{still}", now)


def _take(run: Run, job: RunJob, told: Job, documents: Iterable[tuple[str, bytes]], now: datetime) -> None:
    run_jobs.record_reply(job, told, now)
    # Of one that was cancelled nothing is kept.
    if job.status is not JobStatus.CANCELLED and "servers" in job.request:
        scans.store_job(run, job, told, documents, now)
    elif job.status is not JobStatus.CANCELLED:
        updates.store_job(run, job, told)


def _end(run: Run, now: datetime) -> None:
    if any(job.status is JobStatus.CANCELLED for job in run.jobs):
        lifecycle.end(run, RunStatus.CANCELLED, run.cancel_reason or "Cancelled.", now)
    elif "servers" in run.request:
        scans.store_excluded(run, now)
        scans.end(run, now)
    else:
        updates.end(run, now)
