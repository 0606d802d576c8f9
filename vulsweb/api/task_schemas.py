"""API schemas of scheduled tasks."""

from typing import Any

from marshmallow import Schema, fields, missing, pre_dump
from marshmallow.validate import Range

from vulsweb.api.schemas import LARGEST_ID, Page, PageQuery, Strict, TrueOrFalse, search_text
from vulsweb.models import Absence, OldDatabases, Overlap, RunStatus, ScheduledTask, TaskType
from vulsweb.vuls.catalogue import DatabaseType
from vulsweb.vuls.results import ScanType

OVERLAP_RULES = (
    "While a previous run of the task is active, a new run is skipped (`skip`), waits for it to end (`wait`;"
    " at most one run waits), or stops it and then starts (`replace`)."
)

ABSENCE_RULES = (
    "While its executor does not answer, a run waits (`wait`) or fails (`fail`): at once if it has not"
    " started, otherwise after five minutes without an answer."
)


HOURS = (
    "Of a scan: how many hours ago its databases may have been updated, at most. Null means any time, and is"
    " what other tasks have."
)
OLD_DATABASES = (
    "What a scan does if its databases are older: they are updated first (`update`), it waits until something"
    " else has updated them (`wait`), or it fails (`fail`). Null for other tasks."
)


class TaskConfig(Strict):
    """A scan type or a database type; nothing for a detection."""

    scan_type = fields.Enum(ScanType, by_value=True)
    database_type = fields.Enum(DatabaseType, by_value=True)


class TaskOut(Schema):
    """A scheduled task."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True)
    task_type = fields.Enum(TaskType, by_value=True, required=True)
    config = fields.Nested(TaskConfig, required=True)
    host_id = fields.Integer(required=True, allow_none=True)
    host_name = fields.String(required=True, allow_none=True)
    host_tag = fields.String(required=True, allow_none=True)
    cron_expression = fields.String(required=True)
    timezone = fields.String(required=True)
    overlap = fields.Enum(Overlap, by_value=True, required=True, metadata={"description": OVERLAP_RULES})
    absence = fields.Enum(Absence, by_value=True, required=True, metadata={"description": ABSENCE_RULES})
    database_hours = fields.Integer(required=True, allow_none=True, metadata={"description": HOURS})
    old_databases = fields.Enum(
        OldDatabases, by_value=True, required=True, allow_none=True, metadata={"description": OLD_DATABASES}
    )
    is_active = fields.Boolean(required=True)
    next_run_at = fields.AwareDateTime(required=True, allow_none=True)
    paused_at = fields.AwareDateTime(required=True, allow_none=True)
    paused_reason = fields.String(required=True, allow_none=True)
    last_run_at = fields.AwareDateTime(required=True, allow_none=True)
    last_status = fields.Enum(RunStatus, by_value=True, required=True, allow_none=True)
    last_error = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)

    @pre_dump
    def from_task(self, task: ScheduledTask, **_: Any) -> dict[str, Any]:
        """Return the task in the format of the API."""
        last = task.last_run
        kinds = {TaskType.SCAN: "scan_type", TaskType.DB_UPDATE: "database_type"}
        kind = kinds.get(task.task_type)
        return {
            "id": task.id,
            "name": task.name,
            "description": task.description,
            "task_type": task.task_type,
            "config": {kind: getattr(task, kind)} if kind else {},
            "host_id": task.host_id,
            "host_name": task.host.name if task.host else None,
            "host_tag": task.host_tag,
            "cron_expression": task.cron_expression,
            "timezone": task.timezone,
            "overlap": task.overlap,
            "absence": task.absence,
            "database_hours": task.database_hours,
            "old_databases": task.old_databases if task.task_type is TaskType.SCAN else None,
            "is_active": task.active,
            "next_run_at": task.next_run_at,
            "paused_at": task.paused_at,
            "paused_reason": task.paused_reason,
            "last_run_at": (last.started_at or last.created_at) if last else None,
            "last_status": last.status if last else None,
            "last_error": last.reason if last else None,
            "created_at": task.created_at,
            "updated_at": task.updated_at,
        }


class TaskIn(Strict):
    """The settings of a task."""

    shown = TaskOut

    name = fields.String(required=True)
    description = fields.String(load_default="")
    task_type = fields.Enum(TaskType, by_value=True, required=True)
    config = fields.Nested(TaskConfig, required=True)
    host_id = fields.Integer(strict=True, load_default=None, allow_none=True, validate=Range(1, LARGEST_ID))
    host_tag = fields.String(load_default=None, allow_none=True)
    cron_expression = fields.String(required=True)
    timezone = fields.String(load_default="UTC")
    overlap = fields.Enum(
        Overlap, by_value=True, load_default=Overlap.SKIP, metadata={"description": OVERLAP_RULES}
    )
    absence = fields.Enum(
        Absence, by_value=True, load_default=Absence.WAIT, metadata={"description": ABSENCE_RULES}
    )
    database_hours = fields.Integer(
        strict=True, load_default=None, allow_none=True, metadata={"description": HOURS}
    )
    old_databases = fields.Enum(
        OldDatabases,
        by_value=True,
        load_default=None,
        allow_none=True,
        metadata={"description": OLD_DATABASES},
    )
    is_active = TrueOrFalse(load_default=True)


class TaskChange(TaskIn):
    """Settings of a task to change; all others stay."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Make every field optional, without a default."""
        super().on_bind_field(field_name, field_obj)
        field_obj.required, field_obj.load_default = False, missing


class TaskPage(Page):
    """A page of tasks."""

    items = fields.List(fields.Nested(TaskOut), required=True)


class TaskQuery(PageQuery):
    """Filters and page."""

    task_type = fields.Enum(TaskType, by_value=True, load_default=None)
    is_active = fields.Boolean(load_default=None)
    search = search_text()
