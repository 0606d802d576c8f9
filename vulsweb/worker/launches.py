"""The beginning of runs: executors are asked for their jobs."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from vulsweb.executors.client import ExecutorClients, ExecutorError, ExecutorUnavailable, Job, JobRejected
from vulsweb.executors.settings import Executor
from vulsweb.extensions import db
from vulsweb.models import Absence, JobStatus, Run, RunJob, RunStatus
from vulsweb.runs import conclusions, jobs, lifecycle, scans, targets

log = logging.getLogger(__name__)


def launch(clients: ExecutorClients, executors: Sequence[Executor], run_id: int) -> Sequence[int]:
    """Claim a run and ask the executors for its jobs; return the runs that waited for it, if it is over."""
    run = lifecycle.claim(run_id, datetime.now(UTC))
    db.session.commit()
    if run is None:
        return []
    if run.cancel_requested_at is None:
        _begin(clients, executors, run)
    else:
        _withdraw(clients, run)
    return commit(run)


def commit(run: Run) -> Sequence[int]:
    """Commit what was done to the run; if it is over, return the runs that waited for it."""
    task_id, over = run.task_id, not run.status.is_active
    db.session.commit()
    # Only now: a run is queued by somebody who then sends it too, so one of us two sees the other.
    return lifecycle.ready_to_start([task_id]) if over else []


def _begin(clients: ExecutorClients, executors: Sequence[Executor], run: Run) -> None:
    if refusal := targets.prepare(run, executors):
        lifecycle.end(run, RunStatus.FAILED, refusal, datetime.now(UTC))
        return
    # Should this worker die now, the next one asks for the same hosts.
    db.session.commit()
    for job in list(run.jobs):
        if job.status is JobStatus.WAITING:
            db.session.commit()  # nothing is held while the executor thinks
            _submit(clients, run, job)


def _submit(clients: ExecutorClients, run: Run, job: RunJob) -> None:
    told: Job | ExecutorError
    try:
        told = clients.ask(job.executor, lambda client: client.submit(job.id, _request(run, job)))
    except ExecutorError as error:
        log.warning("run %d: %s", run.id, error)
        told = error
    # Another of its jobs may end at this moment: which is the last, one of us has to see.
    lifecycle.lock(run)
    if not run.status.is_active or job.status is not JobStatus.WAITING:
        return
    if isinstance(told, JobRejected) and 0 < len(told.unknown) < len(job.request["servers"]):
        scans.exclude_servers(run, job, set(told.unknown), datetime.now(UTC))
        db.session.commit()
        _submit(clients, run, job)
        return
    _take(run, job, told, datetime.now(UTC))
    if run.status.is_active:
        lifecycle.mark_running_or_waiting(run)


def _request(run: Run, job: RunJob) -> dict[str, Any]:
    # The jobs of one run take turns with those of others.
    return {**job.request, "group": f"{run.id:032x}"}


def _take(run: Run, job: RunJob, told: Job | ExecutorError, now: datetime) -> None:
    # A later worker takes the run for abandoned a minute from here.
    run.heartbeat_at = now
    if isinstance(told, Job):
        jobs.record_reply(job, told, now)
    elif isinstance(told, ExecutorUnavailable) and run.task.absence is Absence.WAIT:
        job.reason = f"{told} Trying again within two minutes."
    else:
        conclusions.give_up(run, job, JobStatus.FAILED, str(told), now)


def _withdraw(clients: ExecutorClients, run: Run) -> None:
    """End a run that is to stop, or have the jobs stopped that a worker which died had asked for."""
    if not run.jobs:
        lifecycle.end(
            run, RunStatus.CANCELLED, run.cancel_reason or lifecycle.CANCELLED_EARLY, datetime.now(UTC)
        )
    for job in list(run.jobs):
        if job.status is JobStatus.WAITING:
            _withdraw_job(clients, run, job)
    if run.status.is_active:
        lifecycle.mark_running_or_waiting(run)


def _withdraw_job(clients: ExecutorClients, run: Run, job: RunJob) -> None:
    now = datetime.now(UTC)
    try:
        told = clients.ask(job.executor, lambda client: client.jobs([job.id])).get(job.id)
    except ExecutorError as error:
        log.warning("run %d: %s", run.id, error)
        job.reason = f"{error} Cancelling again within two minutes."
        return
    lifecycle.lock(run)
    if job.status is not JobStatus.WAITING:
        return
    if told is None:
        conclusions.give_up(run, job, JobStatus.CANCELLED, lifecycle.CANCELLED_EARLY, now)
    else:
        jobs.record_reply(job, told, now)
