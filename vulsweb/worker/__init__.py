"""The Celery functions and their schedule; thin: call, commit, send."""

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
from vulsweb.accounts import attempts
from vulsweb.audit import chain
from vulsweb.executors import settings as executor_settings
from vulsweb.executors.client import ExecutorClients, ExecutorError, ExecutorUnavailable
from vulsweb.executors.settings import MAIN, Executor, for_tags
from vulsweb.extensions import db
from vulsweb.hosts import connection_tests, sync_requests
from vulsweb.models import HostKeyOffer, Trigger
from vulsweb.notifications import outbox, pings, sending
from vulsweb.runs import detections, lifecycle, starting
from vulsweb.runs import jobs as run_jobs
from vulsweb.ssh import host_keys, known_hosts
from vulsweb.worker import followups, launches, outgoing
from vulsweb.worker.outages import Outages
from vulsweb.worker.repeats import drop_repeats

log = logging.getLogger(__name__)
outages = Outages(log)

FOLLOW_SECONDS = 2
SWEEP_SECONDS = 60
NOTIFY_SECONDS = 5
# A part of these times: of two messages that are closer than that, the second only waited.
REPEATS = 4
RUNS_PER_BATCH = 500
# A worker that hangs where no exception reaches it is replaced this much later.
KILL_AFTER = 10
NO_EXECUTOR = "Its executor is no longer configured."

# The queue of beat's messages. Beat looks into it, and adds none while they are not taken.
PERIODIC = "periodic"

BEAT: dict[str, dict[str, Any]] = {
    "follow_tests": {
        "task": "vulsweb.follow_tests",
        "kwargs": {"by_beat": True},
        "schedule": FOLLOW_SECONDS,
    },
    "notify": {
        "task": "vulsweb.notify",
        "kwargs": {"by_beat": True},
        "schedule": NOTIFY_SECONDS,
    },
    "ping_tasks": {
        "task": "vulsweb.ping_tasks",
        "kwargs": {"by_beat": True},
        "schedule": NOTIFY_SECONDS,
    },
    "watch": {"task": "vulsweb.watch", "kwargs": {"by_beat": True}, "schedule": SWEEP_SECONDS},
    "sweep": {"task": "vulsweb.sweep", "kwargs": {"by_beat": True}, "schedule": SWEEP_SECONDS},
    # At night, after most scans have started and before people are at work.
    "prune": {"task": "vulsweb.prune", "schedule": crontab(hour="3", minute="30")},
}


def beat_table(executors: Sequence[Executor]) -> dict[str, dict[str, Any]]:
    """Return the beat schedule.

    Each executor has its own entry, so that none waits for another. No entry expires: that would compare the
    clocks of beat and worker, and a worker that is two seconds ahead would never follow a run.
    """
    follow = {
        f"follow_runs {executor.name}": {
            "task": "vulsweb.follow_runs",
            "args": (executor.name,),
            "kwargs": {"by_beat": True},
            "schedule": FOLLOW_SECONDS,
        }
        for executor in executors
    }
    return BEAT | follow


@shared_task(name="vulsweb.tick")
def tick() -> int:
    """Queue a run of every due task; return how many.

    Beat runs it each minute, in its own process: see `worker.scheduler`.
    """
    count = 0
    # First the tasks that nobody has locked, then the others: their slots must not wait a minute.
    for wait in (False, True):
        while (run_ids := starting.start_due_tasks(datetime.now(UTC), wait_for_locks=wait)) is not None:
            db.session.commit()  # a worker must see the run when the message arrives
            messages.send_runs(run_ids)
            count += len(run_ids)
    if task_ids := detections.due():
        started = starting.start_many(task_ids, trigger=Trigger.UPDATE, now=datetime.now(UTC))
        db.session.commit()
        messages.send_runs(started.run_ids)
        count += len(started.run_ids)
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
@drop_repeats(FOLLOW_SECONDS / REPEATS)
def follow_runs(executor: str = MAIN) -> None:
    """Poll one executor for its jobs, and store its replies."""
    with db.engine.connect() as connection, ExecutorClients(executor_settings.configured()) as clients:
        # An executor that hangs must not keep more than one worker busy.
        lock = func.pg_try_advisory_xact_lock(func.hashtext(f"follow {executor}"))
        jobs = run_jobs.to_poll(executor) if connection.scalar(select(lock)) else []
        db.session.commit()
        if not jobs:
            return
        try:
            messages.send_runs(clients.ask(executor, lambda client: followups.follow(client, jobs)))
            outages.answered(f"executor {executor}")
        except ExecutorError as error:
            db.session.rollback()
            outages.failed(f"executor {executor}", error)


