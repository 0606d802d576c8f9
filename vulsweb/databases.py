"""The vulnerability databases: content, hosts that need them, updates. Reads only."""

import platform
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import case, select
from sqlalchemy.orm import joinedload

from vulsweb.executors.settings import MAIN, Executor, for_tags
from vulsweb.extensions import db
from vulsweb.hosts import inventory
from vulsweb.models import ScheduledTask, TaskType
from vulsweb.system import executor_checks
from vulsweb.system.checks import Check, State
from vulsweb.system.executor_checks import Database, Health
from vulsweb.tasks.editing import InvalidTask
from vulsweb.vuls import catalogue, releases
from vulsweb.vuls.catalogue import DatabaseType, Entry, Profile, Support


@dataclass(frozen=True)
class Fetch:
    """The result of the latest update of a database."""

    run_id: int
    status: str  # of the database's own step, or of the run if it has no such step
    label: str
    message: str
    at: datetime

    @classmethod
    def latest(cls, name: DatabaseType, executor: Executor, tasks: Sequence[ScheduledTask]) -> Self | None:
        """Return the database's result in the newest run of `tasks`."""
        runs = [task.last_run for task in tasks if task.last_run is not None]
        run = max(runs, key=lambda each: each.id, default=None)
        if run is None:
            return None
        at = run.completed_at or run.started_at or run.created_at
        for step in (run.result_data or {}).get("databases", []):
            # Older runs do not name their executor.
            if step.get("executor", MAIN) == executor.name and step["name"] == name:
                label = str(step["status"]).capitalize()
                return cls(run.id, step["status"], label, step["message"] or "", at)
        return cls(run.id, run.status.value, run.status.label, run.reason or "", at)


@dataclass(frozen=True)
class DatabaseRow:
    """A database: whether Vuls reads it, what needs and updates it."""

    entry: Entry
    database: Database | None  # None if the executor does not answer
    support: Support
    hosts: Mapping[str, int]  # active hosts that it serves, by family
    tasks: Sequence[ScheduledTask]  # that update it
    fetch: Fetch | None
    ended: str = ""  # why it cannot be fetched any more

    @property
    def is_needed(self) -> bool:
        """Return whether scans of some host find nothing without it."""
        return bool(self.hosts) and self.entry.detects and self.support.supported is not False

    @property
    def lacks_task(self) -> bool:
        """Return whether it is needed but no task updates it."""
        return self.is_needed and not self.tasks


@dataclass(frozen=True)
class Databases:
    """All databases of one executor at one moment."""

    executor: Check
    vuls: str | None  # the version of Vuls, if known
    rows: tuple[DatabaseRow, ...]
    uncovered: Mapping[str, int]  # active hosts that no database serves, by family
    outside_profile: Mapping[str, int]  # active hosts that only databases of another profile serve, by family
    profile: Profile | None  # None if the executor does not answer
    mismatch: str  # why Vuls does not fit the profile; else empty
    blind_spots: Sequence[str]  # systems on which this Vuls finds nothing

    @property
    def answers(self) -> bool:
        """Return whether the executor answered."""
        return self.executor.state is State.OK

    @property
    def is_empty(self) -> bool:
        """Return whether nothing has been fetched yet."""
        return self.answers and not any(row.database and row.database.rows for row in self.rows)


# ID in os-release -> family in Vuls' results, where they differ.
_FAMILIES = {"rhel": "redhat", "almalinux": "alma", "amzn": "amazon", "ol": "oracle"}


def of_this_machine(profile: Profile) -> catalogue.Entry | None:
    """Return the database that a scan of this machine needs."""
    try:
        name = platform.freedesktop_os_release().get("ID", "")
    except OSError:
        return None
    required = catalogue.required_databases(_FAMILIES.get(name, name), catalogue.default_version(profile))
    return next((entry for entry in catalogue.CATALOGUE if entry.name in required), None)


def first_update(profile: Profile) -> tuple[ScheduledTask, DatabaseType] | None:
    """Return the task that updates what scans need first, or None.

    With it comes what it fetches under this profile.
    """
    vuls = catalogue.default_version(profile)
    needed = {name for family in inventory.families() for name in catalogue.required_databases(family, vuls)}
    own = of_this_machine(profile)
    best_first = case(
        (ScheduledTask.database_type.in_(needed or ({own.name} if own else ())), 0),
        (ScheduledTask.database_type == DatabaseType.ALL, 1),
        else_=2,
    )
    task = db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.task_type == TaskType.DB_UPDATE)
        .order_by(best_first, ScheduledTask.id)
    ).first()
    if task is None or task.database_type is None:
        return None
    of_profile = catalogue.of_profile(profile)
    is_whole = task.database_type is DatabaseType.ALL and len(of_profile) == 1
    return task, of_profile[0].name if is_whole else task.database_type


def read(executor: Executor, now: datetime) -> Databases:
    """Return an executor's databases; takes about two seconds at most."""
    ((_, answer),) = executor_checks.ask_executors([executor], now)
    health = answer if isinstance(answer, Health) else None
    databases = {database.name: database for database in health.databases} if health else {}
    vuls = health.vuls if health else None
    version, profile = catalogue.version(vuls), health.profile if health else None
    families, tasks = inventory.families(), _update_tasks(profile)
    rows = [
        DatabaseRow(
            entry,
            databases.get(entry.name),
            catalogue.support(entry, vuls, profile),
            {family: count for family, count in families.items() if entry.covers(family)},
            tasks[entry.name],
            Fetch.latest(entry.name, executor, tasks[entry.name]),
            health.ended.get(entry.name, "") if health else "",
        )
        for entry in catalogue.CATALOGUE
    ]
    in_profile = {entry.name for entry in catalogue.of_profile(profile or Profile.CLASSIC)}
    needed = {
        family: {*catalogue.required_databases(family, version or catalogue.default_version(profile))}
        for family in families
    }
    return Databases(
        executor_checks.executor_check(answer, executor),
        catalogue.version_label(version) if version else None,
        tuple(sorted(rows, key=lambda row: (not row.is_needed, row.support.supported is False))),
        {family: count for family, count in families.items() if not needed[family]},
        {
            family: count
            for family, count in families.items()
            if needed[family] and not in_profile & needed[family]
        },
        profile,
        health.mismatch if health else "",
        health.blind_spots if health else (),
    )


