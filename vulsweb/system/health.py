"""How the system's parts are: which answer, what is late, and what to do. Reads only."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from vulsweb.executors.client import ExecutorClient
from vulsweb.executors.settings import MAIN, Executor
from vulsweb.system import services
from vulsweb.system.checks import ANSWER_SECONDS, Check, NoAnswer, State, ask
from vulsweb.system.services import Messages, Stored
from vulsweb.vuls import catalogue
from vulsweb.vuls.catalogue import DatabaseType, Profile

# All parts together may take so long to answer.
TIMEOUT_SECONDS = 2
# "Keep vulnerability databases updated monthly", and some days for a run that failed.
OLD_AFTER = timedelta(days=35)
# A database is fetched into a copy beside the live file, and the largest have some gigabytes.
LOW_DISK_BYTES = 5 * 10**9
FULL_DISK_BYTES = 10**9


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

    parts: tuple[Check, ...]
    sites: tuple["Site", ...]  # of the executors, the main one first

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Return the main executor's tools."""
        return self.sites[0].tools if self.sites else ()

    @property
    def databases(self) -> tuple[Database, ...]:
        """Return the main executor's databases."""
        return self.sites[0].databases if self.sites else ()

    @property
    def state(self) -> State:
        """Return the state of the worst part."""
        return max((part.state for part in self.parts), key=list(State).index)


@dataclass(frozen=True)
class Site:
    """What an executor has to work with; nothing where it does not answer."""

    name: str
    tags: tuple[str, ...]
    state: State
    tools: tuple[Tool, ...]
    databases: tuple[Database, ...]


@dataclass(frozen=True)
class Health:
    """The executor's answer, read with care: it may be older or newer than we are."""

    engine: str
    tools: tuple[Tool, ...]
    databases: tuple[Database, ...]
    disk: Mapping[str, int] = field(default_factory=dict)
    profile: Profile = Profile.CLASSIC  # one that does not tell knows no other
    misfit: str = ""  # what is wrong, in its words, where its Vuls does not go with its profile

    @property
    def useful(self) -> tuple[Database, ...]:
        """Return the databases that its profile is made of."""
        names = {entry.name for entry in catalogue.of_profile(self.profile)}
        return tuple(database for database in self.databases if database.name in names)

    @property
    def present(self) -> tuple[Database, ...]:
        """Return those of its profile's databases that have been fetched."""
        return tuple(database for database in self.useful if database.rows)

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the names of the tools that are not installed."""
        return tuple(tool.name for tool in self.tools if not tool.found)

    @property
    def vuls(self) -> str | None:
        """Return the version of Vuls, in the executor's words; None when it does not tell."""
        return next((tool.version for tool in self.tools if tool.name == "vuls"), None)


def read(config: Mapping[str, Any], now: datetime) -> System:
    """Ask all parts at once and return how they are, within some two seconds whatever is down."""
    executors: Sequence[Executor] = config["EXECUTORS"]
    stored, messages, *told = _at_once(
        partial(services.ask_postgresql, config["SQLALCHEMY_DATABASE_URI"]),
        partial(services.ask_redis, config["REDIS_URL"]),
        *(partial(_ask_executor, each, now) for each in executors),
    )
    return _describe(stored, messages, list(zip(executors, told, strict=True)), now)


def ask_executors(executors: Sequence[Executor], now: datetime) -> list[tuple[Executor, Health | NoAnswer]]:
    """Ask the executors alone, all at once and with the same patience."""
    told = _at_once(*(partial(_ask_executor, each, now) for each in executors))
    return list(zip(executors, told, strict=True))


def readiness(health: Health | NoAnswer) -> int:
    """Return how far an executor is from scanning: 0 where it does not answer, 3 where nothing is missing."""
    if isinstance(health, NoAnswer):
        return 0
    if health.missing or health.misfit:
        return 1
    return 3 if health.present else 2


def _at_once(*questions: Callable[[], Any]) -> list[Any]:
    pool = ThreadPoolExecutor(max_workers=len(questions))
    answers = [pool.submit(ask, question) for question in questions]
    wait(answers, timeout=TIMEOUT_SECONDS)
    # What still hangs (a name server, say) ends by itself; nobody waits for it.
    pool.shutdown(wait=False, cancel_futures=True)
    silence = NoAnswer(f"No answer within {TIMEOUT_SECONDS} seconds.")
    return [answer.result() if answer.done() else silence for answer in answers]


def _ask_executor(executor: Executor, now: datetime) -> Health:
    with ExecutorClient(executor, ANSWER_SECONDS) as client:
        told = client.health()
    tools = told.get("tools") or {}
    return Health(
        str(told.get("engine")),
        tuple(Tool(name, bool(tool), (tool or {}).get("version")) for name, tool in sorted(tools.items())),
        tuple(
            _database(name, (told.get("databases") or {}).get(name), now)
            for name in DatabaseType
            if name is not DatabaseType.ALL
        ),
        told.get("disk") or {},
        Profile(told.get("profile") or Profile.CLASSIC),
        str(told.get("misfit") or ""),
    )


def _database(name: DatabaseType, told: Mapping[str, Any] | None, now: datetime) -> Database:
    if not told:
        return Database(name)
    fetched_at = datetime.fromisoformat(told["fetched_at"]) if told["fetched_at"] else None
    old = fetched_at is None or now - fetched_at > OLD_AFTER
    return Database(name, told["rows"], fetched_at, told["size_bytes"], old)


