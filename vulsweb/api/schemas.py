"""The shapes of the API's bodies."""

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
    "While an earlier run of the task is not over, a new one is skipped (`skip`), waits for it (`wait`; one"
    " waits at most), or has it stopped and starts then (`replace`)."
)

ABSENCE_RULES = (
    "While the executor that is to run it does not answer, a run waits (`wait`), or fails (`fail`): at once,"
    " or after five minutes of silence where it had begun."
)


class Strict(Schema):
    """A schema that refuses fields it does not know."""

    class Meta:
        """Refuse what we do not know, so that a misspelt field is not lost in silence."""

        unknown = RAISE


class TaskConfig(Strict):
    """What a task does: a scan type, or a database type."""

    scan_type = fields.Enum(ScanType, by_value=True)
    database_type = fields.Enum(DatabaseType, by_value=True)


class TaskIn(Strict):
    """A task as a person defines it."""

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
        """Lay a task out as the API shows it."""
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
        """Lay a run out as the API shows it."""
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
            "result_data": _ordered(run.result_data),
            "error_message": run.reason,
            "created_at": run.created_at,
        }


def _ordered(result_data: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what a run came to with its severities worst first."""
    if not result_data or "severity_counts" not in result_data:
        return result_data
    return result_data | {"severity_counts": worst_first(result_data["severity_counts"])}


class PackageOut(Schema):
    """A package that a CVE affects."""

    name = fields.String(required=True)
    installed_version = fields.String(required=True)
    fixed_in = fields.String(required=True)
    fix_state = fields.String(required=True)


class FindingOut(Schema):
    """One CVE on one host, as a run saw it."""

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


class PartOut(Schema):
    """One part of the system."""

    name = fields.String(required=True)
    label = fields.String(required=True)
    state = fields.Enum(State, by_value=True, required=True)
    says = fields.String(required=True)
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


class SiteOut(Schema):
    """One executor: its state, and what it has to work with."""

    name = fields.String(required=True)
    tags = fields.List(fields.String(), required=True)
    state = fields.Enum(State, by_value=True, required=True)
    tools = fields.List(fields.Nested(ToolOut), required=True)
    databases = fields.List(fields.Nested(DatabaseOut), required=True)


class SystemOut(Schema):
    """All parts, and the state of the worst; `tools` and `databases` are the main executor's."""

    state = fields.Enum(State, by_value=True, required=True)
    parts = fields.List(fields.Nested(PartOut), required=True)
    executors = fields.List(fields.Nested(SiteOut), required=True, attribute="sites")
    tools = fields.List(fields.Nested(ToolOut), required=True)
    databases = fields.List(fields.Nested(DatabaseOut), required=True)


class PageQuery(Schema):
    """Which page of a list."""

    page = fields.Integer(load_default=1, validate=Range(1, 1_000_000))
    per_page = fields.Integer(load_default=50, validate=Range(1, 500))


class TaskQuery(PageQuery):
    """Which tasks, and which page of them."""

    task_type = fields.Enum(TaskType, by_value=True, load_default=None)
    is_active = fields.Boolean(load_default=None)
    # PostgreSQL's text cannot hold NUL.
    search = fields.String(load_default="", validate=ContainsNoneOf("\x00"))


class Moment(fields.AwareDateTime):
    """A time as PostgreSQL takes it: in UTC, for it refuses offsets that ISO 8601 allows."""

    def _deserialize(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._deserialize(*args, **kwargs).astimezone(UTC)
        except OverflowError as error:
            raise self.make_error("invalid", input=args[0], obj_type=self.OBJ_TYPE) from error


class HistoryQuery(Schema):
    """Which runs of a task, from the newest on or from before the run `before_id`."""

    status = fields.List(fields.Enum(RunStatus, by_value=True))
    trigger = fields.Enum(Trigger, by_value=True, load_default=None)
    created_after = Moment(default_timezone=UTC)
    created_before = Moment(default_timezone=UTC)
    before_id = fields.Integer(validate=Range(1, LARGEST_ID))
    per_page = fields.Integer(load_default=50, validate=Range(1, 500))


class FindingQuery(Schema):
    """Which findings, in which order: the first of them, or those next to the finding `after_id`."""

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
    """Which runs, from the newest on or from before the run `before_id`."""

    scheduled_task_id = fields.Integer(validate=Range(1, LARGEST_ID))


class LogQuery(Schema):
    """From where on to read a log."""

    offset = fields.Integer(load_default=0, validate=Range(0, LARGEST_ID))


class Links(Schema):
    """Addresses of the neighbouring pages."""

    next = fields.String(required=True, allow_none=True)
    prev = fields.String(required=True, allow_none=True)


class Page(Schema):
    """What every page of a list says of itself."""

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
    """The address of the next page."""

    next = fields.String(required=True, allow_none=True)


class RunStream(Schema):
    """Some runs, newest first. There is no `total`: counting a million runs would cost more than the page."""

    items = fields.List(fields.Nested(RunOut), required=True)
    per_page = fields.Integer(required=True)
    links = fields.Nested(NextLink, required=True)


class FindingStream(Schema):
    """Some findings in their order; without a `total`, as of runs."""

    items = fields.List(fields.Nested(KnownFindingOut), required=True)
    per_page = fields.Integer(required=True)
    links = fields.Nested(NextLink, required=True)


class LogOut(Schema):
    """A part of a run's log: ask again from `next_offset` on, until `ended`."""

    offset = fields.Integer(required=True)
    next_offset = fields.Integer(required=True)
    text = fields.String(required=True)
    ended = fields.Boolean(required=True)


class Problem(Schema):
    """Why a request was not done (RFC 9457)."""

    type = fields.String(required=True)
    status = fields.Integer(required=True)
    title = fields.String(required=True)
    detail = fields.String(required=True)
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))
