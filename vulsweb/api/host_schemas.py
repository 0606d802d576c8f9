"""The shapes of what the API says of hosts."""

from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, fields, pre_dump
from marshmallow.validate import ContainsNoneOf, Length

from vulsweb.api.schemas import Page, PageQuery, Strict
from vulsweb.hosts.connection_tests import explanations
from vulsweb.hosts.inventory import MOST_TAGS, NOTES_LENGTH
from vulsweb.models import ConnectionTest, Host, RunStatus
from vulsweb.vuls import configtest
from vulsweb.vuls.connections import HostConnection
from vulsweb.vuls.results import Outcome, Severity, worst_first

_AS_THEY_ARE = (
    "id",
    "name",
    "hostname",
    "connection",
    "scan_modes",
    "vuls_config",
    "tags",
    "notes",
    "problem",
    "last_scan_at",
    "synced_at",
    "retired_at",
)


@dataclass(frozen=True)
class Counted:
    """A host and its open findings by severity."""

    host: Host
    open_findings: dict[str, int]


SeverityCounts = Schema.from_dict(
    {severity.value: fields.Integer(required=True) for severity in Severity}, name="SeverityCounts"
)


class HostOut(Schema):
    """A machine that is scanned, or a container that a scan found on one."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    hostname = fields.String(required=True)
    connection = fields.Enum(HostConnection, by_value=True, required=True)
    scan_modes = fields.List(fields.String(), required=True)
    vuls_config = fields.Dict(required=True)
    tags = fields.List(fields.String(), required=True)
    notes = fields.String(required=True)
    problem = fields.String(required=True, allow_none=True)
    last_scan_at = fields.AwareDateTime(required=True, allow_none=True)
    last_status = fields.Enum(Outcome, by_value=True, required=True, allow_none=True)
    open_findings = fields.Nested(SeverityCounts, required=True)
    synced_at = fields.AwareDateTime(required=True)
    retired_at = fields.AwareDateTime(required=True, allow_none=True)

    @pre_dump
    def from_host(self, counted: Counted, **_: Any) -> dict[str, Any]:
        """Lay a host out as the API shows it."""
        host = counted.host
        named = {name: getattr(host, name) for name in _AS_THEY_ARE}
        return named | {"last_status": host.last_outcome, "open_findings": counted.open_findings}


class HostPage(Page):
    """A page of hosts."""

    items = fields.List(fields.Nested(HostOut), required=True)


class HostQuery(PageQuery):
    """Which hosts, and which page of them; all, also the retired ones, unless something is asked for."""

    # PostgreSQL's text cannot hold NUL.
    search = fields.String(load_default="", validate=ContainsNoneOf("\x00"))
    tag = fields.String(load_default="", validate=ContainsNoneOf("\x00"))
    connection = fields.Enum(HostConnection, by_value=True, load_default=None)
    retired = fields.Boolean(load_default=None)


class HostIn(Strict):
    """What people say of a host; all else comes from config.toml."""

    tags = fields.List(fields.String(), validate=Length(max=MOST_TAGS))
    notes = fields.String(validate=Length(max=NOTES_LENGTH))


class ExplanationOut(Schema):
    """What a connection test found of one server, and what to do about it."""

    server = fields.String(required=True)
    outcome = fields.Enum(configtest.Outcome, by_value=True, required=True)
    says = fields.String(required=True, attribute="message")
    advice = fields.String(required=True)
    lines = fields.List(fields.String(), required=True)
    detail = fields.String(required=True)


class ConnectionTestOut(Schema):
    """A test of whether Vuls can scan a host; `success` means that it can."""

    id = fields.Integer(required=True)
    host_id = fields.Integer(required=True)
    status = fields.Enum(RunStatus, by_value=True, required=True)
    error_message = fields.String(required=True, allow_none=True)
    servers = fields.List(fields.Nested(ExplanationOut), required=True)
    created_at = fields.AwareDateTime(required=True)
    completed_at = fields.AwareDateTime(required=True, allow_none=True)

    @pre_dump
    def from_test(self, test: ConnectionTest, **_: Any) -> dict[str, Any]:
        """Lay a test out as the API shows it."""
        named = {
            name: getattr(test, name) for name in ("id", "host_id", "status", "created_at", "completed_at")
        }
        return named | {"error_message": test.reason, "servers": explanations(test)}


class SyncOut(Schema):
    """The names of the hosts that a sync touched, and a sentence for each entry that cannot be used."""

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
    """What a run came to on one host; `outcome` is null while it goes on."""

    host_id = fields.Integer(required=True, allow_none=True)
    name = fields.String(required=True)
    outcome = fields.Enum(Outcome, by_value=True, required=True, allow_none=True)
    message = fields.String(required=True, allow_none=True)
    severity_counts = WorstFirst(keys=fields.String(), values=fields.Integer(), required=True)
    packages = fields.Integer(required=True)
    opened = fields.Integer(required=True)
    fixed = fields.Integer(required=True)


class RunHostPage(Page):
    """A page of a run's hosts."""

    items = fields.List(fields.Nested(RunHostOut), required=True)
