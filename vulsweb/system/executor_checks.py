"""The health of executors: their tools, databases and disks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Self

from flask import current_app

from vulsweb.executors.client import ExecutorClient
from vulsweb.executors.settings import MAIN, Executor
from vulsweb.system.checks import (
    ANSWER_SECONDS,
    NTP,
    SKEW,
    Check,
    NoAnswer,
    State,
    ask_all,
    clock_ahead,
    skew_message,
)
from vulsweb.vuls import catalogue, releases
from vulsweb.vuls.catalogue import DatabaseType, Profile

# "Keep vulnerability databases updated monthly", and a few days for a failed update.
OLD_AFTER = timedelta(days=35)
# An update writes a copy beside the live file, and the largest databases have several gigabytes.
LOW_DISK_BYTES = 5 * 10**9
LOW_MEMORY = 0.05  # of all memory
FULL_DISK_BYTES = 10**9
_TOOLS, _DATABASES, _DISK = "Scanner tools", "Vulnerability databases", "Disk"  # labels
_MACHINE = "CPU and memory"


@dataclass(frozen=True)
class Tool:
    """One of the scanner's tools."""

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
    locked: bool = False  # another program has its file for itself
    made_at: datetime | None = None  # when its content was made; older executors do not say
    digest: str | None = None  # of its content

    @property
    def still(self) -> bool:
        """Return whether updates succeed but bring nothing new."""
        if self.made_at is None or self.fetched_at is None:
            return False
        limit: timedelta = current_app.config["STILL_AFTER"]
        return self.fetched_at - self.made_at > limit

    @classmethod
    def from_reply(cls, name: DatabaseType, reply: Mapping[str, Any] | None, now: datetime) -> Self:
        """Read an executor's entry for the database; None means never fetched."""
        if not reply:
            return cls(name)
        fetched_at, made_at = (
            datetime.fromisoformat(reply[key]).astimezone(UTC) if reply.get(key) else None
            for key in ("fetched_at", "made_at")
        )
        old = fetched_at is None or now - fetched_at > OLD_AFTER
        locked = reply.get("locked") is True
        return cls(
            *(name, reply["rows"], fetched_at, reply["size_bytes"], old, locked, made_at),
            reply.get("digest"),
        )


