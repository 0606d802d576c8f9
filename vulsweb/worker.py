"""The Celery functions and their beat table; thin: call, commit, enqueue."""

import contextlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from celery import shared_task
from celery.schedules import crontab
from flask import current_app
from kombu.exceptions import OperationalError

from vulsweb import (
    conclusions,
    connection_tests,
    host_keys,
    host_syncs,
    idempotency,
    known_hosts,
    runs,
    schedules,
    targets,
)
from vulsweb.executor_client import ExecutorClient, ExecutorError, ExecutorUnavailable, Job, JobUnknown
from vulsweb.extensions import db
from vulsweb.models import ConnectionTest, HostKeyOffer, Run, RunStatus

log = logging.getLogger(__name__)

FOLLOW_SECONDS = 2
IDS_A_MESSAGE = 100
RUNS_A_BATCH = 500
LOST = "The executor no longer knows this job; its data folder may have been emptied. Run it again."

BEAT = {
    "tick": {"task": "vulsweb.tick", "schedule": crontab()},
    # A message that nobody took before the next one is due would only repeat it: hence `expires`.
    "follow_runs": {
        "task": "vulsweb.follow_runs",
        "schedule": FOLLOW_SECONDS,
        "options": {"expires": FOLLOW_SECONDS},
    },
    "follow_tests": {
        "task": "vulsweb.follow_tests",
        "schedule": FOLLOW_SECONDS,
        "options": {"expires": FOLLOW_SECONDS},
    },
    "sweep": {"task": "vulsweb.sweep", "schedule": 60, "options": {"expires": 60}},
    # At night, after most scans began and before anybody looks.
    "prune": {"task": "vulsweb.prune", "schedule": crontab(hour="3", minute="30")},
}


@shared_task(name="vulsweb.tick")
def tick() -> int:
    """Queue every task that has come due and return how many; beat calls this once a minute."""
    count = 0
    # At last those that somebody held a moment ago: their slots must not wait for the next minute.
    for patient in (False, True):
        while (run_ids := schedules.start_due_tasks(datetime.now(UTC), patient=patient)) is not None:
            db.session.commit()  # a worker must never be handed an id it cannot see
            send(run_ids)
            count += len(run_ids)
    schedules.note_tick(datetime.now(UTC))
    db.session.commit()
    return count


@shared_task(name="vulsweb.launch_runs")
def launch_runs(run_ids: Sequence[int]) -> None:
    """Claim each run and ask the executor for its job."""
    with executor() as client:
        for run_id in run_ids:
            _launch(client, run_id)


@shared_task(name="vulsweb.follow_runs")
def follow_runs() -> None:
    """Ask the executor about all running runs, keep what it says, and conclude those that ended."""
    active = runs.running()
    db.session.commit()
    if not active:
        return
    try:
        with executor() as client:
            jobs = client.jobs(job_id for _, job_id in active)
            for run_id, job_id in active:
                if job_id in jobs:
                    _follow_apart(client, run_id, jobs[job_id])
    except ExecutorError as error:
        db.session.rollback()
        log.warning("follow_runs: %s", error)


@shared_task(name="vulsweb.follow_tests")
def follow_tests() -> None:
    """Ask the executor for each connection test that is not over, and keep what came of it."""
    for test in connection_tests.active():
        now = datetime.now(UTC)
        if connection_tests.expire(test, now):
            continue
        try:
            with executor() as client:
                _follow_test(client, test, now)
        except ExecutorError as error:
            connection_tests.fail(test, str(error), now)
    db.session.commit()


@shared_task(name="vulsweb.sweep")
def sweep() -> None:
    """Rescue stranded runs: send again, stop what is overdue, fail what the executor has lost."""
    now = datetime.now(UTC)
    send(runs.to_launch_again(now))
    for sync_id in host_syncs.lost(now):
        send_sync(sync_id)
    try:
        with executor() as client:
            _end_overdue(client, now)
            silent = runs.silent(now)
            known = client.jobs(job_id for _, job_id in silent)
            for run_id, job_id in silent:
                if job_id not in known:
                    _fail(run_id, LOST)
    except ExecutorError as error:
        db.session.rollback()
        log.warning("sweep: %s", error)


