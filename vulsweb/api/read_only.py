"""Fields that GET shows and no call changes; bodies may repeat them."""

from collections.abc import Callable
from typing import Any

from flask import request
from marshmallow import ValidationError

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
    changed = []
    for name in names:
        field = shown.fields[name]
        try:
            # Values are compared, not text: a time may be written in several ways.
            is_same = name in now and bool(field.deserialize(sent[name]) == field.deserialize(now[name]))
        except ValidationError:
            is_same = False
        if not is_same:
            changed.append(name)
    if changed:
        raise InvalidFields(dict.fromkeys(changed, SENTENCE))
