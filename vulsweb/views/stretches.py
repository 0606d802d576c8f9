"""Some runs of a list, as pages show them: which, where in the list, and the way to the next ones."""

from typing import Any

from flask import request

from vulsweb.models import RunStatus, Trigger
from vulsweb.runs import history
from vulsweb.views import forms, words


def read(task_id: int | None, limit: int) -> dict[str, Any]:
    """Return the runs, of one task or of all, that the address asks for, and what draws them."""
    wanted = forms.run_list(request.args, words.reader_zone())
    place = forms.place(request.args)
    before, after = place.get("before"), place.get("after")
    return {
        "wanted": wanted,
        "place": place,
        "here": wanted.address | place,
        "found": history.page(wanted.filter_of(task_id), limit=limit, before=before, after=after),
        "statuses": RunStatus,
        "triggers": Trigger,
    }
