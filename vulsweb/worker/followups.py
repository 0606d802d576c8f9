"""Following runs: executors are polled for jobs until the last has ended."""

import contextlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.exc import OperationalError

from vulsweb.executors.client import (
    AnswerUnexpected,
    ExecutorClient,
    ExecutorClients,
    ExecutorError,
    Job,
    JobUnknown,
)
from vulsweb.extensions import db
from vulsweb.hosts import connection_tests
from vulsweb.models import ConnectionTest, JobStatus, Run, RunJob
from vulsweb.runs import conclusions, lifecycle, logs
from vulsweb.runs import jobs as run_jobs
from vulsweb.ssh import versions
from vulsweb.worker.launches import commit

log = logging.getLogger(__name__)

NOT_STORED = "Its job's results could not be stored. See the worker's log."
LOST = "The executor no longer knows this job; its data folder may have been emptied. Run it again."

SILENT = "It has not replied for five minutes."


def follow(client: ExecutorClient, stored: Sequence[Row[Any]]) -> list[int]:
    """Store an executor's replies; return the runs now ready to start."""
    ready: list[int] = []
    for job, reply in _changed(client, stored):
        try:
            if isinstance(reply, AnswerUnexpected):
                raise reply
            ready += _store_reply(client, job.run_id, reply)
        except AnswerUnexpected as error:
            db.session.rollback()
            _store_problem(client, job.run_id, job.id, error)
        except JobUnknown as error:
            db.session.rollback()
            ready += give_up(job.run_id, job.id, f"The results of its job are gone. {error}")
        except (ExecutorError, OperationalError):
            raise  # nothing is wrong with the job: it is polled again
        except Exception:  # ends this job alone, and never delays the others
            db.session.rollback()
            log.exception("run %d: the results of job %s could not be stored", job.run_id, job.id)
            ready += give_up(job.run_id, job.id, NOT_STORED)
            if isinstance(reply, Job) and not reply.ended:
                client.cancel(job.id)
    return ready


def _changed(
    client: ExecutorClient, stored: Sequence[Row[Any]]
) -> list[tuple[Row[Any], Job | AnswerUnexpected]]:
    """Poll the jobs; return those with news, and touch the others."""
    replies = client.replies(job.id for job in stored)
    known = [(job, replies[job.id]) for job in stored if job.id in replies]
    changed = [
        (job, reply)
        for job, reply in known
        if isinstance(reply, AnswerUnexpected) or run_jobs.has_changed(job, reply)
    ]
    unchanged = {job.id for job, _ in known} - {job.id for job, _ in changed}
    run_jobs.record_unchanged(unchanged, datetime.now(UTC))
    db.session.commit()
    return changed


def _store_problem(client: ExecutorClient, run_id: int, job_id: str, problem: AnswerUnexpected) -> None:
    run, job = _lock_open_job(run_id, job_id)
    if run is None or job is None:
        return
    if run.cancel_requested_at is not None:
        client.cancel(job_id)
    if job.reason != str(problem):
        log.warning("run %d: job %d: %s", run.id, job.number, problem)
        run_jobs.record_problem(run, job, str(problem))
    db.session.commit()


def _store_reply(client: ExecutorClient, run_id: int, reply: Job) -> Sequence[int]:
    run, job = _lock_open_job(run_id, reply.id)
    if run is None or job is None:
        return []
    if run.cancel_requested_at is not None and not reply.ended:
        client.cancel(job.id)
    while job.log_offset < reply.log_size:
        piece = client.log(job.id, job.log_offset)
        if piece.next_offset <= job.log_offset:
            break
        logs.append(run, job, piece.text, piece.next_offset)
    if reply.ended:
        conclusions.conclude(run, job, reply, client.results(reply), datetime.now(UTC))
        log.info("run %d: job %d of %s ended: %s", run.id, job.number, job.executor, job.status.value)
    else:
        run_jobs.record_reply(job, reply, datetime.now(UTC))
        run_jobs.clear_problem(run)
    return commit(run)