@dataclass(frozen=True)
class Health:
    """An executor's answer; its version may be older or newer than ours."""

    engine: str
    tools: tuple[Tool, ...]
    databases: tuple[Database, ...]
    disk: Mapping[str, int | str] = field(default_factory=dict)
    profile: Profile = Profile.CLASSIC  # older executors send none and know no other
    mismatch: str = ""  # why its Vuls does not fit its profile, in its own words
    machine: Mapping[str, float] = field(default_factory=dict)  # older executors send nothing
    ahead: timedelta = timedelta()  # how far its clock is ahead of ours; older executors do not say
    docker: str | None = None  # why it cannot use Docker; empty if it can; None if it needs none
    # Why a database cannot be fetched any more, by name.
    ended: Mapping[str, str] = field(default_factory=dict)
    blind_spots: Sequence[str] = ()  # systems on which its Vuls finds nothing; empty if that is not known

    @property
    def profile_databases(self) -> tuple[Database, ...]:
        """Return the databases that belong to its profile."""
        names = {entry.name for entry in catalogue.of_profile(self.profile)}
        return tuple(database for database in self.databases if database.name in names)

    @property
    def present(self) -> tuple[Database, ...]:
        """Return the databases of its profile that have been fetched."""
        return tuple(database for database in self.profile_databases if database.rows)

    @property
    def full(self) -> str:
        """Return why the executor begins nothing, if its disk is full."""
        return str(self.disk.get("problem") or "")

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the names of the tools that are not installed."""
        return tuple(tool.name for tool in self.tools if not tool.found)

    @property
    def vuls(self) -> str | None:
        """Return the reported version of Vuls; None if unknown."""
        return next((tool.version for tool in self.tools if tool.name == "vuls"), None)


def ask_executors(executors: Sequence[Executor], now: datetime) -> list[tuple[Executor, Health | NoAnswer]]:
    """Ask all executors at once; takes about two seconds at most."""
    answers = ask_all(*(partial(ask_executor, executor, now) for executor in executors))
    return list(zip(executors, answers, strict=True))


def ask_executor(executor: Executor, now: datetime) -> Health:
    """Ask one executor for its health."""
    asked = datetime.now(UTC)
    with ExecutorClient(executor, ANSWER_SECONDS) as client:
        reply = client.health()
    answered = datetime.now(UTC)
    its_time = datetime.fromisoformat(reply["time"]) if "time" in reply else answered
    tools, databases = reply.get("tools") or {}, reply.get("databases") or {}
    vuls = catalogue.version((tools.get("vuls") or {}).get("version"))
    return Health(
        str(reply.get("engine")),
        tuple(Tool(name, bool(tool), (tool or {}).get("version")) for name, tool in sorted(tools.items())),
        tuple(
            Database.from_reply(name, databases.get(name), now)
            for name in DatabaseType
            if name is not DatabaseType.ALL
        ),
        reply.get("disk") or {},
        Profile(reply.get("profile") or Profile.CLASSIC),
        str(reply.get("misfit") or ""),
        reply.get("machine") or {},
        clock_ahead(its_time, asked, answered),
        str(docker.get("problem") or "") if isinstance(docker := reply.get("docker"), dict) else None,
        reply.get("ended") or {},
        releases.blind_spots(vuls, now.date()) if vuls else (),
    )


def readiness(health: Health | NoAnswer) -> int:
    """Rate an executor from 0 (no answer) to 3 (ready to scan)."""
    if isinstance(health, NoAnswer):
        return 0
    if health.docker or health.missing or health.mismatch or health.full:
        return 1
    return 3 if health.present else 2


def executor_checks(health: Health | NoAnswer, executor: Executor) -> list[Check]:
    """Return all checks of one executor.

    Their names end in the executor's, except for the main one.
    """
    checks = [executor_check(health, executor)]
    if isinstance(health, Health):
        checks += docker_checks(health)
        checks += [tools_check(health), databases_check(health), disk_check(health), *machine_checks(health)]
    elif executor.name == MAIN:
        unknown, advice = "Unknown while the executor does not answer.", ("Fix the executor first.",)
        checks += [
            Check(name, label, State.WARNING, unknown, advice)
            for name, label in (("tools", _TOOLS), ("databases", _DATABASES), ("disk", _DISK))
        ]
    if executor.name == MAIN:
        return checks
    return [
        replace(check, name=f"{check.name}-{executor.name}", label=f"{check.label}, {executor.name}")
        for check in checks
    ]


def executor_check(health: Health | NoAnswer, executor: Executor) -> Check:
    """Check whether an executor answers."""
    hosts = f" It scans hosts tagged {' or '.join(executor.tags)}." if executor.tags else ""
    if not isinstance(health, NoAnswer) and abs(health.ahead) > SKEW:
        return Check("executor", "Executor", State.WARNING, skew_message(health.ahead), (NTP,))
    if not isinstance(health, NoAnswer):
        return Check("executor", "Executor", State.OK, f"Running with the {health.engine} engine.{hosts}")
    setting = (
        "the content of its api_key_file"
        if executor.tags
        else "EXECUTOR_API_KEY (with Docker: executor_api_key and executor_api_keys in the secrets folder)"
    )
    key = f"Verify that the API key matches between the services: {setting} must be the same on both sides."
    consequence = f"nothing runs there.{hosts}" if hosts else "nothing runs."
    if health.refused:
        message = f"The executor rejected the API key, so {consequence}"
        return Check("executor", "Executor", State.FAILED, message, (key,), health.reason)
    advice = (
        (
            "Check that the executor is running and accessible. With Docker, it is the vuls-executor"
            " container: `docker logs vuls-executor`."
        ),
        key,
        (
            "With Docker, ensure that socket permissions are correct: DOCKER_GID in .env must be what"
            " `stat -c %g /var/run/docker.sock` prints. `make up` writes it."
        ),
    )
    message = f"The executor does not answer, so {consequence}"
    return Check("executor", "Executor", State.FAILED, message, advice, health.reason)


def docker_checks(health: Health) -> list[Check]:
    """Check whether an executor that needs Docker can use it."""
    if health.docker is None:
        return []
    if not health.docker:
        return [Check("docker", "Docker", State.OK, "Docker answers through its proxy.")]
    message, _, advice = health.docker.partition(". ")
    return [Check("docker", "Docker", State.FAILED, f"{message}.", (advice, "Runs fail until it does."))]


def tools_check(health: Health) -> Check:
    """Check whether the scanner's tools are installed and fit the profile."""
    if health.docker:
        unknown = "Unknown while Docker does not answer."
        return Check("tools", _TOOLS, State.WARNING, unknown, ("Fix Docker first.",))
    if not health.missing and health.mismatch:
        return Check("tools", _TOOLS, State.FAILED, health.mismatch, (catalogue.PROFILE_VERSIONS,))
    if not health.missing:
        message = f"All tools are installed. The profile is {health.profile}."
        if not health.blind_spots:
            return Check("tools", _TOOLS, State.OK, message)
        message += f" It finds nothing on {', '.join(health.blind_spots)}."
        advice = (catalogue.MOVE_ON,) if health.profile is Profile.CLASSIC else ()
        return Check("tools", _TOOLS, State.OK, message, advice)
    message = f"Not installed where the executor runs: {', '.join(health.missing)}."
    advice = ("Install Go and run make tools, or install Docker, then restart Vuls Web.",)
    return Check("tools", _TOOLS, State.FAILED, message, advice)


