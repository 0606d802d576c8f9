"""`/api/databases`: what Vuls looks into, how old it is, and what keeps it fresh."""

from datetime import UTC, datetime
from typing import Any

from flask_smorest import Blueprint
from marshmallow import Schema, fields, pre_dump
from werkzeug.exceptions import UnprocessableEntity

from vulsweb import databases
from vulsweb.api.schemas import PartOut, Strict
from vulsweb.databases import Databases, Line
from vulsweb.executors import settings as executor_settings
from vulsweb.executors.settings import MAIN
from vulsweb.vuls.catalogue import DatabaseType, Profile

bp = Blueprint("api_databases", __name__, url_prefix="/api/databases", description=__doc__)
NOT_TOLD = "Null while the executor does not answer."


class UpdatingTaskOut(Schema):
    """A task that updates a database."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    is_active = fields.Boolean(required=True, attribute="active")
    next_run_at = fields.AwareDateTime(required=True, allow_none=True)


class FetchOut(Schema):
    """What the latest update of a database came to."""

    run_id = fields.Integer(required=True)
    status = fields.String(required=True)
    message = fields.String(required=True)
    at = fields.AwareDateTime(required=True)


class KnownDatabaseOut(Schema):
    """One database of the catalogue; without rows it has never been fetched."""

    name = fields.Enum(DatabaseType, by_value=True, required=True)
    label = fields.String(required=True)
    about = fields.String(required=True)
    tool = fields.String(required=True)
    file = fields.String(required=True)
    families = fields.List(
        fields.String(), required=True, metadata={"description": "Whom it serves; empty: every system."}
    )
    detects = fields.Boolean(
        required=True,
        metadata={"description": "Whether nothing is found without it, on hosts that it serves."},
    )
    read = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "Whether the Vuls that runs reads it; null: its version is not known."},
    )
    why = fields.String(required=True)
    profile = fields.Enum(
        Profile,
        by_value=True,
        required=True,
        metadata={"description": "Of which Vuls reads it."},
    )
    rows = fields.Integer(required=True, allow_none=True, metadata={"description": NOT_TOLD})
    fetched_at = fields.AwareDateTime(required=True, allow_none=True)
    size_bytes = fields.Integer(required=True, allow_none=True, metadata={"description": NOT_TOLD})
    old = fields.Boolean(required=True, allow_none=True, metadata={"description": NOT_TOLD})
    hosts = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "Hosts in service that it serves, by family."},
    )
    needed = fields.Boolean(
        required=True, metadata={"description": "Whether nothing would be found on some host without it."}
    )
    tasks = fields.List(fields.Nested(UpdatingTaskOut), required=True)
    last_fetch = fields.Nested(FetchOut, required=True, allow_none=True)

    @pre_dump
    def from_line(self, line: Line, **_: Any) -> dict[str, Any]:
        """Lay a database out as the API shows it."""
        entry, held = line.entry, line.held
        return {
            "name": entry.name,
            "label": entry.name.label,
            "about": entry.about,
            "tool": entry.tool,
            "file": entry.file,
            "families": entry.families,
            "detects": entry.detects,
            "read": line.reading.supported,
            "why": line.reading.reason,
            "profile": entry.profile,
            "rows": held.rows if held else None,
            "fetched_at": held.fetched_at if held else None,
            "size_bytes": held.size_bytes if held else None,
            "old": held.old if held else None,
            "hosts": line.hosts,
            "needed": line.is_needed,
            "tasks": line.tasks,
            "last_fetch": line.fetch,
        }


class DatabasesOut(Schema):
    """All databases, and whose word that is."""

    executor = fields.Nested(PartOut, required=True)
    vuls_version = fields.String(
        required=True, allow_none=True, attribute="vuls", metadata={"description": "Such as `Vuls v0.26.0`."}
    )
    profile = fields.Enum(
        Profile, by_value=True, required=True, allow_none=True, metadata={"description": NOT_TOLD}
    )
    misfit = fields.String(
        required=True,
        metadata={"description": "What is wrong where Vuls does not go with the profile; else empty."},
    )
    items = fields.List(fields.Nested(KnownDatabaseOut), required=True, attribute="lines")
    uncovered = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "Hosts in service that no database here covers, by family."},
    )


class DatabasesQuery(Strict):
    """Whose databases."""

    executor = fields.String(
        load_default=MAIN, metadata={"description": "The name of an executor; else it is the main one."}
    )


@bp.get("")
@bp.arguments(DatabasesQuery, location="query")
@bp.response(200, DatabasesOut)
def show(query: dict[str, Any]) -> Databases:
    """Tell of each database what is in it, whether Vuls reads it, who needs it and what updates it.

    It answers within some two seconds, whether the executor does or not.
    """
    executor = next((each for each in executor_settings.configured() if each.name == query["executor"]), None)
    if executor is None:
        raise UnprocessableEntity(f"There is no executor {query['executor']!r}.")
    return databases.read(executor, datetime.now(UTC))
