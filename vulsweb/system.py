"""How the system's parts are: which answer, what is late, and what to do. Reads only.

Uses no session of the application's, so that a database that is away costs seconds here and not minutes.
"""

import enum
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import redis
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from vulsweb import schedules
from vulsweb.executor_client import ExecutorClient, ExecutorError, JobRejected
from vulsweb.extensions import celery
from vulsweb.models import Heartbeat
from vulsweb.vuls.databases import DatabaseType

# One part may take this long to answer, and all of them together no longer than PATIENCE_SECONDS.
ANSWER_SECONDS = 1
PATIENCE_SECONDS = 2
TICK_EVERY = timedelta(minutes=1)
LATE = timedelta(seconds=30)
MISSING = timedelta(minutes=2)
# "Keep vulnerability databases updated monthly", and some days for a run that failed.
OLD_DATABASE = timedelta(days=35)
# A database is fetched into a copy beside the live file, and the largest have some gigabytes.
LITTLE_BYTES = 5 * 10**9
LEAST_BYTES = 10**9

T = TypeVar("T")


class State(enum.StrEnum):
    """How a part is; the system is as its worst part."""

    OK = "ok"
    WARNING = "warning"  # works, but somebody should look
    FAILED = "failed"  # does not work

    @property
    def label(self) -> str:
        """Return the word that people read."""
        return {"ok": "OK", "warning": "Warning", "failed": "Failed"}[self.value]


@dataclass(frozen=True)
class Part:
    """One part: what is the case, what to do about it, and since when."""

    name: str
    label: str
    state: State
    says: str
    advice: tuple[str, ...] = ()
    detail: str = ""  # technical, in the words of whoever said it
    at: datetime | None = None


@dataclass(frozen=True)
class Tool:
    """A tool of the scanner's, as the executor finds it."""

    name: str
    found: bool
    version: str | None


@dataclass(frozen=True)
class Database:
    """A vulnerability database; without rows it has never been fetched."""

    name: DatabaseType
    rows: int = 0
    fetched_at: datetime | None = None
    size_bytes: int = 0
    old: bool = False


@dataclass(frozen=True)
class System:
    """All parts at one moment."""

    parts: tuple[Part, ...]
    tools: tuple[Tool, ...]
    databases: tuple[Database, ...]

    @property
    def state(self) -> State:
        """Return the state of the worst part."""
        return max((part.state for part in self.parts), key=list(State).index)


@dataclass(frozen=True)
class Silence:
    """No answer, and why, in technical words."""

    why: str
    refused: bool = False  # it is there, but does not want us


@dataclass(frozen=True)
class _Stored:
    version: str
    ticked_at: datetime | None


@dataclass(frozen=True)
class _Messages:
    version: str
    workers: tuple[str, ...] | Silence


@dataclass(frozen=True)
class Health:
    """The executor's answer, read with care: it may be older or newer than we are."""

    engine: str
    tools: tuple[Tool, ...]
    databases: tuple[Database, ...]
    disk: Mapping[str, int] = field(default_factory=dict)

    @property
    def vuls(self) -> str | None:
        """Return the version of Vuls, in the executor's words; None when it does not tell."""
        return next((tool.version for tool in self.tools if tool.name == "vuls"), None)


def read(config: Mapping[str, Any], now: datetime) -> System:
    """Ask all parts at once and return how they are, within some two seconds whatever is down."""
    pool = ThreadPoolExecutor(max_workers=3)
    stored = pool.submit(_ask, _ask_postgresql, config["SQLALCHEMY_DATABASE_URI"])
    messages = pool.submit(_ask, _ask_redis, config["REDIS_URL"])
    health = pool.submit(_ask, _ask_executor, config["EXECUTOR_URL"], config["EXECUTOR_API_KEY"], now)
    asked: tuple[Future[Any], ...] = (stored, messages, health)
    wait(asked, timeout=PATIENCE_SECONDS)
    # What still hangs (a name server, say) ends by itself; nobody waits for it.
    pool.shutdown(wait=False, cancel_futures=True)
    return _describe(_told(stored), _told(messages), _told(health), now)


