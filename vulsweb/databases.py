"""The vulnerability databases as they stand: what is here, who needs it, what keeps it fresh. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from vulsweb.executors.settings import MAIN, Executor
from vulsweb.extensions import db
from vulsweb.hosts import inventory
from vulsweb.models import ScheduledTask, TaskType
from vulsweb.system import health as system_health
from vulsweb.system.checks import Check, State
from vulsweb.system.health import Database, Health
from vulsweb.tasks.editing import InvalidTask
from vulsweb.vuls import catalogue
from vulsweb.vuls.catalogue import DatabaseType, Entry, Profile, Support


@dataclass(frozen=True)
class Fetch:
    """What the latest update of a database came to."""

    run_id: int
    status: str  # of the database's own step, or of the run where it had none
    label: str
    message: str
    at: datetime


@dataclass(frozen=True)
class Line:
    """One database: what it is, what is in it, and whether that is of use."""

    entry: Entry
    held: Database | None  # None: the executor does not say
    reading: Support
    hosts: Mapping[str, int]  # hosts in service that it serves, by family
    tasks: Sequence[ScheduledTask]
    fetch: Fetch | None

    @property
    def is_needed(self) -> bool:
        """Say whether nothing would be found on some host without it."""
        return bool(self.hosts) and self.entry.detects and self.reading.supported is not False

    @property
    def lacks_task(self) -> bool:
        """Say whether it is needed, and nothing keeps it fresh."""
        return self.is_needed and not self.tasks


@dataclass(frozen=True)
class Databases:
    """All databases at one moment."""

    executor: Check
    vuls: str | None  # its version, where the executor tells one that can be read
    lines: tuple[Line, ...]
    uncovered: Mapping[str, int]  # hosts in service that none of them serves, by family
    moved: Mapping[str, int]  # those that the running Vuls looks up where the profile has nothing
    profile: Profile | None  # None: the executor does not say
    misfit: str  # what is wrong where Vuls and profile are no pair

    @property
    def answers(self) -> bool:
        """Say whether the executor told what it has."""
        return self.executor.state is State.OK

    @property
    def is_empty(self) -> bool:
        """Say whether nothing has ever been fetched."""
        return self.answers and not any(line.held and line.held.rows for line in self.lines)


def read(executor: Executor, now: datetime) -> Databases:
    """Return how an executor's databases stand, within some two seconds whether it answers or not."""
    ((_, told),) = system_health.ask_executors([executor], now)
    health = told if isinstance(told, Health) else None
    held = {database.name: database for database in health.databases} if health else {}
    vuls = health.vuls if health else None
    version, profile = catalogue.version(vuls), health.profile if health else None
    useful = {entry.name for entry in catalogue.of_profile(profile or Profile.CLASSIC)}
    families, updates = inventory.families(), _updates(profile)
    lines = [
        Line(
            entry,
            held.get(entry.name),
            catalogue.support(entry, vuls, profile),
            {family: count for family, count in families.items() if entry.covers(family)},
            updates[entry.name],
            _fetch(entry.name, executor, updates[entry.name]),
        )
        for entry in catalogue.CATALOGUE
    ]
    needs = {
        family: catalogue.required_databases(family, version or catalogue.default_version(profile))
        for family in families
    }
    return Databases(
        system_health.executor_check(told, executor),
        catalogue.version_label(version) if version else None,
        tuple(sorted(lines, key=lambda line: (not line.is_needed, line.reading.supported is False))),
        {family: count for family, count in families.items() if not needs[family]},
        {
            family: count
            for family, count in families.items()
            if needs[family] and not useful & {*needs[family]}
        },
        profile,
        health.misfit if health else "",
    )


@dataclass(frozen=True)
class Stock:
    """What all executors have together."""

    silent: tuple[str, ...]  # the names of those that do not answer
    empty: tuple[str, ...]  # and of those that have never fetched one
    present: int  # how many databases whoever has the fewest of its profile has
    useful: int  # and of how many
    dated: tuple[tuple[Database, str], ...]  # with whose it is, the oldest first
    old: int


