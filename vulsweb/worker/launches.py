"""The beginning of runs: executors are asked for their jobs."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from vulsweb import conclusions, run_jobs, runs, targets
from vulsweb.executor_client import ExecutorClients, ExecutorError, ExecutorUnavailable, Job
from vulsweb.executors import Executor
from vulsweb.extensions import db
from vulsweb.models import Absence, JobStatus, Run, RunJob, RunStatus

log = logging.getLogger(__name__)


def launch(clients: ExecutorClients, executors: Sequence[Executor], run_id: int) -> Sequence[int]:
    """Claim a run and ask the executors for its jobs; return the runs that waited for it, if it is over."""
    run = runs.claim(run_id, datetime.now(UTC))
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
    return runs.ready([task_id]) if over else []


def _begin(clients: ExecutorClients, executors: Sequence[Executor], run: Run) -> None:
    if refusal := targets.begin(run, executors):
        runs.end(run, RunStatus.FAILED, refusal, datetime.now(UTC))
        return
    # Should this worker die now, the next one asks for the same hosts.
    db.session.commit()
    for job in list(run.jobs):
        if job.status is JobStatus.WAITING:
            db.session.commit()  # nothing is held while the executor thinks
            _submit(clients, run, job)


def _submit(clients: ExecutorClients, run: Run, job: RunJob) -> None:
    told: Job | ExecutorError
    # The jobs of one run take turns with those of others.
    request = {**job.request, "group": f"{run.id:032x}"}
    try:
        told = clients.ask(job.executor, lambda client: client.submit(job.id, request))
    except ExecutorError as error:
        log.warning("run %d: %s", run.id, error)
        told = error
    # Another of its jobs may end at this moment: which is the last, one of us has to see.
    runs.lock(run)
    if not run.status.is_active or job.status is not JobStatus.WAITING:
        return
    _take(run, job, told, datetime.now(UTC))
    if run.status.is_active:
        runs.go_on(run)


def _take(run: Run, job: RunJob, told: Job | ExecutorError, now: datetime) -> None:
    # A later worker takes the run for abandoned a minute from here.
    run.heartbeat_at = now
    if isinstance(told, Job):
        run_jobs.note(job, told, now)
    elif isinstance(told, ExecutorUnavailable) and run.task.absence is Absence.WAIT:
        job.reason = f"{told} Trying again within two minutes."
    else:
        conclusions.give_up(run, job, JobStatus.FAILED, str(told), now)


def _withdraw(clients: ExecutorClients, run: Run) -> None:
    """End a run that is to stop, or have the jobs stopped that a worker which died had asked for."""
    if not run.jobs:
        runs.end(run, RunStatus.CANCELLED, run.cancel_reason or runs.BEFORE_IT_BEGAN, datetime.now(UTC))
    for job in list(run.jobs):
        if job.status is JobStatus.WAITING:
            _withdraw_job(clients, run, job)
    if run.status.is_active:
        runs.go_on(run)


def _withdraw_job(clients: ExecutorClients, run: Run, job: RunJob) -> None:
    now = datetime.now(UTC)
    try:
        told = clients.ask(job.executor, lambda client: client.jobs([job.id])).get(job.id)
    except ExecutorError as error:
        log.warning("run %d: %s", run.id, error)
        job.reason = f"{error} Cancelling again within two minutes."
        return
    runs.lock(run)
    if job.status is not JobStatus.WAITING:
        return
    if told is None:
        conclusions.give_up(run, job, JobStatus.CANCELLED, runs.BEFORE_IT_BEGAN, now)
    else:
        run_jobs.note(job, told, now)
