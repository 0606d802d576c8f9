"""What the card of a run's log shows: its end, the block around a line, or what a search finds."""

from typing import Any

from werkzeug.datastructures import MultiDict

from vulsweb.models import Run
from vulsweb.runs import logs
from vulsweb.views import forms, log_lines
from vulsweb.views.log_lines import SHOWN_AT_ONCE

LONGEST_SEARCH = 200


def words(query: MultiDict[str, str]) -> str:
    """Return the words that the address searches for."""
    return query.get("q", "").strip()[:LONGEST_SEARCH]


def shown(run: Run, query: MultiDict[str, str]) -> dict[str, Any]:
    """Return what the address asks for of the run's log."""
    if words(query):
        found = log_lines.search(logs.whole_text(run.id), words(query), after=forms.number(query, "after"))
        return {"words": words(query), "found": found}
    if line := forms.number(query, "line"):
        return _block(run, line)
    known = logs.outline(run.id)
    begin = logs.position(run.id, known, known.lines - SHOWN_AT_ONCE + 1)
    pieces = logs.chunks(run.id, known, begin, known.lines + 1)
    reading = log_lines.read(pieces, begin, ended=not run.status.is_active)
    return {
        "reading": reading,
        "lines": reading.lines,
        "earlier": reading.lines[0].number - 1 if reading.lines else 0,
    }


def _block(run: Run, line: int) -> dict[str, Any]:
    known = logs.outline(run.id)
    line = min(line, known.lines + 1)
    first = (line - 1) // SHOWN_AT_ONCE * SHOWN_AT_ONCE + 1
    begin, last = logs.position(run.id, known, first), first + SHOWN_AT_ONCE - 1
    pieces = logs.chunks(run.id, known, begin, last)
    lines = log_lines.block(pieces, begin, ended=not run.status.is_active)
    return {
        "lines": lines,
        "earlier": first - 1,
        "later": last + 1 if known.lines > last else None,
        "of": known.lines,
    }
