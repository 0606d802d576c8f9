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
from kombu.exceptions import OperationalError
from sqlalchemy import func, select

from vulsweb import (
    conclusions,
    connection_tests,
    host_keys,
    host_syncs,
    idempotency,
    known_hosts,
    run_jobs,
    runs,
    schedules,
)
from vulsweb.executor_client import ExecutorClients, ExecutorError, ExecutorUnavailable
from vulsweb.executors import MAIN, Executor, for_tags
from vulsweb.extensions import db
from vulsweb.models import HostKeyOffer
from vulsweb.worker import followups, launches

log = logging.getLogger(__name__)

FOLLOW_SECONDS = 2
IDS_A_MESSAGE = 100
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
        while (run_ids := schedules.start_due_tasks(datetime.now(UTC), patient=patient)) is not None:
            db.session.commit()  # a worker must never be handed an id it cannot see
            send(run_ids)
            count += len(run_ids)
    schedules.note_tick(datetime.now(UTC))
    db.session.commit()
    return count


@shared_task(name="vulsweb.launch_runs")
def launch_runs(run_ids: Sequence[int]) -> None:
    """Claim each run and ask the executors for its jobs."""
    with ExecutorClients(executors()) as clients:
        for run_id in run_ids:
            send(launches.launch(clients, executors(), run_id))


@shared_task(name="vulsweb.follow_runs")
def follow_runs(executor: str = MAIN) -> None:
    """Ask one executor about its jobs, keep what it says, and conclude those that ended."""
    with db.engine.connect() as alone, ExecutorClients(executors()) as clients:
        # One that hangs must not keep more than one of the workers.
        lock = func.pg_try_advisory_xact_lock(func.hashtext(f"follow {executor}"))
        known = run_jobs.to_ask_about(executor) if alone.scalar(select(lock)) else []
        db.session.commit()
        if not known:
            return
        try:
            send(clients.ask(executor, lambda client: followups.follow(client, known)))
        except ExecutorError as error:
            db.session.rollback()
            log.warning("follow_runs: %s", error)


@shared_task(name="vulsweb.follow_tests")
def follow_tests() -> None:
    """Ask the executor for each connection test that is not over, and keep what came of it."""
    with ExecutorClients(executors()) as clients:
        for test in connection_tests.active():
            now = datetime.now(UTC)
            if connection_tests.expire(test, now):
                continue
            name = for_tags(executors(), test.host.tags).name
            try:
                clients.ask(name, partial(followups.follow_test, test=test, now=now))
            except ExecutorError as error:
                connection_tests.fail(test, str(error), now)
    db.session.commit()


@shared_task(name="vulsweb.sweep")
def sweep() -> None:
    """Rescue stranded runs: send again, stop what is overdue, fail what the executors have lost."""
    now = datetime.now(UTC)
    for sync_id in host_syncs.lost(now):
        send_sync(sync_id)
    with ExecutorClients(executors()) as clients:
        down = {each.name for each in executors() if not followups.answers(clients, each.name)}
        send(runs.to_launch_again(now, down))
        _end_overdue(clients, now)
        for executor in executors():
            send(followups.rescue(clients, executor.name, now))
    for job_id, run_id in run_jobs.left_behind(executors()):
        send(followups.give_up(run_id, job_id, NO_EXECUTOR))


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
def stop_jobs(executor: str, job_ids: Sequence[str]) -> None:
    """Have an executor stop jobs whose runs are gone."""
    with ExecutorClients(executors()) as clients:
        for job_id in job_ids:
            followups.stop(clients, executor, job_id)


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


def stop(jobs: Sequence[tuple[str, str]]) -> None:
    """Have jobs stopped soon, by executor and id; with Redis away they run to their end, for nobody."""
    theirs: dict[str, list[str]] = {}
    for executor, job_id in jobs:
        theirs.setdefault(executor, []).append(job_id)
    try:
        for executor, job_ids in theirs.items():
            stop_jobs.delay(executor, job_ids)
    except OperationalError as error:
        log.warning("jobs %s go on: Redis does not answer: %s", jobs, error)


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


def executors() -> Sequence[Executor]:
    """Return the configured executors, the main one first."""
    found: Sequence[Executor] = current_app.config["EXECUTORS"]
    return found


def _end_overdue(clients: ExecutorClients, now: datetime) -> None:
    late = runs.overdue(now, current_app.config["RUN_TIMEOUT"])
    jobs, task_ids = run_jobs.still_open([run.id for run in late]), [run.task_id for run in late]
    for run in late:
        conclusions.time_out(run, now)
        log.warning("run %d: past its deadline", run.id)
    db.session.commit()
    for executor, job_id in jobs:
        with contextlib.suppress(ExecutorError):
            followups.stop(clients, executor, job_id)
    send(runs.ready(task_ids))
