"""Errors as problem details (RFC 9457), for everything under /api/."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, jsonify
from werkzeug.exceptions import HTTPException


def problem(
    status: int, title: str, detail: str, errors: Mapping[str, Any] | Sequence[Any] | None = None
) -> Response:
    """Return a problem document; `errors` has sentences for each wrong field, or an entry for each line."""
    body: dict[str, Any] = {"type": "about:blank", "status": status, "title": title, "detail": detail}
    if errors:
        body["errors"] = errors
    response = jsonify(body)
    response.status_code = status
    response.content_type = "application/problem+json"
    return response


def of_exception(error: HTTPException) -> Response:
    """Return the problem that an HTTP error stands for, with what webargs found wrong in the request."""
    data: Mapping[str, Any] = getattr(error, "data", None) or {}
    errors = _by_field(data.get("messages") or data.get("errors") or {})
    detail = "Some fields are wrong." if errors else str(error.description or error.name)
    answer = problem(error.code or 500, error.name, detail, errors)
    answer.headers.update(
        {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    )
    return answer


def _by_field(messages: Mapping[str, Any]) -> dict[str, list[str]]:
    """Flatten {"json": {"config": {"scan_type": [...]}}} to {"config.scan_type": [...]}."""
    flat: dict[str, list[str]] = {}
    for place in messages.values():
        _flatten("", place, flat)
    return flat


def _flatten(prefix: str, found: object, flat: dict[str, list[str]]) -> None:
    if isinstance(found, Mapping):
        for name, inner in found.items():
            whole = name == "_schema"  # marshmallow's name for the object itself
            _flatten(prefix if whole else f"{prefix}.{name}".lstrip("."), inner, flat)
    elif isinstance(found, list):
        flat[prefix or "body"] = [str(sentence) for sentence in found]