def follow_test(client: ExecutorClient, test: ConnectionTest, now: datetime) -> None:
    """Submit or poll a connection test, and store its result."""
    # Submitting the same job id again returns the job's state: the executor keys jobs by id.
    job = client.submit(test.job_id, {"servers": [test.host.entry], "scan_type": "configtest"})
    connection_tests.mark_running(test)
    if job.ended:
        log_text, offset = "", 0
        while offset < job.log_size:
            piece = client.log(job.id, offset)
            if piece.next_offset <= offset:
                break
            log_text, offset = log_text + piece.text, piece.next_offset
        without_key = versions.is_without_key(test.host)
        connection_tests.conclude(test, job, log_text, now, without_key=without_key)


def answers(clients: ExecutorClients, executor: str) -> bool:
    """Return whether an executor answers."""
    try:
        clients.ask(executor, ExecutorClient.health)
    except ExecutorError as error:
        log.debug("sweep: %s", error)
        # An executor that rejects our key does answer, and its jobs fail with that error.
        return not error.retryable
    return True


def end_overdue(clients: ExecutorClients, timeout: timedelta, now: datetime) -> Sequence[int]:
    """Time out the overdue runs; return the runs now ready to start."""
    overdue = lifecycle.overdue(now, timeout)
    jobs, task_ids = run_jobs.open_jobs([run.id for run in overdue]), [run.task_id for run in overdue]
    for run in overdue:
        conclusions.time_out(run, timeout, now)
        log.warning("run %d: timed out", run.id)
    db.session.commit()
    for executor, job_id in jobs:
        with contextlib.suppress(ExecutorError):
            stop(clients, executor, job_id)
    return lifecycle.ready_to_start(task_ids)


def follow_again(now: datetime) -> Sequence[int]:
    """Have runs followed that nothing would end; return runs ready to start."""
    forgotten = lifecycle.unfollowed()
    for run in forgotten:
        conclusions.reopen(run, now)
        log.warning("run %d: none of its jobs was followed", run.id)
    task_ids = [run.task_id for run in forgotten if not run.status.is_active]
    db.session.commit()
    return lifecycle.ready_to_start(task_ids) if task_ids else []


def rescue(clients: ExecutorClients, executor: str, now: datetime) -> list[int]:
    """Fail jobs that were lost, or that waited too long.

    Return the runs that are now ready to start.
    """
    unanswered = run_jobs.without_reply(executor, now)
    too_long = run_jobs.without_reply_too_long(executor, now)
    db.session.commit()
    try:
        known = clients.ask(executor, lambda client: client.replies(job_id for job_id, _ in unanswered))
    except ExecutorError as error:
        lost = [(*job, f"{error} {SILENT}") for job in too_long]
    else:
        lost = [(*job, LOST) for job in unanswered if job[0] not in known]
        odd = [(job, known.get(job[0])) for job in too_long]
        lost += [(*job, f"{reply} {SILENT}") for job, reply in odd if isinstance(reply, AnswerUnexpected)]
    return [ready for job_id, run_id, reason in lost for ready in give_up(run_id, job_id, reason)]


def give_up(run_id: int, job_id: str, reason: str) -> Sequence[int]:
    """Mark a job as lost; return the runs now ready to start."""
    run, job = _lock_open_job(run_id, job_id)
    if run is None or job is None:
        return []
    conclusions.give_up(run, job, JobStatus.LOST, reason, datetime.now(UTC))
    return commit(run)


def _lock_open_job(run_id: int, job_id: str) -> tuple[Run | None, RunJob | None]:
    run = lifecycle.lock_running(run_id)
    jobs = run.jobs if run else []
    job = next((job for job in jobs if job.id == job_id and not job.status.has_ended), None)
    if job is None:
        db.session.rollback()
    return run, job


def stop(clients: ExecutorClients, executor: str, job_id: str) -> None:
    """Stop a job; do nothing if the executor does not know it."""
    with contextlib.suppress(JobUnknown):
        clients.ask(executor, lambda client: client.cancel(job_id))
