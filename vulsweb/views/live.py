"""Live parts of pages: a fragment that answers 204 for as long as it would look the same."""

import hashlib
from collections.abc import Callable
from typing import Any

from flask import Response, make_response, render_template, request

from vulsweb import changes


def key(*facts: object) -> str:
    """Return a short name for a state of affairs, for the address that a live part asks again."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def fragment(template: str, seen: str, **context: object) -> Response:
    """Return the fragment, or 204 when the browser shows what `seen` names already."""
    if request.args.get("seen") == seen:
        return Response(status=204)
    return Response(render_template(template, seen=seen, **context))


def listing(page: str, part: str, read: Callable[[], dict[str, Any]]) -> Response:
    """Return a page of tasks or runs, or its live part alone when HTMX asks for that.

    `read` makes all queries for what they show, so that nothing of it is older than the version. It is not
    called while nothing has been written since the part was drawn.
    """
    alone = "HX-Request" in request.headers
    seen = str(changes.version())
    if alone and request.args.get("seen") == seen:
        return Response(status=204)
    if not changes.settled():
        # Somebody is about to commit what this version counts: the next question must be answered anew.
        seen = ""
    answer = make_response(render_template(part if alone else page, seen=seen, **read()))
    answer.vary.add("HX-Request")  # or the back button may show the part for the page
    return answer
