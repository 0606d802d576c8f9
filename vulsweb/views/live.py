"""Live parts of pages: a fragment that answers 204 for as long as it would look the same."""

import hashlib

from flask import Response, render_template, request


def key(*facts: object) -> str:
    """Return a short name for a state of affairs, for the address that a live part asks again."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def fragment(template: str, seen: str, **context: object) -> Response:
    """Return the fragment, or 204 when the browser shows what `seen` names already."""
    if request.args.get("seen") == seen:
        return Response(status=204)
    return Response(render_template(template, seen=seen, **context))
