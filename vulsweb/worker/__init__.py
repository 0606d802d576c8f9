"""The Celery functions and their beat table; thin: call, commit, enqueue."""

import contextlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from celery import shared_task
from celery.schedules import crontab
from flask import current_app
from sqlalchemy import func, select

from vulsweb import idempotency, messages
from vulsweb.executors import settings as executor_settings
from vulsweb.executors.client import ExecutorClients, ExecutorError, ExecutorUnavailable
from vulsweb.executors.settings import MAIN, Executor, for_tags
from vulsweb.extensions import db
from vulsweb.hosts import connection_tests, sync_requests
from vulsweb.models import HostKeyOffer
from vulsweb.runs import conclusions, lifecycle, starting
from vulsweb.runs import jobs as run_jobs
from vulsweb.ssh import host_keys, known_hosts
from vulsweb.worker import followups, launches

log = logging.getLogger(__name__)

FOLLOW_SECONDS = 2
RUNS_A_BATCH = 500
NO_EXECUTOR = "Its executor is not in the settings any more."

BEAT: dict[str, dict[str, Any]] = {
    "tick": {"task": "vulsweb.tick", "schedule": crontab()},
    # A message that nobody took before the next one is due would only repeat it: hence `expires`.
    "follow_tests": {
        "task": "vulsweb.follow_tests",
        "schedule": FOLLOW_SECONDS,
        "options": {"expires": FOLLOW_SECONDS},
    },
    "sweep": {"task": "vulsweb.sweep", "schedule": 60, "options": {"expires": 60}},
    # At night, after most scans began and before anybody looks.
    "prune": {"task": "vulsweb.prune", "schedule": crontab(hour="3", minute="30")},
}


def beat_table(known: Sequence[Executor]) -> dict[str, dict[str, Any]]:
    """Return what beat asks for, and when: one entry for each executor, so that none waits for another."""
    follow = {
        f"follow_runs {executor.name}": {
            "task": "vulsweb.follow_runs",
            "args": (executor.name,),
            "schedule": FOLLOW_SECONDS,
            "options": {"expires": FOLLOW_SECONDS},
        }
        for executor in known
    }
    return BEAT | follow


@shared_task(name="vulsweb.tick")
def tick() -> int:
    """Queue every task that has come due and return how many; beat calls this once a minute."""
    count = 0
    # At last those that somebody held a moment ago: their slots must not wait for the next minute.
    for patient in (False, True):
        while (run_ids := starting.start_due_tasks(datetime.now(UTC), patient=patient)) is not None:
            db.session.commit()  # a worker must never be handed an id it cannot see
            messages.send_runs(run_ids)
            count += len(run_ids)
    starting.record_tick(datetime.now(UTC))
    db.session.commit()
    return count


@shared_task(name="vulsweb.launch_runs")
def launch_runs(run_ids: Sequence[int]) -> None:
    """Claim each run and ask the executors for its jobs."""
    with ExecutorClients(executor_settings.configured()) as clients:
        for run_id in run_ids:
            messages.send_runs(launches.launch(clients, executor_settings.configured(), run_id))


@shared_task(name="vulsweb.follow_runs")
def follow_runs(executor: str = MAIN) -> None:
    """Ask one executor about its jobs, keep what it says, and conclude those that ended."""
    with db.engine.connect() as alone, ExecutorClients(executor_settings.configured()) as clients:
        # One that hangs must not keep more than one of the workers.
        lock = func.pg_try_advisory_xact_lock(func.hashtext(f"follow {executor}"))
        known = run_jobs.to_poll(executor) if alone.scalar(select(lock)) else []
        db.session.commit()
        if not known:
            return
        try:
            messages.send_runs(clients.ask(executor, lambda client: followups.follow(client, known)))
        except ExecutorError as error:
            db.session.rollback()
            log.warning("follow_runs: %s", error)


@shared_task(name="vulsweb.follow_tests")
def follow_tests() -> None:
    """Ask the executor for each connection test that is not over, and keep what came of it."""
    with ExecutorClients(executor_settings.configured()) as clients:
        for test in connection_tests.active():
            now = datetime.now(UTC)
            if connection_tests.expire(test, now):
                continue
            name = for_tags(executor_settings.configured(), test.host.tags).name
            try:
                clients.ask(name, partial(followups.follow_test, test=test, now=now))
            except ExecutorError as error:
                connection_tests.fail(test, str(error), now)
    db.session.commit()


@shared_task(name="vulsweb.sweep")
def sweep() -> None:
    """Rescue stranded runs: send again, stop what is overdue, fail what the executors have lost."""
    now = datetime.now(UTC)
    for sync_id in sync_requests.unclaimed(now):
        messages.send_sync(sync_id)
    with ExecutorClients(executor_settings.configured()) as clients:
        down = {
            each.name for each in executor_settings.configured() if not followups.answers(clients, each.name)
        }
        messages.send_runs(lifecycle.stranded(now, down))
        _end_overdue(clients, now)
        for executor in executor_settings.configured():
            messages.send_runs(followups.rescue(clients, executor.name, now))
    for job_id, run_id in run_jobs.of_removed_executors(executor_settings.configured()):
        messages.send_runs(followups.give_up(run_id, job_id, NO_EXECUTOR))


@shared_task(name="vulsweb.prune")
def prune() -> int:
    """Delete the runs that are older than they are kept, a batch at a time, and return how many."""
    now = datetime.now(UTC)
    idempotency.prune_keys(now)
    before = now - current_app.config["KEEP_RUNS"]
    connection_tests.prune(before)
    count = 0
    while gone := lifecycle.prune(before, RUNS_A_BATCH):
        db.session.commit()
        count += gone
    db.session.commit()
    log.info("prune: %d runs deleted that were made before %s", count, before)
    return count


@shared_task(name="vulsweb.stop_jobs", autoretry_for=(ExecutorUnavailable,), retry_backoff=True)
def stop_jobs(executor: str, job_ids: Sequence[str]) -> None:
    """Have an executor stop jobs whose runs are gone."""
    with ExecutorClients(executor_settings.configured()) as clients:
        for job_id in job_ids:
            followups.stop(clients, executor, job_id)


@shared_task(name="vulsweb.sync_hosts")
def sync_hosts(sync_id: int) -> None:
    """Bring the hosts in step with config.toml, and keep what that came to."""
    sync = sync_requests.claim(sync_id)
    if sync is not None:
        sync_requests.perform(sync, current_app.config["VULS_CONFIG"], datetime.now(UTC))
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
        known_hosts.record_keys(offer, host_keys.scan(hostname, port), datetime.now(UTC))
    except (host_keys.ScanFailed, host_keys.HostRefused) as error:
        known_hosts.record_error(offer, str(error), datetime.now(UTC))
    db.session.commit()


def _end_overdue(clients: ExecutorClients, now: datetime) -> None:
    late = lifecycle.overdue(now, current_app.config["RUN_TIMEOUT"])
    jobs, task_ids = run_jobs.open_jobs([run.id for run in late]), [run.task_id for run in late]
    for run in late:
        conclusions.time_out(run, now)
        log.warning("run %d: past its deadline", run.id)
    db.session.commit()
    for executor, job_id in jobs:
        with contextlib.suppress(ExecutorError):
            followups.stop(clients, executor, job_id)
    messages.send_runs(lifecycle.ready_to_start(task_ids))
