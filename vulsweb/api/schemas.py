"""API schemas of tasks, runs, findings and the system."""

from datetime import UTC
from typing import Any

from marshmallow import RAISE, Schema, fields, pre_dump
from marshmallow.validate import ContainsNoneOf, OneOf, Range

from vulsweb.findings.lists import Sort
from vulsweb.models import Absence, Overlap, Run, RunStatus, ScheduledTask, TaskType, Trigger
from vulsweb.system.checks import State
from vulsweb.vuls.catalogue import DatabaseType
from vulsweb.vuls.results import ScanType, Severity, worst_first

LARGEST_ID = 2**31 - 1
OVERLAP_RULES = (
    "While a previous run of the task is active, a new run is skipped (`skip`), waits for it to end (`wait`;"
    " at most one run waits), or stops it and then starts (`replace`)."
)

ABSENCE_RULES = (
    "While its executor does not answer, a run waits (`wait`) or fails (`fail`): at once if it has not"
    " started, otherwise after five minutes without an answer."
)


class Strict(Schema):
    """A schema that rejects unknown fields."""

    class Meta:
        """Reject unknown fields, so that a misspelled field is not silently ignored."""

        unknown = RAISE


class TaskConfig(Strict):
    """A scan type or a database type, depending on the task type."""

    scan_type = fields.Enum(ScanType, by_value=True)
    database_type = fields.Enum(DatabaseType, by_value=True)


class TaskIn(Strict):
    """The settings of a task."""

    name = fields.String(required=True)
    description = fields.String(load_default="")
    task_type = fields.Enum(TaskType, by_value=True, required=True)
    config = fields.Nested(TaskConfig, required=True)
    host_id = fields.Integer(strict=True, load_default=None, allow_none=True)
    host_tag = fields.String(load_default=None, allow_none=True)
    cron_expression = fields.String(required=True)
    timezone = fields.String(load_default="UTC")
    overlap = fields.Enum(
        Overlap, by_value=True, load_default=Overlap.SKIP, metadata={"description": OVERLAP_RULES}
    )
    absence = fields.Enum(
        Absence, by_value=True, load_default=Absence.WAIT, metadata={"description": ABSENCE_RULES}
    )
    is_active = fields.Boolean(load_default=True, truthy={True}, falsy={False})


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
        kind = "scan_type" if task.task_type is TaskType.SCAN else "database_type"
        return {
            "id": task.id,
            "name": task.name,
            "description": task.description,
            "task_type": task.task_type,
            "config": {kind: getattr(task, kind)},
            "host_id": task.host_id,
            "host_name": task.host.name if task.host else None,
            "host_tag": task.host_tag,
            "cron_expression": task.cron_expression,
            "timezone": task.timezone,
            "overlap": task.overlap,
            "absence": task.absence,
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


class RunOut(Schema):
    """One execution of a task."""

    id = fields.Integer(required=True)
    scheduled_task_id = fields.Integer(required=True)
    status = fields.Enum(RunStatus, by_value=True, required=True)
    trigger = fields.Enum(Trigger, by_value=True, required=True)
    scheduled_for = fields.AwareDateTime(required=True, allow_none=True)
    started_at = fields.AwareDateTime(required=True, allow_none=True)
    completed_at = fields.AwareDateTime(required=True, allow_none=True)
    duration_seconds = fields.Float(required=True, allow_none=True)
    steps = fields.List(fields.Dict(), required=True)
    result_data = fields.Dict(required=True, allow_none=True)
    error_message = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True)

    @pre_dump
    def from_run(self, run: Run, **_: Any) -> dict[str, Any]:
        """Return the run in the format of the API."""
        result = run.result_data
        if result and "severity_counts" in result:
            result = result | {"severity_counts": worst_first(result["severity_counts"])}
        return {
            "id": run.id,
            "scheduled_task_id": run.task_id,
            "status": run.status,
            "trigger": run.trigger,
            "scheduled_for": run.scheduled_for,
            "started_at": run.started_at,
            "completed_at": run.completed_at,
            "duration_seconds": run.duration.total_seconds() if run.duration else None,
            "steps": run.steps,
            "result_data": result,
            "error_message": run.reason,
            "created_at": run.created_at,
        }


class PackageOut(Schema):
    """A package that a CVE affects."""

    name = fields.String(required=True)
    installed_version = fields.String(required=True)
    fixed_in = fields.String(required=True)
    fix_state = fields.String(required=True)


class FindingOut(Schema):
    """One CVE on one host, as found by a run."""

    cve_id = fields.String(required=True)
    host_id = fields.Integer(required=True)
    host_name = fields.String(required=True)
    severity = fields.Enum(Severity, by_value=True, required=True)
    score = fields.Float(required=True, allow_none=True)
    title = fields.String(required=True)
    packages = fields.List(fields.Nested(PackageOut), required=True)
    new = fields.Boolean(required=True)


class KnownFindingOut(Schema):
    """One CVE on one host, over time."""

    id = fields.Integer(required=True)
    cve_id = fields.String(required=True)
    host_id = fields.Integer(required=True)
    host_name = fields.String(required=True, attribute="host.name")
    severity = fields.Enum(Severity, by_value=True, required=True)
    score = fields.Float(required=True, allow_none=True)
    title = fields.String(required=True)
    packages = fields.List(fields.Nested(PackageOut), required=True)
    first_seen_at = fields.AwareDateTime(required=True)
    last_seen_at = fields.AwareDateTime(required=True)
    fixed_at = fields.AwareDateTime(required=True, allow_none=True)


class CheckOut(Schema):
    """The health check of one component."""

    name = fields.String(required=True)
    label = fields.String(required=True)
    state = fields.Enum(State, by_value=True, required=True)
    says = fields.String(required=True, attribute="message")
    advice = fields.List(fields.String(), required=True)
    detail = fields.String(required=True)
    at = fields.AwareDateTime(required=True, allow_none=True)


