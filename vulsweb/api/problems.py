"""Errors as problem details (RFC 9457), for everything under /api/."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, jsonify
from werkzeug.exceptions import HTTPException


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
    answer = problem(error.code or 500, error.name, detail, errors)
    answer.headers.update(
        {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    )
    return answer


def _flatten(prefix: str, messages: object, flat: dict[str, list[str]]) -> None:
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            whole = name == "_schema"  # marshmallow's name for the object itself
            _flatten(prefix if whole else f"{prefix}.{name}".lstrip("."), inner, flat)
    elif isinstance(messages, list):
        flat[prefix or "body"] = [str(sentence) for sentence in messages]
