"""The health of PostgreSQL, Redis, worker and beat.

Uses its own database connection: with the application's session, an unreachable database would block for
minutes instead of seconds.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.pool import NullPool

from vulsweb.extensions import celery
from vulsweb.models import Heartbeat, heartbeat
from vulsweb.system.checks import (
    ANSWER_SECONDS,
    NTP,
    SKEW,
    Check,
    NoAnswer,
    State,
    ask,
    clock_ahead,
    skew_message,
)

PING_SECONDS = 1  # passes in full if no worker runs
TICK_EVERY = timedelta(minutes=1)
LATE_AFTER = timedelta(seconds=30)
MISSING_AFTER = timedelta(minutes=2)


@dataclass(frozen=True)
class PostgresqlInfo:
    """What PostgreSQL reports."""

    version: str
    ticked_at: datetime | None  # the last tick of beat
    ahead: timedelta = timedelta()  # how far its clock is ahead of ours; negative: behind


@dataclass(frozen=True)
class RedisInfo:
    """What Redis reports, and the workers that answer through it."""

    version: str
    workers: tuple[str, ...] | NoAnswer


def ask_postgresql(url: str) -> PostgresqlInfo:
    """Ask PostgreSQL for its version and for the last tick of beat."""
    settings = {
        "connect_timeout": ANSWER_SECONDS,
        "options": f"-c timezone=utc -c statement_timeout={1000 * ANSWER_SECONDS}",
    }
    engine = create_engine(url, poolclass=NullPool, connect_args=settings)
    with engine.connect() as connection:
        version = str(connection.scalar(text("SHOW server_version")))
        ticked = connection.scalar(select(Heartbeat.at).where(Heartbeat.name == heartbeat.TICK))
        asked = datetime.now(UTC)
        its_time: datetime = connection.scalars(select(func.clock_timestamp())).one()
        answered = datetime.now(UTC)
    return PostgresqlInfo(version.split()[0], ticked, clock_ahead(its_time, asked, answered))


def ask_redis(url: str) -> RedisInfo:
    """Ask Redis for its version, and a worker for an answer."""
    seconds: dict[str, Any] = {"socket_connect_timeout": ANSWER_SECONDS, "socket_timeout": ANSWER_SECONDS}
    with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **seconds) as client:
        info: dict[str, Any] = client.info("server")
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = f"{name} {info.get('valkey_version') or info.get('redis_version')}"

    def ping_workers() -> tuple[str, ...]:
        # One worker is enough: with `limit`, the first answer ends the wait.
        answers = celery.control.ping(timeout=PING_SECONDS, limit=1)
        return tuple(name for answer in answers or () for name in answer)

    return RedisInfo(version, ask(ping_workers))


def worker_check(info: RedisInfo | NoAnswer) -> Check:
    """Check whether a worker answers."""
    workers = info if isinstance(info, NoAnswer) else info.workers
    if isinstance(info, NoAnswer):
        message = "Unknown while Redis does not answer. No task can run."
    elif not isinstance(workers, NoAnswer) and workers:
        return Check("worker", "Worker", State.OK, f"{workers[0]} answers.")
    else:
        message = "No Celery worker answers, so no task runs."
    advice = (
        "Verify that the Celery worker and Redis services are running.",
        "Review the Celery worker log for why the worker stopped or what it is waiting for.",
    )
    reason = workers.reason if isinstance(workers, NoAnswer) else ""
    return Check("worker", "Worker", State.FAILED, message, advice, reason)


def beat_check(info: PostgresqlInfo | NoAnswer, now: datetime) -> Check:
    """Check when beat last ticked."""
    advice = (
        "Ensure that the scheduler (beat) service is running.",
        "Review the beat log. Due tasks start at the next tick.",
    )
    if isinstance(info, NoAnswer):
        message = "Unknown while PostgreSQL is not available."
        return Check("beat", "Beat", State.WARNING, message, ("Fix PostgreSQL first.",))
    if info.ticked_at is None:
        message = "No tick yet. The first one comes within a minute of the start."
        return Check("beat", "Beat", State.WARNING, message, advice)
    late = now - info.ticked_at - TICK_EVERY
    if -(TICK_EVERY + SKEW) <= late <= LATE_AFTER:
        return Check("beat", "Beat", State.OK, "Starts due tasks every minute.", at=info.ticked_at)
    if late < -(TICK_EVERY + SKEW):
        ahead = -int((late + TICK_EVERY).total_seconds())
        message = f"The last tick is {ahead} s in the future: a clock was set back, or clocks differ."
        return Check("beat", "Beat", State.WARNING, message, ("Compare the clocks of all machines.",))
    seconds = int(late.total_seconds())
    delay = f"{seconds // 3600} h" if seconds >= 7200 else f"{seconds // 60} min"
    delay = delay if seconds >= 60 else f"{seconds} s"
    message = f"The last tick is {delay} late, so due tasks do not start."
    state = State.FAILED if late > MISSING_AFTER else State.WARNING
    return Check("beat", "Beat", state, message, advice, at=info.ticked_at)


def redis_check(info: RedisInfo | NoAnswer) -> Check:
    """Check whether Redis answers."""
    if not isinstance(info, NoAnswer):
        return Check("redis", "Redis", State.OK, f"{info.version} answers.")
    advice = (
        (
            "Verify that the Redis service is running and that REDIS_URL is correct"
            " (with Docker: redis_url in the secrets folder)."
        ),
        "Nothing is lost: waiting runs are stored in PostgreSQL and start once Redis is back.",
    )
    return Check("redis", "Redis", State.FAILED, "Redis does not answer.", advice, info.reason)


def postgresql_check(info: PostgresqlInfo | NoAnswer) -> Check:
    """Check whether PostgreSQL answers."""
    if not isinstance(info, NoAnswer) and abs(info.ahead) > SKEW:
        return Check("postgresql", "PostgreSQL", State.WARNING, skew_message(info.ahead), (NTP,))
    if not isinstance(info, NoAnswer):
        return Check("postgresql", "PostgreSQL", State.OK, f"PostgreSQL {info.version} answers.")
    advice = (
        (
            "Verify that the PostgreSQL service is running and that DATABASE_URL is correct"
            " (with Docker: database_url in the secrets folder)."
        ),
        "Check system resources: PostgreSQL stops when the disk is full.",
        "If tables are missing, run `vulsweb prepare` (with Docker: `make up`).",
    )
    return Check(
        "postgresql", "PostgreSQL", State.FAILED, "PostgreSQL is not available.", advice, info.reason
    )