class ToolOut(Schema):
    """One of the scanner's tools."""

    name = fields.String(required=True)
    found = fields.Boolean(required=True)
    version = fields.String(required=True, allow_none=True)


class DatabaseOut(Schema):
    """One vulnerability database; without rows it has never been fetched."""

    name = fields.Enum(DatabaseType, by_value=True, required=True)
    rows = fields.Integer(required=True)
    fetched_at = fields.AwareDateTime(required=True, allow_none=True)
    size_bytes = fields.Integer(required=True)
    old = fields.Boolean(required=True)


class ExecutorOut(Schema):
    """One executor with its tools and databases."""

    name = fields.String(required=True)
    tags = fields.List(fields.String(), required=True)
    state = fields.Enum(State, by_value=True, required=True)
    tools = fields.List(fields.Nested(ToolOut), required=True)
    databases = fields.List(fields.Nested(DatabaseOut), required=True)


class SystemOut(Schema):
    """All health checks; `tools` and `databases` are the main executor's."""

    state = fields.Enum(State, by_value=True, required=True)
    parts = fields.List(fields.Nested(CheckOut), required=True, attribute="checks")
    executors = fields.List(fields.Nested(ExecutorOut), required=True)
    tools = fields.List(fields.Nested(ToolOut), required=True)
    databases = fields.List(fields.Nested(DatabaseOut), required=True)


class PageQuery(Schema):
    """Which page of a list."""

    page = fields.Integer(load_default=1, validate=Range(1, 1_000_000))
    per_page = fields.Integer(load_default=50, validate=Range(1, 500))


class TaskQuery(PageQuery):
    """Filters and page."""

    task_type = fields.Enum(TaskType, by_value=True, load_default=None)
    is_active = fields.Boolean(load_default=None)
    # PostgreSQL's text cannot hold NUL.
    search = fields.String(load_default="", validate=ContainsNoneOf("\x00"))


class Moment(fields.AwareDateTime):
    """A time in UTC: PostgreSQL rejects some valid ISO 8601 offsets."""

    def _deserialize(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._deserialize(*args, **kwargs).astimezone(UTC)
        except OverflowError as error:
            raise self.make_error("invalid", input=args[0], obj_type=self.OBJ_TYPE) from error


class HistoryQuery(Schema):
    """Filters of the runs of a task; `before_id` continues after that run."""

    status = fields.List(fields.Enum(RunStatus, by_value=True))
    trigger = fields.Enum(Trigger, by_value=True, load_default=None)
    created_after = Moment(default_timezone=UTC)
    created_before = Moment(default_timezone=UTC)
    before_id = fields.Integer(validate=Range(1, LARGEST_ID))
    per_page = fields.Integer(load_default=50, validate=Range(1, 500))


class FindingQuery(Schema):
    """Filters and order of findings; `after_id` continues after that finding."""

    status = fields.String(load_default="open", validate=OneOf(["open", "fixed"]))
    severity = fields.List(fields.Enum(Severity, by_value=True))
    host_id = fields.Integer(load_default=None, validate=Range(1, LARGEST_ID))
    first_seen_after = Moment(default_timezone=UTC)
    cve_id = fields.String(load_default="", validate=ContainsNoneOf("\x00"))
    search = fields.String(load_default="", validate=ContainsNoneOf("\x00"))
    sort = fields.Enum(Sort, by_value=True, load_default=Sort.SEVERITY)
    after_id = fields.Integer(validate=Range(1, LARGEST_ID))
    per_page = fields.Integer(load_default=50, validate=Range(1, 500))


class RunQuery(HistoryQuery):
    """Filters of runs; `before_id` continues after that run."""

    scheduled_task_id = fields.Integer(validate=Range(1, LARGEST_ID))


class LogQuery(Schema):
    """Where to start reading a log."""

    offset = fields.Integer(load_default=0, validate=Range(0, LARGEST_ID))


class Links(Schema):
    """URLs of the next and the previous page."""

    next = fields.String(required=True, allow_none=True)
    prev = fields.String(required=True, allow_none=True)


class Page(Schema):
    """What all pages of a list have in common."""

    page = fields.Integer(required=True)
    per_page = fields.Integer(required=True)
    total = fields.Integer(required=True)
    links = fields.Nested(Links, required=True)


class TaskPage(Page):
    """A page of tasks."""

    items = fields.List(fields.Nested(TaskOut), required=True)


class FindingPage(Page):
    """A page of findings."""

    items = fields.List(fields.Nested(FindingOut), required=True)


class NextLink(Schema):
    """The URL of the next page."""

    next = fields.String(required=True, allow_none=True)


class RunStream(Schema):
    """Runs, newest first, without a `total`, which is slow to count."""

    items = fields.List(fields.Nested(RunOut), required=True)
    per_page = fields.Integer(required=True)
    links = fields.Nested(NextLink, required=True)


class FindingStream(Schema):
    """Findings in the requested order, without a `total`."""

    items = fields.List(fields.Nested(KnownFindingOut), required=True)
    per_page = fields.Integer(required=True)
    links = fields.Nested(NextLink, required=True)


class LogOut(Schema):
    """A piece of a log. Continue with `next_offset` until `ended`."""

    offset = fields.Integer(required=True)
    next_offset = fields.Integer(required=True)
    text = fields.String(required=True)
    ended = fields.Boolean(required=True)


class Problem(Schema):
    """Why a request failed (RFC 9457)."""

    type = fields.String(required=True)
    status = fields.Integer(required=True)
    title = fields.String(required=True)
    detail = fields.String(required=True)
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))
