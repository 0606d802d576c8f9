"""ETag and If-Match: changes only of what the caller has read."""

from typing import Any

from flask import request
from werkzeug.exceptions import PreconditionFailed
from werkzeug.http import quote_etag

# For the OpenAPI document, on the calls that ask for it.
IF_MATCH: dict[str, Any] = {
    "in": "header",
    "name": "If-Match",
    "description": "The ETag of an earlier answer. If it has changed since, the call answers 412.",
    "schema": {"type": "string"},
}


def etag(version: object) -> dict[str, str]:
    """Return the header that names a version."""
    return {"ETag": quote_etag(str(version))}


def require_match(version: object) -> None:
    """Raise PreconditionFailed if the caller read another version.

    A request without If-Match takes whatever there is.
    """
    if request.if_match and not request.if_match.contains(str(version)):
        raise PreconditionFailed(
            f"It has changed since you read it. Read it again: its ETag is now {quote_etag(str(version))}."
        )
