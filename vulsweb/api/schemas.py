"""API schemas of runs, findings and the system."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, fields, pre_dump, pre_load
from marshmallow.validate import ContainsNoneOf, OneOf, Range

from vulsweb.findings.lists import Sort
from vulsweb.models import Run, RunStatus, Trigger
from vulsweb.system.checks import State
from vulsweb.vuls.affected import Kind
from vulsweb.vuls.catalogue import DatabaseType
from vulsweb.vuls.results import Severity, worst_first

LARGEST_ID = 2**31 - 1


class Strict(Schema):
    """A schema that rejects unknown fields.

    Fields of `shown`, which is what GET returns, are known: `read_only.reject_changes` compares them.
    """

    shown: ClassVar[type[Schema] | None] = None

    class Meta:
        """Reject unknown fields, so that a misspelled field is not silently ignored."""

        unknown = RAISE

    @classmethod
    def read_only(cls) -> list[str]:
        """Return the fields that are shown, but cannot be set."""
        return [name for name in cls.shown().fields if name not in cls().fields] if cls.shown else []

    @pre_load
    def set_read_only_aside(self, body: Any, **_: Any) -> Any:
        """Keep the fields that GET shows from being called unknown."""
        if not isinstance(body, Mapping):
            return body
        aside = self.read_only()
        return {name: value for name, value in body.items() if name not in aside}


class Nothing(Strict):
    """The query or body of a call that takes none."""


class TrueOrFalse(fields.Boolean):
    """A boolean of JSON; marshmallow also takes 1 for true, and more."""

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, *args, **options)


def search_text() -> fields.String:
    """Return a parameter with a text to search for."""
    # PostgreSQL's text cannot hold NUL.
    return fields.String(
        load_default="", validate=ContainsNoneOf("\x00", error="Leave out the NUL character.")
    )


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
    """A package or something else that a CVE affects."""

    name = fields.String(required=True)
    installed_version = fields.String(required=True)
    fixed_in = fields.String(required=True)
    fix_state = fields.String(required=True)
    kind = fields.Enum(Kind, by_value=True, required=True)
    path = fields.String(required=True)

    @pre_dump
    def with_kind(self, package: Any, **_: Any) -> dict[str, Any]:
        """Return the package with the kind that older rows lack."""
        stored = package if isinstance(package, dict) else package.as_dict()
        return {"path": "", **stored, "kind": Kind(stored.get("kind", Kind.PACKAGE))}


class FindingOut(Schema):
    """One CVE on one host, as found by a run."""

    cve_id = fields.String(required=True)
    host_id = fields.Integer(required=True)
    host_name = fields.String(required=True)
    severity = fields.Enum(Severity, by_value=True, required=True)
    severity_source = fields.String(required=True)
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
    severity_source = fields.String(required=True)
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


MADE = (
    "When the content was made: by its own metadata, else by its newest entry,"
    " else when an update first brought it."
)
STILL = "Whether updates succeed but bring nothing new, for VULSWEB_CONTENT_DAYS days."


class DatabaseOut(Schema):
    """One vulnerability database; without rows it has never been fetched."""

    name = fields.Enum(DatabaseType, by_value=True, required=True)
    rows = fields.Integer(required=True)
    fetched_at = fields.AwareDateTime(required=True, allow_none=True)
    made_at = fields.AwareDateTime(required=True, allow_none=True, metadata={"description": MADE})
    digest = fields.String(required=True, allow_none=True)
    still = fields.Boolean(required=True, metadata={"description": STILL})
    size_bytes = fields.Integer(required=True)
    old = fields.Boolean(required=True)
    locked = fields.Boolean(required=True)


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
    cve_id = search_text()
    search = search_text()
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