def _describe(
    stored: Stored | NoAnswer,
    messages: Messages | NoAnswer,
    healths: Sequence[tuple[Executor, Health | NoAnswer]],
    now: datetime,
) -> System:
    worker = services.worker_check(messages)
    parts = [
        worker,
        services.beat_check(stored, now, worker_answers=worker.state is State.OK),
        services.redis_check(messages),
        services.postgresql_check(stored),
    ]
    for executor, health in healths:
        parts += _executor_checks(executor, health)
    return System(tuple(parts), tuple(_site(executor, health) for executor, health in healths))


def _site(executor: Executor, health: Health | NoAnswer) -> Site:
    state = executor_check(health).state
    known = None if isinstance(health, NoAnswer) else health
    tools, databases = (known.tools, known.useful) if known else ((), ())
    return Site(executor.name, executor.tags, state, tools, databases)


def _executor_checks(executor: Executor, health: Health | NoAnswer) -> list[Check]:
    known = None if isinstance(health, NoAnswer) else health
    parts = [executor_check(health, executor), _tools(known), _databases(known), _disk(known)]
    if executor.name == MAIN:
        return parts
    if known is None:
        del parts[1:]  # that they cannot be seen is said once
    return [
        replace(part, name=f"{part.name}-{executor.name}", label=f"{part.label}, {executor.name}")
        for part in parts
    ]


def executor_check(health: Health | NoAnswer, executor: Executor | None = None) -> Check:
    """Say how an executor is, and what to do where it does not answer."""
    hosts = f" It scans hosts with {' or '.join(executor.tags)}." if executor and executor.tags else ""
    if not isinstance(health, NoAnswer):
        return Check("executor", "Executor", State.OK, f"Answers; its engine is {health.engine}.{hosts}")
    setting = "what its api_key_file holds" if executor and executor.tags else "EXECUTOR_API_KEY"
    key = f"Verify that the API key matches between the services: {setting} is the same on both sides."
    idle = f"nothing runs there.{hosts}" if hosts else "nothing runs."
    if health.refused:
        says = f"The executor refuses our key, so {idle}"
        return Check("executor", "Executor", State.FAILED, says, (key,), health.why)
    advice = (
        "Check that the executor is running and accessible; with Docker, the vuls-executor container.",
        key,
        "With Docker, ensure that its socket's permissions are correct: the executor's user is in its group.",
    )
    says = f"The executor does not answer, so {idle}"
    return Check("executor", "Executor", State.FAILED, says, advice, health.why)


_UNSEEN = "Cannot be seen while the executor does not answer."
_EXECUTOR_FIRST = ("See what to do about the executor.",)


def _tools(health: Health | None) -> Check:
    if health is None:
        return Check("tools", "Scanner's tools", State.WARNING, _UNSEEN, _EXECUTOR_FIRST)
    if not health.missing and health.misfit:
        return Check("tools", "Scanner's tools", State.FAILED, health.misfit, (catalogue.PROFILE_VERSIONS,))
    if not health.missing:
        return Check("tools", "Scanner's tools", State.OK, "All are installed.")
    says = f"Not installed where the executor runs: {', '.join(health.missing)}."
    advice = ("Install Go and run make tools, or install Docker, then start Vuls Web again.",)
    return Check("tools", "Scanner's tools", State.FAILED, says, advice)


def _databases(health: Health | None) -> Check:
    name, label = "databases", "Vulnerability databases"
    if health is None:
        return Check(name, label, State.WARNING, _UNSEEN, _EXECUTOR_FIRST)
    old = [database.name.label for database in health.present if database.old]
    if not health.present:
        says = "None yet. Until there is one, scans cannot find anything."
        return Check(name, label, State.WARNING, says, ("Run a Database Update from the Scheduler.",))
    if not old:
        return Check(
            name, label, State.OK, f"{len(health.present)} of {len(health.useful)} are here and current."
        )
    advice = (
        "Keep vulnerability databases updated monthly: press Run Now on a Database Update.",
        "Should updates fail: check internet connectivity for downloading vulnerability data.",
        "Verify sufficient disk space for database storage.",
        "Review the error messages in the task's history.",
    )
    return Check(name, label, State.WARNING, f"Older than a month: {', '.join(old)}.", advice)


def _disk(health: Health | None) -> Check:
    if health is None:
        return Check("disk", "Disk", State.WARNING, _UNSEEN, _EXECUTOR_FIRST)
    if not {"free_bytes", "total_bytes"} <= health.disk.keys():
        return Check(
            "disk",
            "Disk",
            State.WARNING,
            "The executor does not tell.",
            ("Start the executor of this version.",),
        )
    free = health.disk["free_bytes"]
    says = f"{free / 1e9:,.1f} GB free of {health.disk['total_bytes'] / 1e9:,.0f} GB."
    if free >= LOW_DISK_BYTES:
        return Check("disk", "Disk", State.OK, says)
    advice = (
        "Verify sufficient disk space for database storage: an update needs room for a second copy.",
        "Free some space, or set VULSWEB_DATA_DIR to a folder on a larger disk.",
    )
    return Check("disk", "Disk", State.FAILED if free < FULL_DISK_BYTES else State.WARNING, says, advice)
