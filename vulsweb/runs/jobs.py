"""The jobs of runs: which executor does what, and its latest replies."""

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, select, update

from vulsweb.executors import client as executor_client
from vulsweb.executors import settings as executor_settings
from vulsweb.executors.client import Job
from vulsweb.executors.settings import Executor
from vulsweb.extensions import db
from vulsweb.models import Absence, Host, JobStatus, Run, RunHost, RunJob, RunStatus, ScheduledTask
from vulsweb.models.run import ACTIVE
from vulsweb.models.run_job import WITH_EXECUTOR

# A job scans at most this many hosts, so that a large tag shows results before all its hosts are done.
HOSTS_PER_JOB = 1_000
# The executor takes bodies of 256 KiB, which hold more than the names.
NAME_BYTES_PER_JOB = 200 * 1024
# An executor is polled for at most this many jobs at once; the others are in its queue.
JOBS_PER_POLL = 500
NO_REPLY_AFTER = timedelta(seconds=60)
GIVE_UP_AFTER = timedelta(minutes=5)


def create_jobs(run: Run, executors: Sequence[Executor]) -> None:
    """Create the run's jobs.

    A scan has jobs for the executors of its hosts' tags; an update has one for every executor.
    """
    if "servers" not in run.request:
        requests = [(executor, dict(run.request)) for executor in executors]
    else:
        requests = [
            (executor, {"servers": batch, "scan_type": run.request["scan_type"]})
            for executor, names in by_executor(run.request["servers"], executors).items()
            for batch in _batches(names)
        ]
    set_jobs(run, requests)


def by_executor(servers: Sequence[str], executors: Sequence[Executor]) -> dict[Executor, list[str]]:
    """Return the servers of each executor, by the tags of their hosts."""
    tags: dict[str, set[str]] = {name: set() for name in servers}
    # The hosts of a network share an entry and are scanned together.
    hosts = select(Host.entry, Host.tags).where(Host.entry.in_(tags), Host.parent_id.is_(None))
    for entry, host_tags in db.session.execute(hosts.where(Host.retired_at.is_(None))):
        tags[entry].update(host_tags)
    names: dict[Executor, list[str]] = {executor: [] for executor in executors}
    for name, entry_tags in tags.items():
        names[executor_settings.for_tags(executors, entry_tags)].append(name)
    return names


def set_jobs(run: Run, requests: Sequence[tuple[Executor, dict[str, Any]]]) -> None:
    """Give the run its jobs, one for each request."""
    run.jobs = [
        RunJob(
            id=executor_client.new_job_id(),
            number=number,
            executor=executor.name,
            status=JobStatus.WAITING,
            request=request,
            steps=[],
            log_offset=0,
        )
        for number, (executor, request) in enumerate(requests, 1)
    ]


def _batches(servers: Sequence[str]) -> Iterator[list[str]]:
    """Yield the servers in batches, each small enough for one job."""
    batch: list[str] = []
    size = 0
    for name in servers:
        length = len(json.dumps(name)) + 2
        if batch and (len(batch) == HOSTS_PER_JOB or size + length > NAME_BYTES_PER_JOB):
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += length
    if batch:
        yield batch


def record_reply(job: RunJob, reply: Job, now: datetime) -> None:
    """Store what the executor replied about the job, but never its end.

    `conclusions` alone ends a job, with its results. An ended job is no longer polled: if one were recorded
    without its results, they would be lost.
    """
    job.status = JobStatus.RUNNING if reply.ended else JobStatus(reply.status)
    record_details(job, reply, now)


def record_details(job: RunJob, reply: Job, now: datetime) -> None:
    """Store everything that the executor replied but the status."""
    job.reason = reply.error
    if job.steps != reply.steps:
        job.steps = reply.steps
    job.heartbeat_at = now


def record_problem(run: Run, job: RunJob, problem: str) -> None:
    """Store why the executor's latest answer could not be used."""
    job.reason = run.reason = problem


def clear_problem(run: Run) -> None:
    """Remove a running run's reason, unless a job has one."""
    run.reason = next((job.reason for job in run.jobs if job.status in WITH_EXECUTOR and job.reason), None)


def to_poll(executor: str) -> Sequence[Row[Any]]:
    """Return the executor's jobs to poll.

    The running ones come first, then those polled longest ago.
    """
    return db.session.execute(
        select(
            RunJob.id,
            RunJob.run_id,
            RunJob.status,
            RunJob.steps,
            RunJob.log_offset,
            RunJob.reason,
            Run.cancel_requested_at,
        )
        .join(Run, Run.id == RunJob.run_id)
        .where(RunJob.executor == executor, RunJob.status.in_(WITH_EXECUTOR), Run.status == RunStatus.RUNNING)
        .order_by(RunJob.status != JobStatus.RUNNING, RunJob.heartbeat_at)
        .limit(JOBS_PER_POLL)
    ).all()


