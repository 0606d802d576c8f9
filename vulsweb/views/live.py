"""Live parts of pages: fragments that answer 204 while nothing has changed."""

import hashlib
from collections.abc import Callable
from typing import Any

from flask import Response, make_response, render_template, request

from vulsweb import changes


def fingerprint(*facts: object) -> str:
    """Return a short hash of what a fragment shows.

    It is part of the URL that the fragment polls.
    """
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def fragment(template: str, seen: str, **context: object) -> Response:
    """Return the fragment, or 204 if the browser shows it already."""
    if request.args.get("seen") == seen:
        return Response(status=204)
    return Response(render_template(template, seen=seen, **context))


def listing(page: str, part: str, context: Callable[[], dict[str, Any]]) -> Response:
    """Return a page, or for HTMX only its live part.

    `context` makes all queries, after the version was read, so that nothing shown is older than the version.
    It is not called if nothing was written since the part was rendered.
    """
    part_only = "HX-Request" in request.headers
    seen = str(changes.version())
    if part_only and request.args.get("seen") == seen:
        return Response(status=204)
    if not changes.settled():
        # Another transaction has taken this version and not committed yet, so the next poll must query again.
        seen = ""
    answer = make_response(render_template(part if part_only else page, seen=seen, **context()))
    answer.vary.add("HX-Request")  # else the back button may show the part instead of the page
    return answer
