"""Errors as problem details (RFC 9457), for everything under /api/."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, jsonify, request
from werkzeug.exceptions import HTTPException, NotFound, UnprocessableEntity

_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")
_NO_SUCH_CALL = "The API has no such call. GET /api says where its documentation is."


class InvalidFields(UnprocessableEntity):
    """Fields or parameters are wrong: a sentence for each."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__()
        self.data = {"messages": {"": {name: [sentence] for name, sentence in errors.items()}}}


def belongs_to_api(path: str) -> bool:
    """Return whether errors at this path are problem documents."""
    return path == "/api" or path.startswith("/api/")


def problem(
    status: int, title: str, detail: str, errors: Mapping[str, Any] | Sequence[Any] | None = None
) -> Response:
    """Return a problem document; `errors` is by field or by line."""
    body: dict[str, Any] = {"type": "about:blank", "status": status, "title": title, "detail": detail}
    if errors:
        body["errors"] = errors
    response = jsonify(body)
    response.status_code = status
    response.content_type = "application/problem+json"
    return response


def of_exception(error: HTTPException) -> Response:
    """Return the problem document of an HTTP error or invalid fields."""
    data: Mapping[str, Any] = getattr(error, "data", None) or {}
    errors: dict[str, list[str]] = {}
    # {"json": {"config": {"scan_type": [...]}}} becomes {"config.scan_type": [...]}.
    for messages in (data.get("messages") or data.get("errors") or {}).values():
        _flatten("", messages, errors)
    detail = "Some fields are wrong." if errors else str(error.description or error.name)
    if error.description == NotFound.description:  # no route
        detail = _NO_SUCH_CALL
    answer = problem(error.code or 500, error.name, detail, errors)
    answer.headers.update({name: value for name, value in error.get_headers() if name in _HEADERS})
    return answer


def of_redirect(response: Response) -> Response:
    """Turn the page of a permanent redirect into a problem document.

    Flask sends the redirects of its router past the error handlers.
    """
    if response.status_code != 308 or not belongs_to_api(request.path):
        return response
    location = response.headers["Location"]
    answer = problem(308, "Permanent Redirect", f"Send the request to {location}.")
    answer.headers["Location"] = location
    return answer


def _flatten(prefix: str, messages: object, flat: dict[str, list[str]]) -> None:
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            whole = name == "_schema"  # marshmallow's name for the object itself
            _flatten(prefix if whole else f"{prefix}.{name}".lstrip("."), inner, flat)
    elif isinstance(messages, list):
        flat[prefix or "body"] = [str(sentence) for sentence in messages]