def health(config: Mapping[str, Any], now: datetime) -> Health | Silence:
    """Ask the executor alone, with the same patience."""
    pool = ThreadPoolExecutor(max_workers=1)
    answer: Future[Health | Silence] = pool.submit(
        _ask, _ask_executor, config["EXECUTOR_URL"], config["EXECUTOR_API_KEY"], now
    )
    wait([answer], timeout=PATIENCE_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    return _told(answer)


def _ask(question: Callable[..., T], *given: object) -> T | Silence:
    try:
        return question(*given)
    except DBAPIError as error:
        return Silence(str(error.orig).strip())
    except ExecutorError as error:
        return Silence(str(error.__cause__ or error), refused=isinstance(error, JobRejected))
    except (redis.RedisError, OperationalError, OSError) as error:
        return Silence(str(error))
    except (KeyError, TypeError, ValueError) as error:
        return Silence(f"The answer cannot be read: {error!r}")


def _told(answer: Future[T | Silence]) -> T | Silence:
    return answer.result() if answer.done() else Silence(f"No answer within {PATIENCE_SECONDS} seconds.")


def _ask_postgresql(url: str) -> _Stored:
    settings = {"connect_timeout": ANSWER_SECONDS, "options": "-c timezone=utc -c statement_timeout=1000"}
    engine = create_engine(url, poolclass=NullPool, connect_args=settings)
    with engine.connect() as connection:
        version = str(connection.scalar(text("SHOW server_version")))
        ticked = connection.scalar(select(Heartbeat.at).where(Heartbeat.name == schedules.TICK))
    return _Stored(version.split()[0], ticked)


def _ask_redis(url: str) -> _Messages:
    seconds: dict[str, Any] = {"socket_connect_timeout": ANSWER_SECONDS, "socket_timeout": ANSWER_SECONDS}
    with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **seconds) as client:
        told: dict[str, Any] = client.info("server")
    name = "Valkey" if "valkey_version" in told else "Redis"
    version = f"{name} {told.get('valkey_version') or told.get('redis_version')}"
    return _Messages(version, _ask(_ask_workers))


def _ask_workers() -> tuple[str, ...]:
    # One is enough: with `limit` the first answer ends the waiting.
    answers = celery.control.ping(timeout=ANSWER_SECONDS, limit=1)
    return tuple(name for answer in answers or () for name in answer)


def _ask_executor(url: str, key: str, now: datetime) -> Health:
    with ExecutorClient(url, key, ANSWER_SECONDS) as client:
        told = client.health()
    tools = told.get("tools") or {}
    return Health(
        str(told.get("engine")),
        tuple(Tool(name, bool(tool), (tool or {}).get("version")) for name, tool in sorted(tools.items())),
        databases(told.get("databases") or {}, now),
        told.get("disk") or {},
    )


def databases(told: Mapping[str, Any], now: datetime) -> tuple[Database, ...]:
    """Return all databases that there can be, as the executor tells of them."""
    return tuple(
        _database(name, told.get(name), now) for name in DatabaseType if name is not DatabaseType.ALL
    )


def _database(name: DatabaseType, told: Mapping[str, Any] | None, now: datetime) -> Database:
    if not told:
        return Database(name)
    fetched_at = datetime.fromisoformat(told["fetched_at"]) if told["fetched_at"] else None
    old = fetched_at is None or now - fetched_at > OLD_DATABASE
    return Database(name, told["rows"], fetched_at, told["size_bytes"], old)


def _describe(
    stored: _Stored | Silence, messages: _Messages | Silence, health: Health | Silence, now: datetime
) -> System:
    worker = _worker(messages)
    known = None if isinstance(health, Silence) else health
    return System(
        (
            worker,
            _beat(stored, now, worker_answers=worker.state is State.OK),
            _redis(messages),
            _postgresql(stored),
            executor_part(health),
            _tools(known),
            _databases(known),
            _disk(known),
        ),
        known.tools if known else (),
        known.databases if known else (),
    )


def _worker(messages: _Messages | Silence) -> Part:
    silent = messages if isinstance(messages, Silence) else messages.workers
    if isinstance(messages, Silence):
        says = "Cannot be asked while Redis does not answer; no task runs."
    elif not isinstance(silent, Silence) and silent:
        return Part("worker", "Worker", State.OK, f"{silent[0]} answers.")
    else:
        says = "No Celery worker answers, so no task runs."
    advice = (
        "Verify that the Celery worker and Redis services are running.",
        "Review the Celery worker's log: it says why the worker ended or what it waits for.",
    )
    why = silent.why if isinstance(silent, Silence) else ""
    return Part("worker", "Worker", State.FAILED, says, advice, why)


def _beat(stored: _Stored | Silence, now: datetime, *, worker_answers: bool) -> Part:
    advice = (
        "Ensure that the Celery worker and scheduler (beat) services are running.",
        "Review the log of beat: a task that is due waits for the next tick.",
    )
    if isinstance(stored, Silence):
        says = "The last tick is not known while PostgreSQL cannot be used."
        return Part("beat", "Beat", State.WARNING, says, ("See what to do about PostgreSQL.",))
    if stored.ticked_at is None:
        says = "No tick yet. The first one comes within a minute of the start."
        return Part("beat", "Beat", State.WARNING, says, advice)
    late = now - stored.ticked_at - TICK_EVERY
    if late <= LATE:
        return Part("beat", "Beat", State.OK, "Ticks each minute.", at=stored.ticked_at)
    says = f"The last tick is {_minutes(late)} late, so tasks that are due do not start."
    if not worker_answers:
        says = f"The last tick is {_minutes(late)} late; while no worker answers, none can arrive."
    state = State.FAILED if late > MISSING and worker_answers else State.WARNING
    return Part("beat", "Beat", state, says, advice, at=stored.ticked_at)