@shared_task(name="vulsweb.follow_tests")
@drop_repeats(FOLLOW_SECONDS / REPEATS)
def follow_tests() -> None:
    """Poll the executors for the active connection tests, and store their results."""
    with ExecutorClients(executor_settings.configured()) as clients:
        for test in connection_tests.claim_active():
            now = datetime.now(UTC)
            if connection_tests.expire_if_late(test, now):
                continue
            name = for_tags(executor_settings.configured(), test.host.tags).name
            try:
                clients.ask(name, partial(followups.follow_test, test=test, now=now))
            except ExecutorError as error:
                connection_tests.fail(test, str(error), now)
    db.session.commit()


@shared_task(name="vulsweb.sweep")
@drop_repeats(SWEEP_SECONDS / REPEATS)
def sweep() -> None:
    """Send stranded runs again; end overdue runs and lost jobs."""
    now = datetime.now(UTC)
    for sync_id in sync_requests.unclaimed(now):
        messages.send_sync(sync_id)
    executors = executor_settings.configured()
    with ExecutorClients(executors) as clients:
        down = {executor.name for executor in executors if not followups.answers(clients, executor.name)}
        messages.send_runs(lifecycle.stranded(now, down))
        messages.send_runs(followups.end_overdue(clients, current_app.config["RUN_TIMEOUT"], now))
        messages.send_runs(followups.follow_again(now))
        for executor in executors:
            messages.send_runs(followups.rescue(clients, executor.name, now))
    for job_id, run_id in run_jobs.of_removed_executors(executors):
        messages.send_runs(followups.give_up(run_id, job_id, NO_EXECUTOR))


@shared_task(name="vulsweb.notify", soft_time_limit=sending.SECONDS, time_limit=sending.SECONDS + KILL_AFTER)
@drop_repeats(NOTIFY_SECONDS / REPEATS)
def notify() -> None:
    """Write due digests and send the next message; ask for another turn.

    One message a turn and one turn at a time, so that a mail server that hangs holds one worker, and not for
    longer than its time limit.
    """
    now = datetime.now(UTC)
    outgoing.write_digests(now)
    db.session.commit()
    if outgoing.send_next(current_app.config, now):
        messages.send_notify()


@shared_task(
    name="vulsweb.ping_tasks",
    soft_time_limit=4 * outgoing.PING_SECONDS,
    time_limit=4 * outgoing.PING_SECONDS + KILL_AFTER,
)
@drop_repeats(NOTIFY_SECONDS / REPEATS)
def ping_tasks() -> None:
    """Report the runs of tasks to their outside services."""
    outgoing.ping_tasks(current_app.config["SECRET_KEY"], datetime.now(UTC))


@shared_task(name="vulsweb.watch")
@drop_repeats(SWEEP_SECONDS / REPEATS)
def watch() -> None:
    """Ping the outside; tell of parts that fail or recover."""
    if url := current_app.config["PING_URL"]:
        if problem := pings.ping(url, datetime.now(UTC)):
            outages.failed("ping", problem)
        else:
            outages.answered("ping")
    outgoing.watch_parts(current_app.config, datetime.now(UTC))
    db.session.commit()


@shared_task(name="vulsweb.prune")
def prune() -> int:
    """Delete the runs older than KEEP_RUNS in batches, and return how many."""
    now = datetime.now(UTC)
    idempotency.prune_keys(now)
    attempts.prune(now)
    before = now - current_app.config["KEEP_RUNS"]
    connection_tests.prune(before)
    outbox.prune(before)
    chain.prune(now - current_app.config["KEEP_AUDIT"])
    count = 0
    while deleted := lifecycle.prune(before, RUNS_PER_BATCH):
        db.session.commit()
        count += deleted
    db.session.commit()
    log.info("prune: deleted %d runs created before %s", count, before)
    return count


@shared_task(name="vulsweb.stop_jobs", autoretry_for=(ExecutorUnavailable,), retry_backoff=True)
def stop_jobs(executor: str, job_ids: Sequence[str]) -> None:
    """Ask an executor to stop jobs whose runs were deleted."""
    with ExecutorClients(executor_settings.configured()) as clients:
        for job_id in job_ids:
            followups.stop(clients, executor, job_id)


@shared_task(name="vulsweb.sync_hosts")
def sync_hosts(sync_id: int) -> None:
    """Update the hosts from config.toml, and store the result."""
    sync = sync_requests.claim(sync_id)
    if sync is not None:
        sync_requests.perform(sync, current_app.config["VULS_CONFIG"], datetime.now(UTC))
    db.session.commit()


@shared_task(name="vulsweb.fetch_host_keys")
def fetch_host_keys(offer_id: int) -> None:
    """Fetch a host's keys for a user to compare and accept."""
    offer = db.session.get(HostKeyOffer, offer_id)
    if offer is None or offer.finished_at is not None:
        return
    hostname, port = offer.hostname, offer.port
    db.session.commit()  # no lock is held while the host answers
    try:
        known_hosts.record_keys(offer, host_keys.scan(hostname, port), datetime.now(UTC))
    except (host_keys.ScanFailed, host_keys.HostRefused) as error:
        known_hosts.record_error(offer, str(error), datetime.now(UTC))
    db.session.commit()
