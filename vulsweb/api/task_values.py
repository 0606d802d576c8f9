"""The values of a task, from a body and the task itself."""

from collections.abc import Mapping
from typing import Any

from vulsweb.api.problems import InvalidFields
from vulsweb.models import ScheduledTask, TaskType

_KEPT = (
    "name",
    "description",
    "task_type",
    "cron_expression",
    "timezone",
    "overlap",
    "absence",
    "database_hours",
    "old_databases",
    "scan_type",
    "database_type",
    "host_id",
    "host_tag",
)
_TARGETS = ("host_id", "host_tag")
# The fields that only one type of task has, and their names in the body.
_OWN = {
    TaskType.SCAN: {
        "scan_type": "config.scan_type",
        **{name: name for name in ("host_id", "host_tag", "database_hours", "old_databases")},
    },
    TaskType.DB_UPDATE: {"database_type": "config.database_type"},
}


def of_body(body: Mapping[str, Any], task: ScheduledTask | None = None) -> dict[str, Any]:
    """Return all values for a new task, or for a changed one.

    Fields that the task would not keep are refused. What the body leaves out stays as the task has it.
    """
    sent: dict[str, Any] = {name: value for name, value in body.items() if name != "config"} | dict(
        body.get("config", {})
    )
    kept = {name: getattr(task, name) for name in _KEPT} | {"is_active": task.active} if task else {}
    task_type = sent.get("task_type", kept.get("task_type"))
    foreign = {
        field: f"A task of type {task_type} does not have this field."
        for owner, fields in _OWN.items()
        for name, field in fields.items()
        if owner is not task_type and sent.get(name) is not None
    }
    if foreign:
        raise InvalidFields(foreign)
    if any(sent.get(name) is not None for name in _TARGETS):  # one target replaces the other
        kept = {name: value for name, value in kept.items() if name not in _TARGETS}
    return kept | sent
