"""Between the task form and what vulsweb.tasks takes: flat values by field."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import available_timezones

from vulsweb.models import ScheduledTask, TaskType

TEXT_FIELDS = (
    "name",
    "description",
    "task_type",
    "scan_type",
    "database_type",
    "host_id",
    "cron_expression",
    "timezone",
)
# Read once: looking for them goes through the file system.
ZONES = tuple(sorted(available_timezones()))
EXAMPLES = (
    ("0 2 * * *", "Every day at 2 AM"),
    ("0 0 * * 0", "Every Sunday at midnight"),
    ("0 * * * *", "Every hour"),
    ("*/15 * * * *", "Every 15 minutes"),
    ("0 3 1 * *", "First day of month at 3 AM"),
    ("0 6 * * 1-5", "Weekdays at 6 AM"),
)


def posted(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of a form that was sent; a box that is not ticked is not sent."""
    return {field: form.get(field, "") for field in TEXT_FIELDS} | {"is_active": "is_active" in form}


def of_task(task: ScheduledTask) -> dict[str, Any]:
    """Return the values of the form for a task as it stands."""
    return {
        "name": task.name,
        "description": task.description,
        "task_type": task.task_type.value,
        "scan_type": task.scan_type or "",
        "database_type": task.database_type or "",
        "host_id": str(task.host_id or ""),
        "cron_expression": task.cron_expression,
        "timezone": task.timezone,
        "is_active": task.active,
    }


def of_new(query: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of the form for a new task; the address may choose type and host."""
    wanted = query.get("type")
    return dict.fromkeys(TEXT_FIELDS, "") | {
        "task_type": wanted if wanted in set(TaskType) else TaskType.SCAN.value,
        "scan_type": "fast",
        "database_type": "all",
        "host_id": query.get("host", ""),
        "cron_expression": EXAMPLES[0][0],
        "timezone": "UTC",
        "is_active": True,
    }