@shared_task(name="vulsweb.prune")
def prune() -> int:
    """Delete the runs that are older than they are kept, a batch at a time, and return how many."""
    now = datetime.now(UTC)
    idempotency.prune_keys(now)
    before = now - current_app.config["KEEP_RUNS"]
    connection_tests.prune(before)
    count = 0
    while gone := runs.prune(before, RUNS_A_BATCH):
        db.session.commit()
        count += gone
    db.session.commit()
    log.info("prune: %d runs deleted that were made before %s", count, before)
    return count


@shared_task(name="vulsweb.stop_jobs", autoretry_for=(ExecutorUnavailable,), retry_backoff=True)
def stop_jobs(job_ids: Sequence[str]) -> None:
    """Have the executor stop jobs whose runs are gone."""
    with executor() as client:
        for job_id in job_ids:
            _stop(client, job_id)


@shared_task(name="vulsweb.sync_hosts")
def sync_hosts(sync_id: int) -> None:
    """Bring the hosts in step with config.toml, and keep what that came to."""
    sync = host_syncs.claim(sync_id)
    if sync is not None:
        host_syncs.do(sync, current_app.config["VULS_CONFIG"], datetime.now(UTC))
    db.session.commit()


@shared_task(name="vulsweb.fetch_host_keys")
def fetch_host_keys(offer_id: int) -> None:
    """Ask a host for its keys, so that a person can compare and accept them."""
    offer = db.session.get(HostKeyOffer, offer_id)
    if offer is None or offer.finished_at is not None:
        return
    hostname, port = offer.hostname, offer.port
    db.session.commit()  # nothing is held while the host thinks
    try:
        known_hosts.fill(offer, host_keys.scan(hostname, port), datetime.now(UTC))
    except (host_keys.ScanFailed, host_keys.HostRefused) as error:
        known_hosts.fail(offer, str(error), datetime.now(UTC))
    db.session.commit()


def send_sync(sync_id: int) -> bool:
    """Hand a sync to the workers and say whether that went well; if not, sweep does it within two minutes."""
    try:
        sync_hosts.delay(sync_id)
    except OperationalError as error:
        log.warning("sync %d: Redis does not answer: %s", sync_id, error)
        return False
    return True


def send_fetch(offer_id: int) -> None:
    """Have a host asked for its keys soon; should Redis be away, the offer ends by itself in a minute."""
    try:
        fetch_host_keys.delay(offer_id)
    except OperationalError as error:
        log.warning("host keys %d: Redis does not answer: %s", offer_id, error)


def stop(job_ids: Sequence[str]) -> None:
    """Have the jobs stopped soon; should Redis be away they run to their end, for nobody."""
    if not job_ids:
        return
    try:
        stop_jobs.delay(list(job_ids))
    except OperationalError as error:
        log.warning("jobs %s go on: Redis does not answer: %s", job_ids, error)


def send(run_ids: Sequence[int]) -> bool:
    """Hand runs to the workers and say whether that went well; if not, sweep does it within two minutes.

    A hundred to a message: a message each would cost more than the rows.
    """
    try:
        for start in range(0, len(run_ids), IDS_A_MESSAGE):
            launch_runs.delay(list(run_ids[start : start + IDS_A_MESSAGE]))
    except OperationalError as error:
        log.warning("runs %s: Redis does not answer: %s", run_ids, error)
        return False
    return True


def look_at_tests() -> None:
    """Have a connection test begin at once; should Redis be away, beat sees to it when it is back."""
    try:
        follow_tests.delay()
    except OperationalError as error:
        log.warning("connection tests wait: Redis does not answer: %s", error)


def executor() -> ExecutorClient:
    """Return a client of the configured executor."""
    return ExecutorClient(current_app.config["EXECUTOR_URL"], current_app.config["EXECUTOR_API_KEY"])


def _launch(client: ExecutorClient, run_id: int) -> None:
    run = runs.claim(run_id, datetime.now(UTC))
    db.session.commit()
    if run is None:
        return
    if run.cancel_requested_at is None:
        _submit(client, run)
    else:
        _withdraw(client, run)
    _commit(run)


