"""`/api/audit`: who did what, and when. For admins."""

from typing import Any

from vulsweb.api.audit_schemas import AuditQuery, AuditStream
from vulsweb.api.blueprint import Blueprint
from vulsweb.api.paging import page_url
from vulsweb.audit import entries

bp = Blueprint("api_audit", __name__, url_prefix="/api/audit", description=__doc__)


@bp.get("")
@bp.arguments(AuditQuery, location="query")
@bp.response(200, AuditStream)
def index(query: dict[str, Any]) -> dict[str, Any]:
    """List the entries of the audit trail, newest first.

    `hash` is the SHA-256 of the other fields as JSON, with sorted keys and no blanks. `previous` is the hash
    of the entry before.
    """
    chosen = entries.Filter(
        actor=query["actor"],
        action=query.get("action"),
        kinds=query.get("kind", ()),
        object_id=query["object_id"],
        text=query["search"],
        since=query.get("created_after"),
        until=query.get("created_before"),
    )
    found = entries.page(chosen, limit=query["per_page"], before=query.get("before_number"))
    next_url = page_url(before_number=found.entries[-1].number or 0) if found.older else None
    return {"items": found.entries, "per_page": query["per_page"], "links": {"next": next_url}}