def has_changed(stored: Row[Any], reply: Job) -> bool:
    """Return whether a reply needs more than a new `heartbeat_at`.

    It does if it differs from the stored job, or if the run is to be cancelled.
    """
    return (
        reply.status != stored.status
        or reply.steps != stored.steps
        or reply.error != stored.reason
        or reply.log_size > stored.log_offset
        or stored.cancel_requested_at is not None
    )


def record_unchanged(job_ids: Collection[str], now: datetime) -> None:
    """Record that the executor has just replied about these jobs without news."""
    if not job_ids:
        return
    # A job that is locked is being ended or deleted; waiting for it could end in a deadlock.
    free = select(RunJob.id).where(RunJob.id.in_(job_ids)).with_for_update(skip_locked=True)
    unchanged = update(RunJob).where(RunJob.id.in_(free)).values(heartbeat_at=now)
    db.session.execute(unchanged.execution_options(synchronize_session=False))


def without_reply(executor: str, now: datetime) -> Sequence[tuple[str, int]]:
    """Return job and run ids without a reply for a minute."""
    rows = db.session.execute(_last_reply_before(executor, now - NO_REPLY_AFTER))
    return [(job_id, run_id) for job_id, run_id in rows]


def without_reply_too_long(executor: str, now: datetime) -> Sequence[tuple[str, int]]:
    """Return job and run ids to fail after five minutes without reply.

    Their tasks say so; the jobs of other tasks wait.
    """
    failing = select(ScheduledTask.id).where(ScheduledTask.absence == Absence.FAIL)
    unanswered = _last_reply_before(executor, now - GIVE_UP_AFTER)
    rows = db.session.execute(unanswered.where(Run.task_id.in_(failing)))
    return [(job_id, run_id) for job_id, run_id in rows]


def _last_reply_before(executor: str, moment: datetime) -> Select[str, int]:
    return (
        select(RunJob.id, RunJob.run_id)
        .join(Run, Run.id == RunJob.run_id)
        .where(
            RunJob.executor == executor,
            RunJob.status.in_(WITH_EXECUTOR),
            RunJob.heartbeat_at < moment,
            Run.status == RunStatus.RUNNING,
        )
        .order_by(RunJob.heartbeat_at)
        .limit(JOBS_PER_POLL)
    )


def of_removed_executors(executors: Sequence[Executor]) -> Sequence[tuple[str, int]]:
    """Return job and run ids of open jobs of removed executors."""
    rows = db.session.execute(
        select(RunJob.id, RunJob.run_id)
        .join(Run, Run.id == RunJob.run_id)
        .where(
            RunJob.status.in_((JobStatus.WAITING, *WITH_EXECUTOR)),
            RunJob.executor.not_in([executor.name for executor in executors]),
            Run.status.in_(ACTIVE),
        )
    )
    return [(job_id, run_id) for job_id, run_id in rows]


def open_jobs(run_ids: Select[int] | Collection[int]) -> list[tuple[str, str]]:
    """Return executor and job id of the runs' open jobs."""
    rows = db.session.execute(
        select(RunJob.executor, RunJob.id).where(
            RunJob.run_id.in_(run_ids), RunJob.status.in_((JobStatus.WAITING, *WITH_EXECUTOR))
        )
    )
    return [(executor, job_id) for executor, job_id in rows]


def has_stored_results(run: Run, job: RunJob) -> bool:
    """Return whether something that the job left has been stored."""
    if "servers" not in job.request:
        entries = (run.result_data or {}).get("databases", [])
        return any(entry["executor"] == job.executor for entry in entries)
    stored = (
        select(RunHost.name)
        .join(Host, Host.id == RunHost.host_id)
        .where(RunHost.run_id == run.id, RunHost.outcome.is_not(None))
        .where(Host.entry.in_(job.request["servers"]))
    )
    return db.session.scalars(stored.limit(1)).first() is not None


def failure_reasons(run: Run) -> list[str]:
    """Return why jobs never began or were lost, each reason once."""
    jobs = [job for job in run.jobs if not job.steps or job.status is JobStatus.LOST]
    return list(dict.fromkeys(job.reason for job in jobs if job.reason))
