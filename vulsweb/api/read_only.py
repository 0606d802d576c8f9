"""Fields that GET shows and no call changes; bodies may repeat them."""

from collections.abc import Callable
from typing import Any

from flask import request
from marshmallow import ValidationError, fields

from vulsweb.api.blueprint import read_json
from vulsweb.api.problems import InvalidFields
from vulsweb.api.schemas import Strict

SENTENCE = "This field is read-only. Leave it out, or send it as GET shows it."


def reject_changes(body: type[Strict], read: Callable[[], Any] | None = None) -> None:
    """Refuse read-only fields that differ from those of the current object.

    `read` returns that object; without it, every read-only field is refused.
    """
    sent = read_json(request) or {}
    names = [name for name in body.read_only() if name in sent]
    if not names or body.shown is None:
        return
    shown = body.shown()
    now: dict[str, Any] = shown.dump(read()) if read else {}
    changed = [
        name for name in names if name not in now or not _is_same(shown.fields[name], sent[name], now[name])
    ]
    if changed:
        raise InvalidFields(dict.fromkeys(changed, SENTENCE))


def _is_same(field: fields.Field[Any], sent: Any, now: Any) -> bool:
    """Compare values, not text: a time may be written in several ways."""
    try:
        return bool(field.deserialize(sent) == field.deserialize(now))
    except ValidationError:
        return False
