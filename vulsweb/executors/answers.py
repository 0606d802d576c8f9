"""Checks an executor's answers.

One of another version may say anything.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

Fields = Mapping[str, Callable[[Any], bool]]

# The largest number that PostgreSQL's integer and bigint columns hold.
INTEGER_LIMIT = 2**31 - 1
BIG_LIMIT = 2**63 - 1
SHOWN_CHARACTERS = 60
JOB_STATUSES = ("queued", "running", "completed", "failed", "cancelled", "lost")
STEP_STATUSES = ("waiting", "running", "completed", "failed", "cancelled", "skipped")


class Unexpected(Exception):
    """A part of an answer that we do not understand."""


def read(body: bytes) -> Any:
    """Parse JSON; replace what PostgreSQL's text cannot hold.

    Raise ValueError if it is not JSON.
    """
    try:
        text = body.decode()
        document = json.loads(text)
        # NUL and half characters: a scanned host may send them.
        return _clean(document) if "\\u0000" in text or "\\ud" in text.lower() else document
    except RecursionError as error:
        raise ValueError("It is nested too deeply.") from error


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {_clean(name): _clean(each) for name, each in value.items()}
    return value


def check(where: str, document: Any, required: Fields, optional: Fields | None = None) -> None:
    """Raise Unexpected if a field is missing or has a wrong value.

    Fields that are not listed may be anything: a newer executor has more of them.
    """
    if not isinstance(document, dict):
        raise Unexpected(f"{where} is {_shown(document)}")
    if missing := [name for name in required if name not in document]:
        raise Unexpected(f"{where} has no {missing[0]}")
    for name, is_right in {**(optional or {}), **required}.items():
        if name in document and not is_right(document[name]):
            raise Unexpected(f"{name} of {where} is {_shown(document[name])}")


def check_job(document: Any) -> None:
    """Raise Unexpected if a job is not as the contract describes it."""
    check("the job", document, _JOB, {"tests": _or_none(_is_list), "profile": _or_none(_is_text)})
    for step in document["steps"]:
        check("a step", step, _STEP, _STEP_EXTRA)
    for result in document["results"]:
        check("a result", result, {"server": _is_text, "url": _is_path})
    for database in (document["databases"] or {}).values():
        check("a database", database, {}, _DATABASE)
    for test in document.get("tests") or []:
        check("a test", test, {"server": _is_text, "outcome": _is_text})


def check_log(document: Any, offset: int) -> None:
    """Raise Unexpected if a piece of a log is not as described."""
    check("the log", document, {"text": _is_text, "next_offset": _is_integer})
    if document["next_offset"] < offset:
        raise Unexpected(f"next_offset of the log is {document['next_offset']}, before {offset}")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_path(value: Any) -> bool:
    # Anything else, appended to the executor's address, could name another machine.
    return isinstance(value, str) and value.startswith("/")


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_integer(value: Any) -> bool:
    return type(value) is int and 0 <= value <= INTEGER_LIMIT


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= BIG_LIMIT


def _or_none(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_right(value)


_JOB: Fields = {
    "id": _is_text,
    "status": lambda value: value in JOB_STATUSES,
    "steps": _is_list,
    "log_size": _is_integer,
    "error": _or_none(_is_text),
    "results": _is_list,
    "databases": lambda value: value is None or isinstance(value, dict),
}
_STEP: Fields = {
    "name": _is_text,
    "status": lambda value: value in STEP_STATUSES,
    "message": _or_none(_is_text),
}
_DATABASE: Fields = {
    **dict.fromkeys(("rows", "size_bytes"), _or_none(_is_size)),
    **dict.fromkeys(("fetched_at", "made_at", "digest"), _or_none(_is_text)),
    "changed": lambda value: isinstance(value, bool),
}
_STEP_EXTRA: Fields = {
    **dict.fromkeys(("done", "total", "expected"), _or_none(_is_size)),
    **dict.fromkeys(("unit", "started_at", "ended_at"), _or_none(_is_text)),
}
