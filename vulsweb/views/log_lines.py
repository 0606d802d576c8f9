"""A run's log as numbered lines: new ones, blocks, search results."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vulsweb.models import LogChunk
from vulsweb.runs.logs import Position
from vulsweb.views import ansi
from vulsweb.views.ansi import Span

# Blocks of this many lines begin at line 1, 501, ...
LINES_PER_PAGE = 500
MATCHES_PER_PAGE = 200
CONTEXT_LINES = 2  # before and after a match
LINE_LENGTH = 5000  # characters of a line that are shown
_LEVEL = re.compile(r"\b(?:(ERROR|FATAL|CRIT|EROR)|(WARN(?:ING)?))\b")
_LEVEL_WITHIN = 80  # characters; further in, the word is part of a sentence


@dataclass(frozen=True)
class Line:
    """One line to show.

    `gap` is set if lines before it are left out.
    """

    number: int
    spans: Sequence[Span]
    level: str
    cut: int = 0  # number of characters that are not shown
    gap: bool = False

    @property
    def text(self) -> str:
        """Return the text without styles."""
        return "".join(span.text for span in self.spans)


@dataclass(frozen=True)
class Tail:
    """Lines from a position on.

    `rest` is the incomplete last line, which begins at `position`.
    """

    lines: list[Line]
    rest: str
    position: Position
    skipped: int  # number of lines left out before the first one


@dataclass(frozen=True)
class Matches:
    """Matching lines with their context.

    If `more` is set, further matches follow after that line.
    """

    lines: list[Line]
    total: int
    more: int | None


def read(pieces: Sequence[LogChunk], since: Position, *, ended: bool) -> Tail:
    """Return the complete lines from `since` on.

    If the log has ended, this includes its incomplete last line.
    """
    text = "".join(piece.text for piece in pieces)
    complete, newline, rest = text[since.skip :].rpartition("\n")
    lines = complete.split("\n") if newline else []
    position, offset = since, len(text) - len(rest)
    for piece in pieces:
        if offset < len(piece.text) or piece is pieces[-1]:
            position = Position(piece.start, offset, since.line + len(lines))
            break
        offset -= len(piece.text)
    if ended and rest:
        lines, rest = [*lines, rest], ""
    skipped = max(len(lines) - LINES_PER_PAGE, 0)
    shown = [_line(since.line + skipped + index, line) for index, line in enumerate(lines[skipped:])]
    return Tail(shown, ansi.plain(rest)[-LINE_LENGTH:], position, skipped)


def block(pieces: Sequence[LogChunk], begin: Position, *, ended: bool) -> list[Line]:
    """Return the lines of one block.

    If the log has ended, this includes its incomplete last line.
    """
    lines = "".join(piece.text for piece in pieces)[begin.skip :].split("\n")
    if len(lines) <= LINES_PER_PAGE and not (ended and lines[-1]):
        lines.pop()
    return [_line(begin.line + index, line) for index, line in enumerate(lines[:LINES_PER_PAGE])]


def search(text: str, words: str, *, after: int = 0) -> Matches:
    """Return the lines after line `after` that contain the words, ignoring case."""
    needle = words.lower()
    numbers = [
        number for number, line in enumerate(ansi.plain(text).lower().split("\n"), 1) if needle in line
    ]
    shown = [number for number in numbers if number > after]
    more, shown = len(shown) > MATCHES_PER_PAGE, shown[:MATCHES_PER_PAGE]
    lines = text.removesuffix("\n").split("\n")
    around = sorted(
        {
            near
            for number in shown
            for near in range(max(number - CONTEXT_LINES, 1), min(number + CONTEXT_LINES, len(lines)) + 1)
        }
    )
    hits, found, last = set(shown), [], 0
    for number in around:
        marked = words if number in hits else ""
        found.append(_line(number, lines[number - 1], marked=marked, gap=number != last + 1))
        last = number
    return Matches(found, len(numbers), shown[-1] if more else None)


def _line(number: int, text: str, *, marked: str = "", gap: bool = False) -> Line:
    text = text.rstrip("\r").rpartition("\r")[2]
    cut = max(len(text) - LINE_LENGTH, 0)
    spans = ansi.spans(text[:LINE_LENGTH] if cut else text)
    level = _LEVEL.search("".join(span.text for span in spans)[:_LEVEL_WITHIN])
    return Line(
        number,
        ansi.marked(spans, marked) if marked else spans,
        "" if level is None else "error" if level[1] else "warning",
        cut,
        gap,
    )
