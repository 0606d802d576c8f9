"""The log card of a run's page.

It shows the end of the log, the block around a line, or search results.
"""

from typing import Any

from werkzeug.datastructures import MultiDict

from vulsweb.models import Run
from vulsweb.runs import logs
from vulsweb.views import forms, log_lines
from vulsweb.views.log_lines import LINES_PER_PAGE

SEARCH_LENGTH = 200


def search_words(args: MultiDict[str, str]) -> str:
    """Return the words to search for."""
    return args.get("q", "").strip()[:SEARCH_LENGTH]


def context(run: Run, args: MultiDict[str, str]) -> dict[str, Any]:
    """Return the template context for the requested part of the log."""
    shared = {"search_length": SEARCH_LENGTH}
    if words := search_words(args):
        matches = log_lines.search(logs.whole_text(run.id), words, after=forms.number(args, "after"))
        return shared | {"words": words, "matches": matches}
    known, ended = logs.outline(run.id), not run.status.is_active
    if line := forms.number(args, "line"):
        first = (min(line, known.lines + 1) - 1) // LINES_PER_PAGE * LINES_PER_PAGE + 1
        last = first + LINES_PER_PAGE - 1
        begin = logs.position(run.id, known, first)
        return shared | {
            "lines": log_lines.block(logs.chunks(run.id, known, begin, last), begin, ended=ended),
            "earlier": first - 1,
            "later": last + 1 if known.lines > last else None,
            "total": known.lines,
        }
    begin = logs.position(run.id, known, known.lines - LINES_PER_PAGE + 1)
    tail = log_lines.read(logs.chunks(run.id, known, begin, known.lines + 1), begin, ended=ended)
    earlier = tail.lines[0].number - 1 if tail.lines else 0
    return shared | {"tail": tail, "lines": tail.lines, "earlier": earlier}
