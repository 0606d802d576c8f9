"""The jobs of a run: which executor is asked for what, and what was heard of each since."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, select, update

from vulsweb.executors import client as executor_client
from vulsweb.executors import settings as executor_settings
from vulsweb.executors.client import Job
from vulsweb.executors.settings import Executor
from vulsweb.extensions import db
from vulsweb.models import Absence, Host, JobStatus, Run, RunJob, RunStatus, ScheduledTask
from vulsweb.models.run import ACTIVE
from vulsweb.models.run_job import WITH_EXECUTOR

# A job is for so many hosts at most: what came of them is seen before a large tag is through.
HOSTS_PER_JOB = 1_000
# The executor takes bodies of 256 KiB; there is more in one than the names.
NAME_BYTES_PER_JOB = 200 * 1024
# How many jobs an executor is asked about at once. The others are in its queue, and their turn comes.
JOBS_PER_POLL = 500
NO_REPLY_AFTER = timedelta(seconds=60)
GIVE_UP_AFTER = timedelta(minutes=5)


def create_jobs(run: Run, known: Sequence[Executor]) -> None:
    """Give the run its jobs: a scan's by its hosts' tags, an update's one for each executor."""
    asked = [
        (executor, request)
        for executor, wanted in _wanted(run, known)
        for request in _requests(run.request, wanted)
    ]
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
        for number, (executor, request) in enumerate(asked, 1)
    ]


def _wanted(run: Run, known: Sequence[Executor]) -> list[tuple[Executor, list[str]]]:
    if "servers" not in run.request:
        return [(executor, []) for executor in known]
    tags: dict[str, set[str]] = {name: set() for name in run.request["servers"]}
    # A network's hosts share an entry, which is scanned as one.
    described = select(Host.entry, Host.tags).where(Host.entry.in_(tags), Host.parent_id.is_(None))
    for entry, own in db.session.execute(described.where(Host.retired_at.is_(None))):
        tags[entry].update(own)
    theirs: dict[Executor, list[str]] = {executor: [] for executor in known}
    for name, all_tags in tags.items():
        theirs[executor_settings.for_tags(known, all_tags)].append(name)
    return [(executor, names) for executor, names in theirs.items() if names]


def _requests(request: Mapping[str, Any], servers: Sequence[str]) -> Iterator[dict[str, Any]]:
    if "servers" not in request:
        yield dict(request)
        return
    piece: list[str] = []
    size = 0
    for name in servers:
        length = len(json.dumps(name)) + 2
        if piece and (len(piece) == HOSTS_PER_JOB or size + length > NAME_BYTES_PER_JOB):
            yield {"servers": piece, "scan_type": request["scan_type"]}
            piece, size = [], 0
        piece.append(name)
        size += length
    yield {"servers": piece, "scan_type": request["scan_type"]}


def record_reply(job: RunJob, told: Job, now: datetime) -> None:
    """Keep what the executor says of the job."""
    job.status = JobStatus(told.status)
    job.reason = told.error
    if job.steps != told.steps:
        job.steps = told.steps
    job.heartbeat_at = now


def to_poll(executor: str) -> Sequence[Row[Any]]:
    """Return the jobs to ask the executor about: those that run, then the longest not asked about."""
    return db.session.execute(_followed(executor)).all()


def _followed(executor: str) -> Select[Any]:
    return (
        select(
            RunJob.id,
            RunJob.run_id,
            RunJob.status,
            RunJob.steps,
            RunJob.log_offset,
            Run.cancel_requested_at,
        )
        .join(Run, Run.id == RunJob.run_id)
        .where(RunJob.executor == executor, RunJob.status.in_(WITH_EXECUTOR), Run.status == RunStatus.RUNNING)
        .order_by(RunJob.status != JobStatus.RUNNING, RunJob.heartbeat_at)
        .limit(JOBS_PER_POLL)
    )


def has_changed(known: Row[Any], told: Job) -> bool:
    """Say whether what an executor tells of a job is anything but that it is still as it was."""
    as_it_was = told.status == known.status and told.steps == known.steps
    return not as_it_was or told.log_size > known.log_offset or known.cancel_requested_at is not None


def record_unchanged(job_ids: Collection[str], now: datetime) -> None:
    """Note that the executor has just spoken of these jobs, and that nothing about them is new."""
    if not job_ids:
        return
    heard = update(RunJob).where(RunJob.id.in_(job_ids)).values(heartbeat_at=now)
    db.session.execute(heard.execution_options(synchronize_session=False))


def without_reply(executor: str, now: datetime) -> Sequence[tuple[str, int]]:
    """Return the ids and runs of jobs of which their executor has said nothing for a minute."""
    rows = db.session.execute(_unheard_of(executor, now - NO_REPLY_AFTER))
    return [(job_id, run_id) for job_id, run_id in rows]


def without_reply_too_long(executor: str, now: datetime) -> Sequence[tuple[str, int]]:
    """Return the ids and runs of jobs whose tasks do not let them wait for a silent executor any longer."""
    impatient = select(ScheduledTask.id).where(ScheduledTask.absence == Absence.FAIL)
    rows = db.session.execute(_unheard_of(executor, now - GIVE_UP_AFTER).where(Run.task_id.in_(impatient)))
    return [(job_id, run_id) for job_id, run_id in rows]


def _unheard_of(executor: str, since: datetime) -> Select[str, int]:
    return (
        select(RunJob.id, RunJob.run_id)
        .join(Run, Run.id == RunJob.run_id)
        .where(
            RunJob.executor == executor,
            RunJob.status.in_(WITH_EXECUTOR),
            RunJob.heartbeat_at < since,
            Run.status == RunStatus.RUNNING,
        )
        .order_by(RunJob.heartbeat_at)
        .limit(JOBS_PER_POLL)
    )


def of_removed_executors(known: Sequence[Executor]) -> Sequence[tuple[str, int]]:
    """Return the ids and runs of jobs whose executor is not in the settings any more."""
    rows = db.session.execute(
        select(RunJob.id, RunJob.run_id)
        .join(Run, Run.id == RunJob.run_id)
        .where(
            RunJob.status.in_((JobStatus.WAITING, *WITH_EXECUTOR)),
            RunJob.executor.not_in([executor.name for executor in known]),
            Run.status.in_(ACTIVE),
        )
    )
    return [(job_id, run_id) for job_id, run_id in rows]


def open_jobs(run_ids: Select[int] | Collection[int]) -> list[tuple[str, str]]:
    """Return executor and id of each of the runs' jobs that an executor may be working on."""
    rows = db.session.execute(
        select(RunJob.executor, RunJob.id).where(
            RunJob.run_id.in_(run_ids), RunJob.status.in_((JobStatus.WAITING, *WITH_EXECUTOR))
        )
    )
    return [(executor, job_id) for executor, job_id in rows]


def failure_reasons(run: Run) -> list[str]:
    """Return why jobs never began or were lost, each reason once."""
    jobs = [job for job in run.jobs if not job.steps or job.status is JobStatus.LOST]
    return list(dict.fromkeys(job.reason for job in jobs if job.reason))
