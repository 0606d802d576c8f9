"""API schemas of hosts."""

from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, fields, pre_dump
from marshmallow.validate import Length

from vulsweb.api.schemas import Page, PageQuery, Strict, search_text
from vulsweb.hosts.connection_tests import explanations
from vulsweb.hosts.inventory import MOST_TAGS, NOTES_LENGTH
from vulsweb.models import ConnectionTest, Host, RunStatus
from vulsweb.vuls import configtest
from vulsweb.vuls.connections import HostConnection
from vulsweb.vuls.results import Outcome, Severity, worst_first

_SAME_FIELDS = (
    "id",
    "name",
    "hostname",
    "connection",
    "scan_modes",
    "vuls_config",
    "tags",
    "notes",
    "problem",
    "family",
    "release",
    "kernel",
    "restart_required",
    "support_ends",
    "warned",
    "last_scan_at",
    "synced_at",
    "retired_at",
)


@dataclass(frozen=True)
class Counted:
    """A host, with its open findings counted by severity."""

    host: Host
    open_findings: dict[str, int]


SeverityCounts = Schema.from_dict(
    {severity.value: fields.Integer(required=True) for severity in Severity}, name="SeverityCounts"
)


class HostOut(Schema):
    """A machine from config.toml, or a container found on one."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    hostname = fields.String(required=True)
    connection = fields.Enum(HostConnection, by_value=True, required=True)
    scan_modes = fields.List(fields.String(), required=True)
    vuls_config = fields.Dict(required=True)
    tags = fields.List(fields.String(), required=True)
    notes = fields.String(required=True)
    problem = fields.String(required=True, allow_none=True)
    family = fields.String(required=True, metadata={"description": "As Vuls names it; empty if unknown."})
    release = fields.String(required=True)
    kernel = fields.String(required=True)
    restart_required = fields.Boolean(required=True)
    support_ends = fields.Date(required=True, allow_none=True)
    warned = fields.Boolean(required=True)
    last_scan_at = fields.AwareDateTime(required=True, allow_none=True)
    last_status = fields.Enum(Outcome, by_value=True, required=True, allow_none=True)
    open_findings = fields.Nested(SeverityCounts, required=True)
    synced_at = fields.AwareDateTime(required=True)
    retired_at = fields.AwareDateTime(required=True, allow_none=True)

    @pre_dump
    def from_host(self, counted: Counted, **_: Any) -> dict[str, Any]:
        """Return the host in the format of the API."""
        host = counted.host
        named = {name: getattr(host, name) for name in _SAME_FIELDS}
        return named | {"last_status": host.last_outcome, "open_findings": counted.open_findings}


class HostPage(Page):
    """A page of hosts."""

    items = fields.List(fields.Nested(HostOut), required=True)


class HostQuery(PageQuery):
    """Filters and page; by default all hosts, including retired ones."""

    search = search_text()
    tag = search_text()
    connection = fields.Enum(HostConnection, by_value=True, load_default=None)
    family = search_text()
    release = search_text()
    end_of_life = fields.Boolean(load_default=False)
    warned = fields.Boolean(load_default=False)
    retired = fields.Boolean(load_default=None)


class HostIn(Strict):
    """What users can change; everything else comes from config.toml."""

    shown = HostOut

    tags = fields.List(fields.String(), validate=Length(max=MOST_TAGS))
    notes = fields.String(validate=Length(max=NOTES_LENGTH))


class ExplanationOut(Schema):
    """The result of a connection test of one server, with advice."""

    server = fields.String(required=True)
    outcome = fields.Enum(configtest.Outcome, by_value=True, required=True)
    says = fields.String(required=True, attribute="message")
    advice = fields.String(required=True)
    lines = fields.List(fields.String(), required=True)
    detail = fields.String(required=True)


class ConnectionTestOut(Schema):
    """A connection test; `success` means that Vuls can scan the host."""

    id = fields.Integer(required=True)
    host_id = fields.Integer(required=True)
    status = fields.Enum(RunStatus, by_value=True, required=True)
    error_message = fields.String(required=True, allow_none=True)
    servers = fields.List(fields.Nested(ExplanationOut), required=True)
    created_at = fields.AwareDateTime(required=True)
    completed_at = fields.AwareDateTime(required=True, allow_none=True)

    @pre_dump
    def from_test(self, test: ConnectionTest, **_: Any) -> dict[str, Any]:
        """Return the test in the format of the API."""
        named = {
            name: getattr(test, name) for name in ("id", "host_id", "status", "created_at", "completed_at")
        }
        return named | {"error_message": test.reason, "servers": explanations(test)}


class Confirm(Schema):
    """Whether to retire hosts even if those are most."""

    confirm = fields.Boolean(load_default=False)


class SyncOut(Schema):
    """Host names by result of the sync, and errors of invalid entries."""

    created = fields.List(fields.String(), required=True)
    updated = fields.List(fields.String(), required=True)
    retired = fields.List(fields.String(), required=True)
    unchanged = fields.List(fields.String(), required=True)
    errors = fields.List(fields.String(), required=True)


class WorstFirst(fields.Dict):
    """Counts by severity, worst first."""

    def _serialize(self, value: Any, *_: Any, **__: Any) -> dict[str, int]:
        return worst_first(value)


class RunHostOut(Schema):
    """The result of a run on one host; null `outcome`: none yet."""

    host_id = fields.Integer(required=True, allow_none=True)
    name = fields.String(required=True)
    outcome = fields.Enum(Outcome, by_value=True, required=True, allow_none=True)
    message = fields.String(required=True, allow_none=True)
    severity_counts = WorstFirst(keys=fields.String(), values=fields.Integer(), required=True)
    packages = fields.Integer(required=True)
    opened = fields.Integer(required=True)
    fixed = fields.Integer(required=True)
    warnings = fields.List(fields.String(), required=True)
    detected_by = fields.Dict(
        required=True,
        allow_none=True,
        attribute="result.detected_by",
        dump_default=None,
        metadata={"description": "The Vuls and the databases that looked, as stored with its document."},
    )


class RunHostPage(Page):
    """A page of a run's hosts."""

    items = fields.List(fields.Nested(RunHostOut), required=True)
