"""One page of a list of runs."""

from typing import Any

from flask import request

from vulsweb.models import RunStatus, Trigger
from vulsweb.runs import history
from vulsweb.views import filters, forms


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
