"""`/api/hosts`: the machines that can be scanned."""

from typing import Any

from flask_smorest import Blueprint
from sqlalchemy import select

from vulsweb.api.paging import page_of
from vulsweb.api.schemas import HostPage, PageQuery
from vulsweb.models import Host

bp = Blueprint("api_hosts", __name__, url_prefix="/api/hosts", description=__doc__)


@bp.get("")
@bp.arguments(PageQuery, location="query")
@bp.response(200, HostPage)
def index(query: dict[str, Any]) -> dict[str, Any]:
    """List the hosts, by name; a host that vanished from config.toml has `retired_at` set."""
    return page_of(select(Host).order_by(Host.name), query["page"], query["per_page"])
