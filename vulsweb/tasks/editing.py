"""Scheduled tasks: what a person may define, and how tasks are found again."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import available_timezones

from sqlalchemy import delete as delete_from
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from vulsweb import cron
from vulsweb.extensions import db
from vulsweb.hosts import tags
from vulsweb.models import Absence, Host, Overlap, Run, ScheduledTask, TaskType
from vulsweb.models.run import ACTIVE
from vulsweb.runs import jobs
from vulsweb.vuls.catalogue import DatabaseType
from vulsweb.vuls.results import ScanType

NAME_LENGTH = 120
DESCRIPTION_LENGTH = 2000
_Choice = TypeVar("_Choice", TaskType, ScanType, DatabaseType, Overlap, Absence)


class InvalidTask(Exception):
    """A task cannot be kept as asked; `errors` has a sentence for each field that is wrong."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = dict(errors)


class NameTaken(InvalidTask):
    """Another task has the name."""

    def __init__(self) -> None:
        super().__init__({"name": "Another task has this name. Choose a different one."})


def create(values: Mapping[str, Any], now: datetime) -> ScheduledTask:
    """Keep a new task; raise InvalidTask, having kept nothing."""
    task = ScheduledTask(created_at=now)
    _apply(task, values, now)
    db.session.add(task)
    _flush()
    return task


def change(task: ScheduledTask, values: Mapping[str, Any], now: datetime) -> None:
    """Make the task what `values` say; raise InvalidTask, having changed nothing."""
    with db.session.no_autoflush:
        _apply(task, values, now)
    _flush()


def delete(task: ScheduledTask) -> list[tuple[str, str]]:
    """Delete the task and its whole history; return executor and id of the jobs that still go on for it."""
    _, going = delete_many([task.id])
    return going


def delete_many(task_ids: Collection[int]) -> tuple[int, list[tuple[str, str]]]:
    """Delete the tasks and their histories; return how many, and executor and id of each job still going."""
    # Locked as runs are started, so that none begins between the look and the deletion.
    locked = select(ScheduledTask.id).where(ScheduledTask.id.in_(task_ids)).order_by(ScheduledTask.id)
    found = db.session.scalars(locked.with_for_update()).all()
    active = select(Run.id).where(Run.task_id.in_(found), Run.status.in_(ACTIVE))
    going = jobs.open_jobs(active)
    db.session.execute(delete_from(ScheduledTask).where(ScheduledTask.id.in_(found)))
    return len(found), going


