"""Pages of lists, with links to the next and previous page."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from flask import request, url_for
from sqlalchemy import Select
from sqlalchemy.orm import selectinload

from vulsweb.extensions import db
from vulsweb.models import Run
from vulsweb.runs import history

Row = TypeVar("Row")


def page_of(query: Select[Any], page: int, per_page: int) -> dict[str, Any]:
    """Return one page of `query`."""
    found = db.paginate(query, page=page, per_page=per_page, max_per_page=500, error_out=False)
    return _page(found.items, found.total or 0, page, per_page)


def page_of_list(rows: Sequence[Row], page: int, per_page: int) -> dict[str, Any]:
    """Return one page of `rows`."""
    start = (page - 1) * per_page
    return _page(rows[start : start + per_page], len(rows), page, per_page)


def stream(query: Mapping[str, Any], task_id: int | None) -> dict[str, Any]:
    """Return the runs of one task or all for a HistoryQuery."""
    filters = history.Filter(
        task_id=task_id,
        statuses=query.get("status", ()),
        trigger=query["trigger"],
        since=query.get("created_after"),
        until=query.get("created_before"),
    )
    cursor = {"limit": query["per_page"], "before": query.get("before_id")}
    found = history.page(filters, **cursor, options=[selectinload(Run.jobs)])
    next_url = page_url(before_id=found.runs[-1].id) if found.older else None
    return {"items": found.runs, "per_page": query["per_page"], "links": {"next": next_url}}


def _page(items: Sequence[Any], total: int, page: int, per_page: int) -> dict[str, Any]:
    return {
        "items": items,
        "page": page,
        "per_page": per_page,
        "total": total,
        "links": {
            "next": page_url(page=page + 1) if page * per_page < total else None,
            "prev": page_url(page=page - 1) if page > 1 else None,
        },
    }


def page_url(**changed: int) -> str:
    """Return the URL of the request with some arguments changed."""
    assert request.endpoint is not None  # noqa: S101 - pages are served by endpoints
    arguments: dict[str, Any] = request.args.to_dict(flat=False)
    return url_for(request.endpoint, **(arguments | (request.view_args or {}) | changed))