def _update_tasks(profile: Profile | None) -> dict[DatabaseType, list[ScheduledTask]]:
    """Return the tasks that update each database, by next run.

    "all" updates all databases of the profile.
    """
    tasks = db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.task_type == TaskType.DB_UPDATE)
        .options(joinedload(ScheduledTask.last_run))
        .order_by(ScheduledTask.next_run_at.asc().nulls_last(), ScheduledTask.id)
    ).all()
    updates: dict[DatabaseType, list[ScheduledTask]] = {}
    for entry in catalogue.CATALOGUE:
        names = {entry.name, DatabaseType.ALL} if profile in (None, entry.profile) else {entry.name}
        updates[entry.name] = [task for task in tasks if task.database_type in names]
    return updates


@dataclass(frozen=True)
class Summary:
    """The databases of all executors together."""

    unreachable: tuple[str, ...]  # executors that do not answer
    empty: tuple[str, ...]  # executors that have never fetched a database
    present: int  # databases fetched on the executor that lacks the most
    total: int  # databases of that executor's profile
    by_age: tuple[tuple[Database, str], ...]  # with the name of the executor, oldest first
    old: int
    still: int  # databases whose updates bring nothing new
    # Each version of Vuls with the number of systems on which it finds nothing.
    blind: tuple[tuple[str, int], ...]


def summary(executors: Sequence[Executor], now: datetime) -> Summary:
    """Return the databases of all executors; takes about two seconds at most."""
    answers = executor_checks.ask_executors(executors, now)
    healths = {executor.name: health for executor, health in answers if isinstance(health, Health)}
    fewest = min(
        healths.values(), key=lambda each: len(each.present) - len(each.profile_databases), default=None
    )
    present = [(database, name) for name, health in healths.items() for database in health.present]
    dated = [(database.fetched_at, database, name) for database, name in present if database.fetched_at]
    return Summary(
        tuple(executor.name for executor, _ in answers if executor.name not in healths),
        tuple(name for name, health in healths.items() if not health.present),
        len(fewest.present) if fewest else 0,
        len(fewest.profile_databases) if fewest else 0,
        tuple((database, name) for _, database, name in sorted(dated, key=lambda each: each[0])),
        sum(database.old for database, _ in present),
        sum(database.still and not database.old for database, _ in present),
        _blind(healths.values()),
    )


def _blind(healths: Iterable[Health]) -> tuple[tuple[str, int], ...]:
    spots = {health.vuls: len(health.blind_spots) for health in healths}
    versions = ((catalogue.version(vuls), count) for vuls, count in spots.items() if count)
    return tuple((catalogue.version_label(version), count) for version, count in versions if version)


def foreseen_gaps(
    executors: Sequence[Executor], hosts: Sequence[tuple[Collection[str], str, str, int]], now: datetime
) -> list[tuple[str, int]]:
    """Return what scans of some hosts will not find.

    Each reason comes with the number of hosts. They are given by tags, family, release and number.
    Executors that do not answer are skipped.
    """
    found: Counter[str] = Counter()
    if not hosts:
        return []
    chosen = {for_tags(executors, tags) for tags, *_ in hosts}
    answers = dict(executor_checks.ask_executors(list(chosen), now))
    for tags, family, release, count in hosts:
        health = answers[for_tags(executors, tags)]
        if isinstance(health, Health):
            vuls = catalogue.version(health.vuls) or catalogue.default_version(health.profile)
            if gap := releases.gap(family, release, vuls, now.date()):
                found[gap] += count
    return found.most_common()


def support(config: Mapping[str, Any], name: DatabaseType, now: datetime) -> Support | None:
    """Return whether any executor's Vuls reads a database; None if unknown."""
    entry = next((each for each in catalogue.CATALOGUE if each.name == name), None)
    if entry is None:
        return None
    readings = [catalogue.support(entry, each.vuls, each.profile) for each in _answering(config, now)]
    return min(readings, key=lambda each: (True, None, False).index(each.supported), default=None)


def reject_unused_database(
    config: Mapping[str, Any], values: Mapping[str, Any], now: datetime, task: ScheduledTask | None = None
) -> None:
    """Raise InvalidTask for an update of a database that no executor uses.

    A task may keep the database that it already has. An executor that does not answer is skipped; the run
    reports it.
    """
    chosen = values.get("database_type")
    unchanged = task is not None and task.database_type == chosen
    if values.get("task_type") != TaskType.DB_UPDATE or unchanged or chosen not in set(DatabaseType):
        return
    database = DatabaseType(chosen)
    reasons = [catalogue.why_unused(database, each.profile) for each in _answering(config, now)]
    if reasons and all(reasons):
        raise InvalidTask({"database_type": str(reasons[0])})


def _answering(config: Mapping[str, Any], now: datetime) -> list[Health]:
    answers = executor_checks.ask_executors(config["EXECUTORS"], now)
    return [health for _, health in answers if isinstance(health, Health)]
