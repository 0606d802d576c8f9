"""Scheduled tasks: created, changed, deleted, activated and deactivated."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import delete as delete_from
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from vulsweb import cron
from vulsweb.audit import trail
from vulsweb.extensions import db
from vulsweb.hosts import tags
from vulsweb.models import Absence, Host, OldDatabases, Overlap, Run, ScheduledTask, TaskType
from vulsweb.models.run import ACTIVE
from vulsweb.models.text import plain_text
from vulsweb.runs import history, jobs
from vulsweb.vuls.catalogue import DatabaseType
from vulsweb.vuls.results import ScanType

NAME_LENGTH = 120
DESCRIPTION_LENGTH = 2000
MOST_HOURS = 8760  # a year


class InvalidTask(Exception):
    """The values of a task are invalid.

    `errors` has a sentence for each invalid field.
    """

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = dict(errors)


class NameTaken(InvalidTask):
    """Another task has the name."""

    def __init__(self) -> None:
        super().__init__({"name": "Another task has this name. Choose a different one."})


def create(values: Mapping[str, Any], now: datetime) -> ScheduledTask:
    """Create a task, or raise InvalidTask and create nothing."""
    task = ScheduledTask(created_at=now)
    _apply(task, _read_fields(task, values), now)
    db.session.add(task)
    _flush()
    return task


def change(task: ScheduledTask, values: Mapping[str, Any], now: datetime) -> None:
    """Change the task to `values`, or raise InvalidTask and change nothing."""
    with db.session.no_autoflush:
        _apply(task, _read_fields(task, values), now)
    _flush()


def delete(task: ScheduledTask) -> list[tuple[str, str]]:
    """Delete the task and its runs.

    Return the executor and id of each of its jobs still in progress.
    """
    _, open_jobs = delete_many([task.id])
    return open_jobs


def delete_many(task_ids: Collection[int]) -> tuple[int, list[tuple[str, str]]]:
    """Delete the tasks and their runs.

    Return how many tasks there were, and the executor and id of each job still in progress.
    """
    # Starting a run takes the same lock, so no run starts between this query and the deletion.
    locked = select(ScheduledTask).where(ScheduledTask.id.in_(task_ids)).order_by(ScheduledTask.id)
    tasks = db.session.scalars(locked.with_for_update(key_share=True)).all()
    found = [task.id for task in tasks]
    # Then the runs, of which a worker may hold one. It can finish: see `ScheduledTask`.
    active = select(Run.id).where(Run.task_id.in_(found), Run.status.in_(ACTIVE)).order_by(Run.id)
    open_jobs = jobs.open_jobs(db.session.scalars(active.with_for_update()).all())
    for task in tasks:
        trail.note_deleted(task, **history.summary(task.id))
    db.session.execute(delete_from(ScheduledTask).where(ScheduledTask.id.in_(found)))
    return len(found), open_jobs


def set_active(task_ids: Collection[int], *, active: bool, now: datetime) -> tuple[int, int]:
    """Activate or deactivate the tasks.

    Return how many changed, and how many did not need to.
    """
    found = db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.id.in_(task_ids))
        # Tasks are locked in the order of their ids everywhere, which prevents deadlocks.
        .order_by(ScheduledTask.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    changing = [task for task in found if task.active != active]
    for task in changing:
        task.active, task.updated_at = active, now
        if task.paused_at is None:
            task.plan(now)
    db.session.flush()
    return len(changing), len(found) - len(changing)


def _flush() -> None:
    try:
        with db.session.begin_nested():
            db.session.flush()
    except IntegrityError as error:
        # Two users can choose the same name at the same time; only the database notices.
        if "uq_scheduled_tasks_lower_name" in str(error.orig):
            raise NameTaken from error
        raise


def _apply(task: ScheduledTask, fields: Mapping[str, Any], now: datetime) -> None:
    for name, value in fields.items():
        setattr(task, name, value)
    task.updated_at = now
    if task.host is None or task.host.retired_at is None:
        task.plan(now)


def _read_fields(task: ScheduledTask, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task's new attributes by name, or raise InvalidTask."""
    errors: dict[str, str] = {}

    def read(field: str, reader: Callable[..., Any], *arguments: object) -> Any:
        try:
            return reader(*arguments)
        except ValueError as error:
            errors[field] = str(error)
            return None

    active = values.get("is_active", True)
    if not isinstance(active, bool):
        errors["is_active"] = "Use true or false."
    task_type = read("task_type", _choose, TaskType, values.get("task_type"))
    fields = {
        "name": read("name", _check_name, _line(values.get("name")), task.id),
        "description": read("description", plain_text, values.get("description") or "", DESCRIPTION_LENGTH),
        "task_type": task_type,
        "scan_type": None,
        "database_type": None,
        "host": None,
        "host_tag": None,
        "cron_expression": read("cron_expression", cron.check, _line(values.get("cron_expression"))),
        "timezone": read("timezone", cron.check_zone, _line(values.get("timezone")) or "UTC"),
        "active": active,
        "overlap": read("overlap", _choose, Overlap, values.get("overlap", Overlap.SKIP)),
        "absence": read("absence", _choose, Absence, values.get("absence", Absence.WAIT)),
        "database_hours": None,
        "old_databases": OldDatabases.UPDATE,
    }
    if task_type is TaskType.SCAN:
        fields["database_hours"] = read("database_hours", _check_hours, values.get("database_hours"))
        rule = values.get("old_databases") or OldDatabases.UPDATE
        fields["old_databases"] = read("old_databases", _choose, OldDatabases, rule)
        fields["scan_type"] = read("scan_type", _choose, ScanType, values.get("scan_type"))
        if values.get("target") == "tag" or values.get("host_tag"):
            if values.get("host_id"):
                errors["host_tag"] = "Choose one host or a tag, not both."
            fields["host_tag"] = read("host_tag", tags.normalize, _line(values.get("host_tag")))
        else:
            fields["host"] = read("host_id", _choose_host, values, task.host)
    elif task_type is TaskType.DB_UPDATE:
        fields["database_type"] = read("database_type", _choose, DatabaseType, values.get("database_type"))
    if errors:
        raise InvalidTask(errors)
    return fields


