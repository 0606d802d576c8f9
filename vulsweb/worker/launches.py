"""Launching runs: executors are asked for each job."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from sqlalchemy.orm.exc import ObjectDeletedError

from vulsweb import messages
from vulsweb.executors.client import (
    AnswerUnexpected,
    ExecutorBusy,
    ExecutorClient,
    ExecutorClients,
    ExecutorError,
    ExecutorUnavailable,
    Job,
    JobRejected,
)
from vulsweb.executors.settings import Executor
from vulsweb.extensions import db
from vulsweb.models import Absence, JobStatus, Run, RunJob, RunStatus
from vulsweb.runs import conclusions, detections, freshness, jobs, lifecycle, scan_results, targets
from vulsweb.system.executor_checks import Health, ask_executors
from vulsweb.worker.turns import turn

log = logging.getLogger(__name__)


def launch(clients: ExecutorClients, executors: Sequence[Executor], run_id: int) -> Sequence[int]:
    """Claim a run and submit its jobs; return runs ready to start.

    If the run ends at once, these are the runs that waited for it.
    """
    run = lifecycle.claim(run_id, datetime.now(UTC))
    db.session.commit()
    if run is None:
        return []
    try:
        # From here to each commit, a deletion of the task waits for the run.
        lifecycle.lock(run)
        if run.cancel_requested_at is not None:
            _cancel(clients, run)
        elif run.is_detection and (nothing := detections.prepare(run, executors)):
            lifecycle.end(run, RunStatus.SKIPPED, nothing, datetime.now(UTC))
        elif not run.is_detection and (problem := targets.prepare(run, executors)):
            lifecycle.end(run, RunStatus.FAILED, problem, datetime.now(UTC))
        else:
            # If this worker dies now, the next one asks for the same hosts.
            db.session.commit()
            for job in list(run.jobs):
                if job.status is JobStatus.WAITING and not _is_held(executors, run, job):
                    _submit(clients, run, job)
        return commit(run)
    except ObjectDeletedError:
        db.session.rollback()
        log.info("run %d: deleted with its task while it started", run_id)
        return []


def commit(run: Run) -> Sequence[int]:
    """Commit a run; if it has ended, return runs ready to start."""
    task_id, ended = run.task_id, not run.status.is_active
    db.session.commit()
    # Search after the commit: a run queued meanwhile is found here, or sent by the process that queued it.
    return lifecycle.ready_to_start([task_id]) if ended else []


def _is_held(executors: Sequence[Executor], run: Run, job: RunJob) -> bool:
    """Hold a job back whose databases are older than its task demands."""
    executor = next((each for each in executors if each.name == job.executor), None)
    if executor is None or not freshness.is_demanded(run):
        return False
    db.session.commit()  # no lock is held while the executor answers
    now = datetime.now(UTC)
    ((_, health),) = ask_executors([executor], now)
    if not isinstance(health, Health) or (held := freshness.hold(run, job, health, now)) is None:
        # Of an executor that does not answer, the submission says so.
        return False
    db.session.commit()
    messages.send_runs(held.started)
    lifecycle.lock(run)
    if run.status.is_active and job.status is JobStatus.WAITING:
        run.heartbeat_at = now
        if held.updates:
            run.request = run.request | {"updates": list(held.updates)}
        if held.is_final:
            conclusions.give_up(run, job, JobStatus.FAILED, held.reason, now)
        else:
            job.reason = f"{held.reason} Looking again within two minutes."
            lifecycle.mark_running_or_waiting(run)
    return True


def _submit(clients: ExecutorClients, run: Run, job: RunJob) -> None:
    # The executor alternates between groups, so that the jobs of one run do not block those of others.
    asked = detections.body(job) if run.is_detection else job.request
    request = {**asked, "group": f"{run.id:032x}"}
    executor, job_id = job.executor, job.id
    db.session.commit()  # no lock is held while the executor answers
    reply: Job | ExecutorError

    def submit(client: ExecutorClient) -> Job:
        with turn(executor):
            return client.submit(job_id, request)

    try:
        reply = clients.ask(executor, submit)
    except ExecutorError as error:
        log.warning("run %d: %s", run.id, error)
        reply = error
    # Another job of the run may be ending now; one of the two workers must see that its job is the last.
    try:
        lifecycle.lock(run)
    except ObjectDeletedError:
        # The deletion asked the executor to stop the job, which may have been before it had it.
        messages.send_stop([(executor, job_id)])
        raise
    if not run.status.is_active or job.status is not JobStatus.WAITING:
        return
    now = datetime.now(UTC)
    if isinstance(reply, JobRejected) and 0 < len(reply.unknown) < len(job.request["servers"]):
        kind = detections if run.is_detection else scan_results
        kind.exclude_servers(run, job, set(reply.unknown), now)
        _submit(clients, run, job)
        return
    run.heartbeat_at = now  # after a minute, another worker treats the run as abandoned
    if isinstance(reply, Job):
        jobs.record_reply(job, reply, now)
    elif isinstance(reply, AnswerUnexpected):
        # It has taken the job, so the job is followed, and its next answer may be understood.
        job.status, job.heartbeat_at = JobStatus.QUEUED, now
        jobs.record_problem(run, job, str(reply))
    elif isinstance(reply, ExecutorBusy) or (
        isinstance(reply, ExecutorUnavailable) and run.task.absence is Absence.WAIT
    ):
        job.reason = f"{reply} Trying again within two minutes."
    else:
        conclusions.give_up(run, job, JobStatus.FAILED, str(reply), now)
    if run.status.is_active:
        lifecycle.mark_running_or_waiting(run)


def _cancel(clients: ExecutorClients, run: Run) -> None:
    """Cancel a run and the jobs that a dead worker submitted."""
    if not run.jobs:
        reason = run.cancel_reason or lifecycle.CANCELLED_EARLY
        lifecycle.end(run, RunStatus.CANCELLED, reason, datetime.now(UTC))
    for job in list(run.jobs):
        if job.status is not JobStatus.WAITING:
            continue
        try:
            replies = clients.ask(job.executor, partial(ExecutorClient.jobs, job_ids=[job.id]))
        except ExecutorError as error:
            log.warning("run %d: %s", run.id, error)
            job.reason = f"{error} Cancelling again within two minutes."
            continue
        lifecycle.lock(run)
        if job.status is not JobStatus.WAITING:
            continue
        now = datetime.now(UTC)
        if job.id in replies:
            jobs.record_reply(job, replies[job.id], now)
        else:
            conclusions.give_up(run, job, JobStatus.CANCELLED, lifecycle.CANCELLED_EARLY, now)
    if run.status.is_active:
        lifecycle.mark_running_or_waiting(run)