def stock(executors: Sequence[Executor], now: datetime) -> Stock:
    """Return what the executors have, within some two seconds whether they answer or not."""
    told = system_health.ask_executors(executors, now)
    healths = {executor.name: health for executor, health in told if isinstance(health, Health)}
    fewest = min(healths.values(), key=lambda each: len(each.present) - len(each.useful), default=None)
    present = [(database, name) for name, health in healths.items() for database in health.present]
    dated = [(database.fetched_at, database, name) for database, name in present if database.fetched_at]
    return Stock(
        tuple(executor.name for executor, _ in told if executor.name not in healths),
        tuple(name for name, health in healths.items() if not health.present),
        len(fewest.present) if fewest else 0,
        len(fewest.useful) if fewest else 0,
        tuple((database, name) for _, database, name in sorted(dated, key=lambda each: each[0])),
        sum(database.old for database, _ in present),
    )


def reading(config: Mapping[str, Any], name: DatabaseType, now: datetime) -> Support | None:
    """Say whether a Vuls that runs reads the database; None when that is not to be learnt now.

    Of several executors it is enough that one does.
    """
    entry = next((each for each in catalogue.CATALOGUE if each.name == name), None)
    if entry is None:
        return None
    readings = [catalogue.support(entry, each.vuls, each.profile) for each in _answering(config, now)]
    return min(readings, key=lambda each: (True, None, False).index(each.supported), default=None)


def check_pair(
    config: Mapping[str, Any], values: Mapping[str, Any], now: datetime, task: ScheduledTask | None = None
) -> None:
    """Raise InvalidTask where a task is newly to fetch what the profile of no executor has use for.

    Who does not answer is not asked twice: the run will tell.
    """
    chosen = values.get("database_type")
    kept = task is not None and task.database_type == chosen
    if values.get("task_type") != TaskType.DB_UPDATE or kept or chosen not in set(DatabaseType):
        return
    found = [
        catalogue.profile_mismatch(DatabaseType(chosen), each.profile) for each in _answering(config, now)
    ]
    if found and all(found):
        raise InvalidTask({"database_type": str(found[0])})


def _answering(config: Mapping[str, Any], now: datetime) -> list[Health]:
    return [
        told for _, told in system_health.ask_executors(config["EXECUTORS"], now) if isinstance(told, Health)
    ]


def _updates(profile: Profile | None) -> dict[DatabaseType, list[ScheduledTask]]:
    """Return the tasks that update each database, those that run next first; "all" is all of the profile."""
    found = db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.task_type == TaskType.DB_UPDATE)
        .options(joinedload(ScheduledTask.last_run))
        .order_by(ScheduledTask.next_run_at.asc().nulls_last(), ScheduledTask.id)
    ).all()

    def names(entry: Entry) -> set[DatabaseType]:
        return {entry.name, DatabaseType.ALL} if profile in (None, entry.profile) else {entry.name}

    return {
        entry.name: [task for task in found if task.database_type in names(entry)]
        for entry in catalogue.CATALOGUE
    }


def _fetch(name: DatabaseType, executor: Executor, tasks: Sequence[ScheduledTask]) -> Fetch | None:
    # Runs are numbered in the order in which they were asked for.
    ran = [task.last_run for task in tasks if task.last_run is not None]
    run = max(ran, key=lambda each: each.id, default=None)
    if run is None:
        return None
    steps = (run.result_data or {}).get("databases", [])
    # Runs from before there were several do not name it.
    theirs = [each for each in steps if each.get("executor", MAIN) == executor.name]
    step = next((each for each in theirs if each["name"] == name), None)
    at = run.completed_at or run.started_at or run.created_at
    if step is None:
        return Fetch(run.id, run.status.value, run.status.label, run.reason or "", at)
    return Fetch(run.id, step["status"], str(step["status"]).capitalize(), step["message"] or "", at)
