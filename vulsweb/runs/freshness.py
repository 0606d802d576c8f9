"""The age of databases that a task demands for its scans.

A task may demand databases that were updated at most some hours ago. Until they are, its jobs are held back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from vulsweb.extensions import db
from vulsweb.models import Host, OldDatabases, Run, RunJob, ScheduledTask, TaskType, Trigger
from vulsweb.runs import starting
from vulsweb.system.executor_checks import Database, Health
from vulsweb.vuls import catalogue
from vulsweb.vuls.catalogue import DatabaseType

NO_TASK = "No task updates {}: add a Database Update, or change what this task demands."
# A host that was never scanned may have any system. Where there is no database yet, its scan is partial and
# says which one it needs.
UNKNOWN = ""


@dataclass(frozen=True)
class Hold:
    """Why a job is held back; `is_final` if waiting cannot help."""

    reason: str
    is_final: bool = False
    updates: Sequence[int] = ()  # the runs that the scan waits for
    started: Sequence[int] = ()  # those of them that a worker has to begin


def is_demanded(run: Run) -> bool:
    """Return whether the run's databases may not be old."""
    return "database_hours" in run.request


def hold(run: Run, job: RunJob, health: Health, now: datetime) -> Hold | None:
    """Return why a job cannot begin, or None.

    Starts updates where the task demands it. Call it without a lock on the run: it locks tasks.
    """
    hours, rule = run.request["database_hours"], OldDatabases(run.request["old_databases"])
    old = [each for each in _needed(job, health) if _is_older(each, timedelta(hours=hours), now)]
    if not old:
        return None
    ages = ", ".join(f"{each.name.label} {_age(each, now)}" for each in old)
    reason = f"Databases may be at most {_hours(hours)} old here: {ages}."
    if rule is OldDatabases.FAIL:
        return Hold(reason, is_final=True)
    if rule is OldDatabases.WAIT:
        return Hold(f"{reason} Waiting for an update.")
    return _update_first(run, reason, [each.name for each in old], now)


def _update_first(run: Run, reason: str, names: Sequence[DatabaseType], now: datetime) -> Hold:
    if earlier := run.request.get("updates", []):
        runs = db.session.scalars(select(Run).where(Run.id.in_(earlier))).all()
        shown = ", ".join(f"run {number}" for number in earlier)
        if any(each.status.is_active for each in runs):
            return Hold(f"{reason} Waiting for their update: {shown}.", updates=earlier)
        return Hold(f"{reason} They were to be updated first, and still are old: see {shown}.", is_final=True)
    tasks = {name: _task_for(name) for name in names}
    if missing := [name.label for name, task in tasks.items() if task is None]:
        return Hold(f"{reason} {NO_TASK.format(', '.join(missing))}", is_final=True)
    updates, started = [], []
    # Tasks are locked in the order of their ids everywhere.
    for task in sorted({task for task in tasks.values() if task}, key=lambda each: each.id):
        try:
            update = starting.start(task, trigger=Trigger.DEMAND, now=now)
            started.append(update.id)
        except starting.AlreadyActive as error:
            update = error.run
        except starting.TaskPaused:
            continue  # in this moment; the next look finds another task, or none
        updates.append(update.id)
    if not updates:
        return Hold(f"{reason} Waiting for an update.")
    shown = ", ".join(f"run {number}" for number in updates)
    return Hold(f"{reason} Waiting for their update: {shown}.", updates=updates, started=started)


def _task_for(name: DatabaseType) -> ScheduledTask | None:
    """Return the task that updates a database, best one of its own."""
    found = db.session.scalars(
        select(ScheduledTask)
        .where(
            ScheduledTask.task_type == TaskType.DB_UPDATE,
            ScheduledTask.database_type.in_((name, DatabaseType.ALL)),
            ScheduledTask.paused_at.is_(None),
        )
        .order_by(ScheduledTask.database_type == DatabaseType.ALL, ScheduledTask.id)
    )
    return found.first()


def _needed(job: RunJob, health: Health) -> Iterator[Database]:
    """Yield the databases that Vuls reads for the job's hosts."""
    hosts = select(Host.family).where(Host.entry.in_(job.request["servers"]), Host.retired_at.is_(None))
    families = set(db.session.scalars(hosts))
    vuls = catalogue.version(health.vuls) or catalogue.default_version(health.profile)
    names = {name for family in families for name in catalogue.required_databases(family, vuls)}
    if UNKNOWN in families:
        detecting = {entry.name for entry in catalogue.CATALOGUE if entry.detects}
        names |= detecting & {database.name for database in health.present}
    return (database for database in health.profile_databases if database.name in names)


def _is_older(database: Database, limit: timedelta, now: datetime) -> bool:
    return database.fetched_at is None or now - database.fetched_at > limit


def _age(database: Database, now: datetime) -> str:
    if database.fetched_at is None:
        return "was never updated"
    return f"was updated {_hours(int((now - database.fetched_at) / timedelta(hours=1)))} ago"


def _hours(count: int) -> str:
    return f"{count} hour{'s' if count != 1 else ''}"