def databases_check(health: Health) -> Check:
    """Check whether the databases have been fetched, and how old they are."""
    old = [database.name.label for database in health.present if database.old]
    locked = [database.name.label for database in health.present if database.locked]
    still = [
        f"{database.name.label} (content of {database.made_at:%-d %b %Y})"
        for database in health.present
        if database.still
    ]
    ended = [database.name for database in health.present if database.name in health.ended]
    if locked:
        message = f"Locked by another program: {', '.join(locked)}. Scans that need it fail until it is free."
        advice: tuple[str, ...] = (
            "Find the program with `fuser -v` and the file's path in the executor's folder of databases.",
        )
    elif not health.present:
        message = "None fetched yet. Without a database, scans cannot find anything."
        advice = ("Run a Database Update from the Scheduler.",)
    elif old:
        message = f"Older than a month: {', '.join(old)}."
        advice = (
            "Keep vulnerability databases updated monthly: press Run Now on a Database Update.",
            "If updates fail, check internet connectivity for downloading vulnerability data.",
            "Verify sufficient disk space for database storage.",
            "Review the error messages in the task history.",
        )
    elif ended:
        message = f"The feed has ended: {', '.join(name.label for name in ended)}. The content gets older."
        advice = tuple(health.ended[name] for name in ended)
    elif still:
        message = f"Updates succeed but bring nothing new: {', '.join(still)}."
        advice = (
            "Its feed may have ended, or the mirror or proxy in between serves an old copy.",
            "New vulnerabilities are not found until it brings something new.",
        )
    else:
        message = f"{len(health.present)} of {len(health.profile_databases)} fetched, all up to date."
        return Check("databases", _DATABASES, State.OK, message)
    return Check("databases", _DATABASES, State.WARNING, message, advice)


def machine_checks(health: Health) -> list[Check]:
    """Check the memory of an executor's machine, and show its load.

    A high load is no fault: scans then take longer.
    """
    if not {"load", "cpus", "memory_free_bytes", "memory_total_bytes"} <= health.machine.keys():
        return []
    free, total = health.machine["memory_free_bytes"], health.machine["memory_total_bytes"]
    message = (
        f"Load {health.machine['load']:.0f} on {health.machine['cpus']} processors;"
        f" {free / 1e9:,.0f} of {total / 1e9:,.0f} GB memory free."
    )
    if free >= LOW_MEMORY * total:
        return [Check("machine", _MACHINE, State.OK, message)]
    advice = (
        "Ensure adequate system resources: run fewer tasks at the same time, or lower EXECUTOR_MAX_JOBS.",
        "Without free memory the system ends programs, and their runs fail.",
    )
    return [Check("machine", _MACHINE, State.WARNING, message, advice)]


def disk_check(health: Health) -> Check:
    """Check whether the executor's disk has room for updates."""
    if not {"free_bytes", "total_bytes"} <= health.disk.keys():
        message = "The executor does not report its disk space."
        advice: tuple[str, ...] = ("Update the executor to the version of Vuls Web.",)
        return Check("disk", _DISK, State.WARNING, message, advice)
    free = int(health.disk["free_bytes"])
    message = f"{free / 1e9:,.1f} GB free of {int(health.disk['total_bytes']) / 1e9:,.0f} GB."
    if free >= LOW_DISK_BYTES and not health.full:
        return Check("disk", _DISK, State.OK, message)
    advice = (
        "Verify sufficient disk space for database storage: an update needs room for a second copy.",
        (
            "Free some space, or set VULSWEB_DATA_DIR to a folder on a larger disk. With Docker, this is the"
            " disk of Docker's data-root."
        ),
    )
    full = free < FULL_DISK_BYTES or health.full
    message = f"{health.full} Runs wait until there is room." if health.full else message
    return Check("disk", _DISK, State.FAILED if full else State.WARNING, message, advice)