def set_active(task_ids: Collection[int], *, active: bool, now: datetime) -> tuple[int, int]:
    """Activate or deactivate the tasks; return how many changed, and how many were so already."""
    found = db.session.scalars(
        select(ScheduledTask)
        .where(ScheduledTask.id.in_(task_ids))
        # In one order everywhere, so that two of these never wait for each other.
        .order_by(ScheduledTask.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    changing = [task for task in found if task.active != active]
    for task in changing:
        task.active, task.updated_at = active, now
        task.next_run_at = _next_run(task, now)
    db.session.flush()
    return len(changing), len(found) - len(changing)


def _next_run(task: ScheduledTask, now: datetime) -> datetime | None:
    if not task.active or task.paused_at is not None:
        return None
    return cron.next_slot(task.cron_expression, task.timezone, now)


def _flush() -> None:
    try:
        with db.session.begin_nested():
            db.session.flush()
    except IntegrityError as error:
        # The database alone can tell when two people choose one name in the same second.
        if "uq_scheduled_tasks_lower_name" in str(error.orig):
            raise NameTaken from error
        raise


def _apply(task: ScheduledTask, values: Mapping[str, Any], now: datetime) -> None:
    errors: dict[str, str] = {}
    task_type = _choice(TaskType, values, "task_type", errors)
    fields: dict[str, Any] = {
        "name": _name(values, task.id, errors),
        "description": _description(values, errors),
        "task_type": task_type,
        "scan_type": None,
        "database_type": None,
        "host": None,
        "host_tag": None,
        "cron_expression": _cron(values, errors),
        "timezone": _timezone(values, errors),
        "active": _active(values, errors),
        "overlap": _choice(Overlap, {"overlap": Overlap.SKIP, **values}, "overlap", errors),
        "absence": _choice(Absence, {"absence": Absence.WAIT, **values}, "absence", errors),
    }
    if task_type is TaskType.SCAN:
        fields["scan_type"] = _choice(ScanType, values, "scan_type", errors)
        if values.get("target") == "tag" or values.get("host_tag"):
            fields["host_tag"] = _host_tag(values, errors)
        else:
            fields["host"] = _host(values, task.host, errors)
    if task_type is TaskType.DB_UPDATE:
        fields["database_type"] = _choice(DatabaseType, values, "database_type", errors)
    if errors:
        raise InvalidTask(errors)
    for name, value in fields.items():
        setattr(task, name, value)
    task.updated_at = now
    if task.host is None or task.host.retired_at is None:
        task.paused_at = task.paused_reason = None
    task.next_run_at = _next_run(task, now)


def _name(values: Mapping[str, Any], task_id: int | None, errors: dict[str, str]) -> str:
    name = _line(values.get("name"))
    if not name:
        errors["name"] = "Give the task a name."
    elif len(name) > NAME_LENGTH:
        errors["name"] = f"A name has at most {NAME_LENGTH} characters; this one has {len(name)}."
    elif any(not c.isprintable() for c in name):
        errors["name"] = "A name cannot contain control characters."
    else:
        other = db.session.scalar(
            select(ScheduledTask.id).where(func.lower(ScheduledTask.name) == func.lower(name))
        )
        if other is not None and other != task_id:
            raise NameTaken
    return name


def _description(values: Mapping[str, Any], errors: dict[str, str]) -> str:
    text = values.get("description") or ""
    # Neither NUL nor half a surrogate pair, which JSON can carry, can be stored.
    if not isinstance(text, str) or any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in text):
        errors["description"] = "Write the description as plain text."
        return ""
    if len(text) > DESCRIPTION_LENGTH:
        errors["description"] = (
            f"A description has at most {DESCRIPTION_LENGTH} characters; this one has {len(text)}."
        )
    return text.strip()


def _choice(
    members: type[_Choice], values: Mapping[str, Any], field: str, errors: dict[str, str]
) -> _Choice | None:
    try:
        return members(values.get(field) or "")
    except ValueError:
        errors[field] = "Choose one of: " + ", ".join(members) + "."
        return None


def _host(values: Mapping[str, Any], present: Host | None, errors: dict[str, str]) -> Host | None:
    host_id, name = str(values.get("host_id") or ""), _line(values.get("host_name"))
    if host_id:
        host = db.session.get(Host, int(host_id)) if host_id.isdecimal() and len(host_id) < 10 else None
    else:
        host = db.session.scalars(select(Host).where(Host.name == name.replace("\x00", ""))).first()
    if host is None:
        errors["host_id"] = "Choose one of the configured hosts."
    elif host.retired_at is not None and host is not present:
        errors["host_id"] = f"{host.name} is no longer in config.toml. Choose another host."
    return host


def _host_tag(values: Mapping[str, Any], errors: dict[str, str]) -> str | None:
    if values.get("host_id"):
        errors["host_tag"] = "Choose one host or a tag, not both."
    try:
        return tags.normalize(_line(values.get("host_tag")))
    except ValueError as error:
        errors["host_tag"] = str(error)
        return None


def _cron(values: Mapping[str, Any], errors: dict[str, str]) -> str:
    try:
        return cron.check(_line(values.get("cron_expression")))
    except cron.CronError as error:
        errors["cron_expression"] = str(error)
        return ""


def _timezone(values: Mapping[str, Any], errors: dict[str, str]) -> str:
    zone = _line(values.get("timezone")) or "UTC"
    if zone not in available_timezones():
        errors["timezone"] = f"{zone!r} is not a time zone; write one like Europe/London or UTC."
    return zone


def _active(values: Mapping[str, Any], errors: dict[str, str]) -> bool:
    active = values.get("is_active", True)
    if not isinstance(active, bool):
        errors["is_active"] = "Write true or false."
    return bool(active)


def _line(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