def _check_name(name: str, task_id: int | None) -> str:
    if not name:
        raise ValueError("Give the task a name.")
    if len(name) > NAME_LENGTH:
        raise ValueError(f"A name has at most {NAME_LENGTH} characters; this one has {len(name)}.")
    if any(not c.isprintable() for c in name):
        raise ValueError("A name cannot contain control characters.")
    other = db.session.scalar(
        select(ScheduledTask.id).where(func.lower(ScheduledTask.name) == func.lower(name))
    )
    if other is not None and other != task_id:
        raise NameTaken
    return name


def _check_hours(value: Any) -> int | None:
    """Return the largest age of a scan's databases, or None for any."""
    text = _line(value) if isinstance(value, str) else value
    if text in (None, ""):
        return None
    hours = int(text) if str(text).isascii() and str(text).isdecimal() and len(str(text)) < 6 else 0
    if not 1 <= hours <= MOST_HOURS:
        raise ValueError(f"Give a whole number of hours from 1 to {MOST_HOURS:,}, or leave it empty.")
    return hours


def _choose(members: type[StrEnum], value: Any) -> StrEnum:
    try:
        return members(value or "")
    except ValueError as error:
        raise ValueError("Choose one of: " + ", ".join(members) + ".") from error


def _choose_host(values: Mapping[str, Any], current: Host | None) -> Host:
    """Return the host with the given id or name.

    Raise ValueError if there is none. A retired host is accepted only if the task has it already.
    """
    host_id, name = str(values.get("host_id") or ""), _line(values.get("host_name"))
    if host_id:
        host = db.session.get(Host, int(host_id)) if host_id.isdecimal() and len(host_id) < 10 else None
    else:
        host = db.session.scalars(select(Host).where(Host.name == name.replace("\x00", ""))).first()
    if host is None:
        raise ValueError("Choose one of the configured hosts.")
    if host.retired_at is not None and host is not current:
        raise ValueError(f"{host.name} is no longer in config.toml. Choose another host.")
    return host


def _line(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
