"""The rest of a run's life: its executors are asked how its jobs are, until the last has ended."""

import contextlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from vulsweb.executors.client import ExecutorClient, ExecutorClients, ExecutorError, Job, JobUnknown
from vulsweb.extensions import db
from vulsweb.hosts import connection_tests
from vulsweb.models import ConnectionTest, JobStatus, Run, RunJob
from vulsweb.runs import conclusions, lifecycle, logs
from vulsweb.runs import jobs as run_jobs
from vulsweb.worker.launches import commit

log = logging.getLogger(__name__)

NOT_TAKEN_IN = "What its job left could not be taken in; the worker's log says why."
LOST = "The executor no longer knows this job; its data folder may have been emptied. Run it again."


def follow(client: ExecutorClient, known: Sequence[Row[Any]]) -> list[int]:
    """Keep what an executor says of its jobs, and return the runs that waited for those that are over."""
    told = client.jobs(job.id for job in known)
    found = [job for job in known if job.id in told]
    news = [job for job in found if run_jobs.has_changed(job, told[job.id])]
    run_jobs.record_unchanged({job.id for job in found} - {job.id for job in news}, datetime.now(UTC))
    db.session.commit()
    return [run_id for job in news for run_id in _follow_apart(client, job.run_id, told[job.id])]


def _follow_apart(client: ExecutorClient, run_id: int, told: Job) -> Sequence[int]:
    """Follow one job so that whatever is wrong with it ends that job alone, and holds up no other."""
    try:
        return _follow(client, run_id, told)
    except ExecutorError:
        raise
    except Exception:
        db.session.rollback()
        log.exception("run %d: what its job %s left could not be taken in", run_id, told.id)
        ready = give_up(run_id, told.id, NOT_TAKEN_IN)
        if not told.ended:
            client.cancel(told.id)  # it would go on for nobody
        return ready


def _follow(client: ExecutorClient, run_id: int, told: Job) -> Sequence[int]:
    run, job = _locked(run_id, told.id)
    if run is None or job is None:
        return []
    if run.cancel_requested_at is not None and not told.ended:
        client.cancel(job.id)
    while job.log_offset < told.log_size:
        piece = client.log(job.id, job.log_offset)
        if piece.next_offset <= job.log_offset:
            break
        logs.append(run, job, piece.text, piece.next_offset)
    if told.ended:
        conclusions.conclude(run, job, told, client.results(told), datetime.now(UTC))
        log.info("run %d: job %d at %s: %s", run.id, job.number, job.executor, job.status.value)
    else:
        run_jobs.record_reply(job, told, datetime.now(UTC))
    return commit(run)


def follow_test(client: ExecutorClient, test: ConnectionTest, now: datetime) -> None:
    """Ask for a connection test, or how it is, and keep what came of it."""
    # Asking again for the same job is how one looks at it: the executor keys jobs by their id.
    job = client.submit(test.job_id, {"servers": [test.host.entry], "scan_type": "configtest"})
    connection_tests.mark_running(test)
    if job.ended:
        log_text, offset = "", 0
        while offset < job.log_size:
            piece = client.log(job.id, offset)
            if piece.next_offset <= offset:
                break
            log_text, offset = log_text + piece.text, piece.next_offset
        connection_tests.conclude(test, job, log_text, now)


def answers(clients: ExecutorClients, executor: str) -> bool:
    """Say whether an executor can be asked."""
    try:
        clients.ask(executor, ExecutorClient.health)
    except ExecutorError as error:
        log.warning("sweep: %s", error)
        # One that refuses our key is there, and its runs end with that.
        return not error.retryable
    return True


def rescue(clients: ExecutorClients, executor: str, now: datetime) -> list[int]:
    """Fail an executor's jobs that it does not know any more, and those that shall not wait for it.

    Return the runs that waited for those that are over.
    """
    silent = run_jobs.without_reply(executor, now)
    db.session.commit()
    try:
        known = clients.ask(executor, lambda client: client.jobs(job_id for job_id, _ in silent))
    except ExecutorError as error:
        lost, reason = (
            run_jobs.without_reply_too_long(executor, now),
            f"{error} It has been silent for five minutes.",
        )
    else:
        lost, reason = [each for each in silent if each[0] not in known], LOST
    return [ready for job_id, run_id in lost for ready in give_up(run_id, job_id, reason)]


def give_up(run_id: int, job_id: str, reason: str) -> Sequence[int]:
    """End a job of which nothing will come; return the runs that waited for its run, if that is over."""
    run, job = _locked(run_id, job_id)
    if run is None or job is None:
        return []
    conclusions.give_up(run, job, JobStatus.LOST, reason, datetime.now(UTC))
    return commit(run)


def stop(clients: ExecutorClients, executor: str, job_id: str) -> None:
    """Have a job stopped; harmless where the executor does not know it any more."""
    with contextlib.suppress(JobUnknown):
        clients.ask(executor, lambda client: client.cancel(job_id))


def _locked(run_id: int, job_id: str) -> tuple[Run | None, RunJob | None]:
    run = lifecycle.lock_running(run_id)
    jobs = run.jobs if run else []
    job = next((job for job in jobs if job.id == job_id and not job.status.has_ended), None)
    if job is None:
        db.session.rollback()
    return run, job
