"""`/api/databases`: the vulnerability databases, their age, and the tasks that update them."""

from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, fields, pre_dump
from werkzeug.exceptions import UnprocessableEntity

from vulsweb import databases
from vulsweb.api.blueprint import Blueprint
from vulsweb.api.schemas import MADE, STILL, CheckOut, Strict
from vulsweb.databases import DatabaseRow, Databases
from vulsweb.executors import settings as executor_settings
from vulsweb.executors.settings import MAIN
from vulsweb.vuls.catalogue import DatabaseType, Profile

bp = Blueprint("api_databases", __name__, url_prefix="/api/databases", description=__doc__)
UNKNOWN = "Null while the executor does not answer."


class UpdatingTaskOut(Schema):
    """A task that updates a database."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    is_active = fields.Boolean(required=True, attribute="active")
    next_run_at = fields.AwareDateTime(required=True, allow_none=True)


class FetchOut(Schema):
    """The result of the latest update of a database."""

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
        fields.String(),
        required=True,
        metadata={"description": "The systems that it serves; empty means every system."},
    )
    detects = fields.Boolean(
        required=True,
        metadata={"description": "Whether scans of the hosts that it serves find nothing without it."},
    )
    read = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={
            "description": "Whether the installed Vuls reads it; null if the version of Vuls is not known."
        },
    )
    why = fields.String(required=True)
    profile = fields.Enum(
        Profile,
        by_value=True,
        required=True,
        metadata={"description": "The executor profile whose Vuls reads it."},
    )
    rows = fields.Integer(required=True, allow_none=True, metadata={"description": UNKNOWN})
    fetched_at = fields.AwareDateTime(required=True, allow_none=True)
    made_at = fields.AwareDateTime(required=True, allow_none=True, metadata={"description": MADE})
    digest = fields.String(
        required=True, allow_none=True, metadata={"description": "It changes with the content."}
    )
    still = fields.Boolean(required=True, allow_none=True, metadata={"description": f"{STILL} {UNKNOWN}"})
    size_bytes = fields.Integer(required=True, allow_none=True, metadata={"description": UNKNOWN})
    old = fields.Boolean(required=True, allow_none=True, metadata={"description": UNKNOWN})
    locked = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": f"Whether another program has its file for itself. {UNKNOWN}"},
    )
    hosts = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "Active hosts that it serves, by family."},
    )
    needed = fields.Boolean(
        required=True, metadata={"description": "Whether scans of some host find nothing without it."}
    )
    tasks = fields.List(fields.Nested(UpdatingTaskOut), required=True)
    last_fetch = fields.Nested(FetchOut, required=True, allow_none=True)
    ended = fields.String(
        required=True,
        metadata={"description": "Why it cannot be fetched any more; empty if it can, or if not known."},
    )

    @pre_dump
    def from_row(self, row: DatabaseRow, **_: Any) -> dict[str, Any]:
        """Return the database in the format of the API."""
        entry, database = row.entry, row.database
        return {
            "name": entry.name,
            "label": entry.name.label,
            "about": entry.about,
            "tool": entry.tool,
            "file": entry.file,
            "families": entry.families,
            "detects": entry.detects,
            "read": row.support.supported,
            "why": row.support.reason,
            "profile": entry.profile,
            "rows": database.rows if database else None,
            "fetched_at": database.fetched_at if database else None,
            "made_at": database.made_at if database else None,
            "digest": database.digest if database else None,
            "still": database.still if database else None,
            "size_bytes": database.size_bytes if database else None,
            "old": database.old if database else None,
            "locked": database.locked if database else None,
            "hosts": row.hosts,
            "needed": row.is_needed,
            "tasks": row.tasks,
            "last_fetch": row.fetch,
            "ended": row.ended,
        }


class DatabasesOut(Schema):
    """All databases of one executor, and whether it answers."""

    executor = fields.Nested(CheckOut, required=True)
    vuls_version = fields.String(
        required=True, allow_none=True, attribute="vuls", metadata={"description": "Such as `Vuls v0.26.0`."}
    )
    profile = fields.Enum(
        Profile, by_value=True, required=True, allow_none=True, metadata={"description": UNKNOWN}
    )
    misfit = fields.String(
        required=True,
        attribute="mismatch",
        metadata={"description": "Why Vuls does not fit the profile; else empty."},
    )
    blind_spots = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Systems with support on which this Vuls finds nothing."},
    )
    items = fields.List(fields.Nested(KnownDatabaseOut), required=True, attribute="rows")
    uncovered = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "Active hosts that no database serves, by family."},
    )


class DatabasesQuery(Strict):
    """Which executor's databases."""

    executor = fields.String(
        load_default=MAIN, metadata={"description": "The name of an executor; by default the main one."}
    )


@bp.get("")
@bp.arguments(DatabasesQuery, location="query")
@bp.response(200, DatabasesOut)
def show(query: dict[str, Any]) -> Databases:
    """List the vulnerability databases.

    For each database: its age and size, whether Vuls reads it, which hosts need it and which tasks update it.
    Answers within about two seconds, even if the executor does not answer.
    """
    executor = next((each for each in executor_settings.configured() if each.name == query["executor"]), None)
    if executor is None:
        raise UnprocessableEntity(f"There is no executor {query['executor']!r}.")
    return databases.read(executor, datetime.now(UTC))
