"""One page of a list."""

from typing import Any

from flask import request
from flask_sqlalchemy.pagination import Pagination
from sqlalchemy import Select

from vulsweb.extensions import db
from vulsweb.models import RunStatus, Trigger
from vulsweb.runs import history
from vulsweb.views import filters, forms


def numbered(query: Select[Any], *, per_page: int, name: str = "page") -> Pagination:
    """Return the requested page of a query; beyond the last, the last.

    `name` is that of the parameter with the number. Anything but a number is the first page.
    """
    page = min(max(request.args.get(name, 1, type=int), 1), forms.LARGEST_ID)
    found = db.paginate(query, page=page, per_page=per_page, error_out=False)
    if found.items or found.page <= max(found.pages, 1):
        return found
    return db.paginate(query, page=max(found.pages, 1), per_page=per_page, error_out=False)


def page_of_runs(task_id: int | None, limit: int) -> dict[str, Any]:
    """Return the template context for the requested page of runs.

    Without `task_id`, these are the runs of all tasks.
    """
    query = forms.run_query(request.args, filters.reader_zone())
    cursor = forms.cursor(request.args)
    before, after = cursor.get("before"), cursor.get("after")
    return {
        "query": query,
        "cursor": cursor,
        "page": history.page(query.filter_of(task_id), limit=limit, before=before, after=after),
        "statuses": RunStatus,
        "triggers": Trigger,
    }
