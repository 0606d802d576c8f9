"""A run's log as numbered lines, read piece by piece as it grows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vulsweb.models import LogChunk

SHOWN_AT_ONCE = 2000
_ESCAPE = re.compile(r"\x1b(?:\][^\x07\x1b]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")
_LEVEL = re.compile(r"\b(?:(ERROR|FATAL|CRIT|EROR)|(WARN(?:ING)?))\b")
_HEAD = 80  # a level stands near the beginning; further in the word is part of a sentence


@dataclass(frozen=True)
class Position:
    """How far a log has been read: a piece, characters within it, and the number of the next line."""

    piece: int = 0
    skip: int = 0
    line: int = 1


@dataclass(frozen=True)
class Line:
    """One line, ready to be shown."""

    number: int
    text: str
    level: str


@dataclass(frozen=True)
class Reading:
    """Lines from a position on, and the line still being written: what stands of it and where it begins."""

    lines: list[Line]
    rest: str
    position: Position

    @property
    def left_out(self) -> int:
        """Return how many lines came before those that are shown."""
        return self.lines[0].number - 1 if self.lines else 0


def read(pieces: Sequence[LogChunk], since: Position, *, ended: bool) -> Reading:
    """Return the lines that `pieces`, from `since` on, complete; once the log has ended, its last one too."""
    text = "".join(piece.text for piece in pieces)
    complete, newline, rest = text[since.skip :].rpartition("\n")
    lines = complete.split("\n") if newline else []
    position = _position(pieces, len(text) - len(rest), since, len(lines))
    if ended and rest:
        lines, rest = [*lines, rest], ""
    shown = [_line(since.line + index, line) for index, line in enumerate(lines)]
    return Reading(shown[-SHOWN_AT_ONCE:], tidy(rest), position)


def tidy(text: str) -> str:
    """Return a line as a terminal would leave it: without escapes, after the last carriage return."""
    text = _ESCAPE.sub("", text.rstrip("\r")).rpartition("\r")[2]
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _position(pieces: Sequence[LogChunk], at: int, since: Position, lines: int) -> Position:
    for piece in pieces:
        if at < len(piece.text) or piece is pieces[-1]:
            return Position(piece.start, at, since.line + lines)
        at -= len(piece.text)
    return since


def _line(number: int, text: str) -> Line:
    text = tidy(text)
    level = _LEVEL.search(text[:_HEAD])
    return Line(number, text, "" if level is None else "error" if level[1] else "warning")
