"""`/api/findings`: the findings on all active hosts, open and fixed."""

from typing import Any

from werkzeug.exceptions import UnprocessableEntity

from vulsweb.api.blueprint import Blueprint
from vulsweb.api.paging import page_url
from vulsweb.api.schemas import FindingQuery, FindingStream
from vulsweb.findings import lists as finding_lists
from vulsweb.findings.lists import Filter, NoSuchFinding

bp = Blueprint("api_findings", __name__, url_prefix="/api/findings", description=__doc__)


@bp.get("")
@bp.arguments(FindingQuery, location="query")
@bp.response(200, FindingStream)
def index(query: dict[str, Any]) -> dict[str, Any]:
    """List the findings, worst first unless `sort` is set."""
    filters = Filter(
        fixed=query["status"] == "fixed",
        severities=query.get("severity", ()),
        host_id=query["host_id"],
        first_seen_from=query.get("first_seen_after"),
        cve_id=query["cve_id"],
        text=query["search"],
    )
    try:
        found = finding_lists.page(
            filters, query["sort"], limit=query["per_page"], after=query.get("after_id")
        )
    except NoSuchFinding as error:
        raise UnprocessableEntity("`after_id` must be the id of a finding.") from error
    next_url = page_url(after_id=found.findings[-1].id) if found.later else None
    return {"items": found.findings, "per_page": query["per_page"], "links": {"next": next_url}}
