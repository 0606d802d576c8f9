"""How PostgreSQL, Redis, worker and beat are.

Uses no session of the application's, so that a database that is away costs seconds here and not minutes.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import create_engine, select, text
from sqlalchemy.pool import NullPool

from vulsweb.extensions import celery
from vulsweb.models import Heartbeat, heartbeat
from vulsweb.system.checks import ANSWER_SECONDS, Check, NoAnswer, State, ask

TICK_EVERY = timedelta(minutes=1)
LATE_AFTER = timedelta(seconds=30)
MISSING_AFTER = timedelta(minutes=2)


@dataclass(frozen=True)
class Stored:
    """What PostgreSQL tells."""

    version: str
    ticked_at: datetime | None


@dataclass(frozen=True)
class Messages:
    """What Redis tells, and who answers by way of it."""

    version: str
    workers: tuple[str, ...] | NoAnswer


def ask_postgresql(url: str) -> Stored:
    """Ask PostgreSQL for its version, and when beat last ticked."""
    settings = {"connect_timeout": ANSWER_SECONDS, "options": "-c timezone=utc -c statement_timeout=1000"}
    engine = create_engine(url, poolclass=NullPool, connect_args=settings)
    with engine.connect() as connection:
        version = str(connection.scalar(text("SHOW server_version")))
        ticked = connection.scalar(select(Heartbeat.at).where(Heartbeat.name == heartbeat.TICK))
    return Stored(version.split()[0], ticked)


def ask_redis(url: str) -> Messages:
    """Ask Redis for its version, and through it for a worker."""
    seconds: dict[str, Any] = {"socket_connect_timeout": ANSWER_SECONDS, "socket_timeout": ANSWER_SECONDS}
    with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **seconds) as client:
        told: dict[str, Any] = client.info("server")
    name = "Valkey" if "valkey_version" in told else "Redis"
    version = f"{name} {told.get('valkey_version') or told.get('redis_version')}"
    return Messages(version, ask(_ask_workers))


def _ask_workers() -> tuple[str, ...]:
    # One is enough: with `limit` the first answer ends the waiting.
    answers = celery.control.ping(timeout=ANSWER_SECONDS, limit=1)
    return tuple(name for answer in answers or () for name in answer)


def worker_check(messages: Messages | NoAnswer) -> Check:
    """Say how the workers are."""
    silent = messages if isinstance(messages, NoAnswer) else messages.workers
    if isinstance(messages, NoAnswer):
        says = "Cannot be asked while Redis does not answer; no task runs."
    elif not isinstance(silent, NoAnswer) and silent:
        return Check("worker", "Worker", State.OK, f"{silent[0]} answers.")
    else:
        says = "No Celery worker answers, so no task runs."
    advice = (
        "Verify that the Celery worker and Redis services are running.",
        "Review the Celery worker's log: it says why the worker ended or what it waits for.",
    )
    why = silent.why if isinstance(silent, NoAnswer) else ""
    return Check("worker", "Worker", State.FAILED, says, advice, why)


def beat_check(stored: Stored | NoAnswer, now: datetime, *, worker_answers: bool) -> Check:
    """Say how beat is, by its last tick."""
    advice = (
        "Ensure that the Celery worker and scheduler (beat) services are running.",
        "Review the log of beat: a task that is due waits for the next tick.",
    )
    if isinstance(stored, NoAnswer):
        says = "The last tick is not known while PostgreSQL cannot be used."
        return Check("beat", "Beat", State.WARNING, says, ("See what to do about PostgreSQL.",))
    if stored.ticked_at is None:
        says = "No tick yet. The first one comes within a minute of the start."
        return Check("beat", "Beat", State.WARNING, says, advice)
    late = now - stored.ticked_at - TICK_EVERY
    if late <= LATE_AFTER:
        return Check("beat", "Beat", State.OK, "Ticks each minute.", at=stored.ticked_at)
    says = f"The last tick is {_minutes(late)} late, so tasks that are due do not start."
    if not worker_answers:
        says = f"The last tick is {_minutes(late)} late; while no worker answers, none can arrive."
    state = State.FAILED if late > MISSING_AFTER and worker_answers else State.WARNING
    return Check("beat", "Beat", state, says, advice, at=stored.ticked_at)


def _minutes(late: timedelta) -> str:
    minutes = int(late.total_seconds()) // 60
    if minutes >= 120:
        return f"{minutes // 60} h"
    return f"{minutes} min" if minutes else f"{int(late.total_seconds())} s"


def redis_check(messages: Messages | NoAnswer) -> Check:
    """Say how Redis is."""
    if not isinstance(messages, NoAnswer):
        return Check("redis", "Redis", State.OK, f"{messages.version} answers.")
    advice = (
        "Verify that the Redis service is running and that REDIS_URL is right.",
        "Nothing is lost meanwhile: what waits is in PostgreSQL and goes on by itself.",
    )
    return Check("redis", "Redis", State.FAILED, "Redis does not answer.", advice, messages.why)


def postgresql_check(stored: Stored | NoAnswer) -> Check:
    """Say how PostgreSQL is."""
    if not isinstance(stored, NoAnswer):
        return Check("postgresql", "PostgreSQL", State.OK, f"PostgreSQL {stored.version} answers.")
    advice = (
        "Verify that the PostgreSQL service is running and that DATABASE_URL is right.",
        "Check system resources: with a full disk it stops.",
        "If tables are missing, run: vulsweb prepare",
    )
    return Check("postgresql", "PostgreSQL", State.FAILED, "PostgreSQL cannot be used.", advice, stored.why)
