"""A run's log as numbered lines: piece by piece as it grows, a block of it, or those with some words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vulsweb.models import LogChunk
from vulsweb.runs.logs import Position
from vulsweb.views import ansi
from vulsweb.views.ansi import Span

# Lines on a page; a block of that many begins at line 1, 501, ...
SHOWN_AT_ONCE = 500
MATCHES_AT_ONCE = 200
CONTEXT = 2
LONGEST = 5000
_LEVEL = re.compile(r"\b(?:(ERROR|FATAL|CRIT|EROR)|(WARN(?:ING)?))\b")
_HEAD = 80  # a level stands near the beginning; further in the word is part of a sentence


@dataclass(frozen=True)
class Line:
    """One line, ready to be shown; `gap` where lines between it and the one before are not."""

    number: int
    spans: Sequence[Span]
    level: str
    cut: int = 0  # characters that are too many to be shown
    gap: bool = False

    @property
    def text(self) -> str:
        """Return what can be read."""
        return "".join(span.text for span in self.spans)


@dataclass(frozen=True)
class Reading:
    """Lines from a position on, and the line still being written: what stands of it and where it begins."""

    lines: list[Line]
    rest: str
    position: Position
    skipped: int  # lines between the position that was asked for and the first that is shown


@dataclass(frozen=True)
class Matches:
    """The lines with the words, with those around them; `total` of them in all, `more` after this one."""

    lines: list[Line]
    total: int
    more: int | None


def read(pieces: Sequence[LogChunk], since: Position, *, ended: bool) -> Reading:
    """Return the lines that `pieces`, from `since` on, complete; once the log has ended, its last one too."""
    text = "".join(piece.text for piece in pieces)
    complete, newline, rest = text[since.skip :].rpartition("\n")
    lines = complete.split("\n") if newline else []
    position = _position(pieces, len(text) - len(rest), since, len(lines))
    if ended and rest:
        lines, rest = [*lines, rest], ""
    skipped = max(len(lines) - SHOWN_AT_ONCE, 0)
    shown = [_line(since.line + skipped + index, line) for index, line in enumerate(lines[skipped:])]
    return Reading(shown, ansi.plain(rest)[-LONGEST:], position, skipped)


def block(pieces: Sequence[LogChunk], begin: Position, *, ended: bool) -> list[Line]:
    """Return the lines of one block; one that is not complete belongs to it once the log has ended."""
    lines = "".join(piece.text for piece in pieces)[begin.skip :].split("\n")
    if len(lines) <= SHOWN_AT_ONCE and not (ended and lines[-1]):
        lines.pop()
    return [_line(begin.line + index, line) for index, line in enumerate(lines[:SHOWN_AT_ONCE])]


def search(text: str, words: str, *, after: int = 0) -> Matches:
    """Return the lines behind line `after` that have the words in them, in whatever case."""
    needle = words.lower()
    numbers = [
        number for number, line in enumerate(ansi.plain(text).lower().split("\n"), 1) if needle in line
    ]
    shown = [number for number in numbers if number > after]
    more, shown = len(shown) > MATCHES_AT_ONCE, shown[:MATCHES_AT_ONCE]
    lines = text.removesuffix("\n").split("\n")
    around = sorted(
        {
            near
            for number in shown
            for near in range(max(number - CONTEXT, 1), min(number + CONTEXT, len(lines)) + 1)
        }
    )
    hits, found, last = set(shown), [], 0
    for number in around:
        marked = words if number in hits else ""
        found.append(_line(number, lines[number - 1], marked=marked, gap=number != last + 1))
        last = number
    return Matches(found, len(numbers), shown[-1] if more else None)


def _position(pieces: Sequence[LogChunk], at: int, since: Position, lines: int) -> Position:
    for piece in pieces:
        if at < len(piece.text) or piece is pieces[-1]:
            return Position(piece.start, at, since.line + lines)
        at -= len(piece.text)
    return since


def _line(number: int, text: str, *, marked: str = "", gap: bool = False) -> Line:
    text = text.rstrip("\r").rpartition("\r")[2]
    cut = max(len(text) - LONGEST, 0)
    spans = ansi.spans(text[:LONGEST] if cut else text)
    level = _LEVEL.search("".join(span.text for span in spans)[:_HEAD])
    return Line(
        number,
        ansi.marked(spans, marked) if marked else spans,
        "" if level is None else "error" if level[1] else "warning",
        cut,
        gap,
    )