def _submit(client: ExecutorClient, run: Run) -> None:
    if refusal := targets.begin(run):
        runs.end(run, RunStatus.FAILED, refusal, datetime.now(UTC))
        return
    # Should this worker die now, the next one asks for the same hosts.
    db.session.commit()
    try:
        job = client.submit(run.job_id, run.request)
    except ExecutorUnavailable as error:
        log.warning("run %d: %s", run.id, error)
        runs.hold(run, f"{error} Trying again within two minutes.")
    except ExecutorError as error:
        log.warning("run %d: the executor refused the job: %s", run.id, error)
        runs.end(run, RunStatus.FAILED, str(error), datetime.now(UTC))
    else:
        runs.accept(run, job, datetime.now(UTC))


def _withdraw(client: ExecutorClient, run: Run) -> None:
    """End a run that is to stop, or have the job stopped that a worker which died had asked for."""
    try:
        job = client.jobs([run.job_id]).get(run.job_id)
    except ExecutorError as error:
        log.warning("run %d: %s", run.id, error)
        runs.hold(run, f"{error} Cancelling again within two minutes.")
        return
    if job is None:
        runs.end(run, RunStatus.CANCELLED, run.cancel_reason or runs.BEFORE_IT_BEGAN, datetime.now(UTC))
    else:
        runs.accept(run, job, datetime.now(UTC))


def _commit(run: Run) -> None:
    """Commit what was done to the run and, if it is over, send what waited for it."""
    task_id, over = run.task_id, not run.status.is_active
    db.session.commit()
    if over:
        # Only now: a run is queued by somebody who then sends it too, so one of us two sees the other.
        send(runs.ready([task_id]))


def _follow_apart(client: ExecutorClient, run_id: int, job: Job) -> None:
    """Follow one run so that whatever is wrong with it fails it alone, and holds up no other."""
    try:
        _follow(client, run_id, job)
    except ExecutorError:
        raise
    except Exception:
        db.session.rollback()
        log.exception("run %d: its job's results could not be taken in", run_id)
        _fail(run_id, "What the scan left could not be taken in; the worker's log says why.")


def _follow(client: ExecutorClient, run_id: int, job: Job) -> None:
    run = runs.lock_active(run_id)
    if run is None:
        db.session.rollback()
        return
    if run.cancel_requested_at is not None and not job.ended:
        client.cancel(job.id)
    while run.log_offset < job.log_size:
        piece = client.log(job.id, run.log_offset)
        if piece.next_offset <= run.log_offset:
            break
        runs.append_log(run, piece.text, piece.next_offset)
    if job.ended:
        conclusions.conclude(run, job, client.results(job), datetime.now(UTC))
        log.info("run %d: %s", run.id, run.status.value)
    else:
        runs.note(run, job, datetime.now(UTC))
    _commit(run)


def _follow_test(client: ExecutorClient, test: ConnectionTest, now: datetime) -> None:
    # Asking again for the same job is how one looks at it: the executor keys jobs by their id.
    job = client.submit(test.job_id, {"servers": [test.host.entry], "scan_type": "configtest"})
    connection_tests.accept(test)
    if job.ended:
        log_text, offset = "", 0
        while offset < job.log_size:
            piece = client.log(job.id, offset)
            if piece.next_offset <= offset:
                break
            log_text, offset = log_text + piece.text, piece.next_offset
        connection_tests.conclude(test, job, log_text, now)


def _end_overdue(client: ExecutorClient, now: datetime) -> None:
    ended = runs.overdue(now, current_app.config["RUN_TIMEOUT"])
    for run in ended:
        runs.end(run, RunStatus.TIMEOUT, "It took longer than a run may take, and was stopped.", now)
    jobs, task_ids = {run.id: run.job_id for run in ended}, [run.task_id for run in ended]
    db.session.commit()
    for run_id, job_id in jobs.items():
        log.warning("run %d: past its deadline", run_id)
        _stop(client, job_id)
    send(runs.ready(task_ids))


def _stop(client: ExecutorClient, job_id: str) -> None:
    with contextlib.suppress(JobUnknown):
        client.cancel(job_id)


def _fail(run_id: int, reason: str) -> None:
    run = runs.lock_active(run_id)
    if run is None:
        db.session.rollback()
        return
    runs.end(run, RunStatus.FAILED, reason, datetime.now(UTC))
    _commit(run)