def _minutes(late: timedelta) -> str:
    minutes = int(late.total_seconds()) // 60
    if minutes >= 120:
        return f"{minutes // 60} h"
    return f"{minutes} min" if minutes else f"{int(late.total_seconds())} s"


def _redis(messages: _Messages | Silence) -> Part:
    if not isinstance(messages, Silence):
        return Part("redis", "Redis", State.OK, f"{messages.version} answers.")
    advice = (
        "Verify that the Redis service is running and that REDIS_URL is right.",
        "Nothing is lost meanwhile: what waits is in PostgreSQL and goes on by itself.",
    )
    return Part("redis", "Redis", State.FAILED, "Redis does not answer.", advice, messages.why)


def _postgresql(stored: _Stored | Silence) -> Part:
    if not isinstance(stored, Silence):
        return Part("postgresql", "PostgreSQL", State.OK, f"PostgreSQL {stored.version} answers.")
    advice = (
        "Verify that the PostgreSQL service is running and that DATABASE_URL is right.",
        "Check system resources: with a full disk it stops.",
        "If tables are missing, run: vulsweb prepare",
    )
    return Part("postgresql", "PostgreSQL", State.FAILED, "PostgreSQL cannot be used.", advice, stored.why)


def executor_part(health: Health | Silence) -> Part:
    """Say how the executor is, and what to do where it does not answer."""
    if not isinstance(health, Silence):
        return Part("executor", "Executor", State.OK, f"Answers; its engine is {health.engine}.")
    key = "Verify that the API key matches between the services: EXECUTOR_API_KEY is the same on both sides."
    if health.refused:
        says = "The executor refuses our key, so nothing runs."
        return Part("executor", "Executor", State.FAILED, says, (key,), health.why)
    advice = (
        "Check that the executor is running and accessible; with Docker, the vuls-executor container.",
        key,
        "With Docker, ensure that its socket's permissions are correct: the executor's user is in its group.",
    )
    says = "The executor does not answer, so nothing runs."
    return Part("executor", "Executor", State.FAILED, says, advice, health.why)


_UNSEEN = "Cannot be seen while the executor does not answer."
_EXECUTOR_FIRST = ("See what to do about the executor.",)


def _tools(health: Health | None) -> Part:
    if health is None:
        return Part("tools", "Scanner's tools", State.WARNING, _UNSEEN, _EXECUTOR_FIRST)
    missing = [tool.name for tool in health.tools if not tool.found]
    if not missing:
        return Part("tools", "Scanner's tools", State.OK, "All are installed.")
    says = f"Not installed where the executor runs: {', '.join(missing)}."
    advice = ("Install Go and run make tools, or install Docker, then start Vuls Web again.",)
    return Part("tools", "Scanner's tools", State.FAILED, says, advice)


def _databases(health: Health | None) -> Part:
    name, label = "databases", "Vulnerability databases"
    if health is None:
        return Part(name, label, State.WARNING, _UNSEEN, _EXECUTOR_FIRST)
    present = [database for database in health.databases if database.rows]
    old = [database.name.label for database in present if database.old]
    if not present:
        says = "None yet. Until there is one, scans cannot find anything."
        return Part(name, label, State.WARNING, says, ("Run a Database Update from the Scheduler.",))
    if not old:
        return Part(name, label, State.OK, f"{len(present)} of {len(health.databases)} are here and current.")
    advice = (
        "Keep vulnerability databases updated monthly: press Run Now on a Database Update.",
        "Should updates fail: check internet connectivity for downloading vulnerability data.",
        "Verify sufficient disk space for database storage.",
        "Review the error messages in the task's history.",
    )
    return Part(name, label, State.WARNING, f"Older than a month: {', '.join(old)}.", advice)


def _disk(health: Health | None) -> Part:
    if health is None:
        return Part("disk", "Disk", State.WARNING, _UNSEEN, _EXECUTOR_FIRST)
    if not {"free_bytes", "total_bytes"} <= health.disk.keys():
        return Part(
            "disk",
            "Disk",
            State.WARNING,
            "The executor does not tell.",
            ("Start the executor of this version.",),
        )
    free = health.disk["free_bytes"]
    says = f"{free / 1e9:,.1f} GB free of {health.disk['total_bytes'] / 1e9:,.0f} GB."
    if free >= LITTLE_BYTES:
        return Part("disk", "Disk", State.OK, says)
    advice = (
        "Verify sufficient disk space for database storage: an update needs room for a second copy.",
        "Free some space, or set VULSWEB_DATA_DIR to a folder on a larger disk.",
    )
    return Part("disk", "Disk", State.FAILED if free < LEAST_BYTES else State.WARNING, says, advice)
