"""Run logs: appended, read from an offset, and addressed by line."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from sqlalchemy import select

from vulsweb.extensions import db
from vulsweb.models import LogChunk, Run, RunJob

_LINE = re.compile(r"^(?=.|\n)", re.MULTILINE)


@dataclass(frozen=True)
class Position:
    """A place in a log: a piece, characters within it, and the number of the line that begins there."""

    piece: int = 0
    skip: int = 0
    line: int = 1


@dataclass(frozen=True)
class Outline:
    """Where the pieces of a log begin, and how many lines are complete when each ends."""

    starts: Sequence[int]
    complete: Sequence[int]

    @property
    def lines(self) -> int:
        """Return how many lines are complete."""
        return self.complete[-1] if self.complete else 0

    def piece_of(self, newline: int) -> int:
        """Return which piece has the end of that line, or the last one."""
        return min(bisect_left(self.complete, newline), len(self.starts) - 1)


def outline(run_id: int) -> Outline:
    """Return the outline of the run's log."""
    rows = db.session.execute(
        select(LogChunk.start, LogChunk.newlines).where(LogChunk.run_id == run_id).order_by(LogChunk.start)
    ).all()
    return Outline([row.start for row in rows], list(accumulate(row.newlines for row in rows)))


def position(run_id: int, known: Outline, line: int) -> Position:
    """Return where a line of the log begins, or the one that is not complete yet."""
    line = min(max(line, 1), known.lines + 1)
    if line == 1:
        return Position()
    index = known.piece_of(line - 1)
    before = known.complete[index - 1] if index else 0
    text = db.session.scalars(
        select(LogChunk.text).where(LogChunk.run_id == run_id, LogChunk.start == known.starts[index])
    ).one()
    skip = 0
    for _ in range(line - 1 - before):
        skip = text.index("\n", skip) + 1
    return Position(known.starts[index], skip, line)


def chunks(run_id: int, known: Outline, begin: Position, last: int) -> Sequence[LogChunk]:
    """Return the pieces from a position on in which the lines up to `last` stand."""
    if not known.starts:
        return []
    end = known.starts[known.piece_of(last)]
    return db.session.scalars(
        select(LogChunk)
        .where(LogChunk.run_id == run_id, LogChunk.start.between(begin.piece, end))
        .order_by(LogChunk.start)
    ).all()


def whole_text(run_id: int) -> str:
    """Return all that is stored of the log."""
    return "".join(
        db.session.scalars(select(LogChunk.text).where(LogChunk.run_id == run_id).order_by(LogChunk.start))
    )


def append(run: Run, job: RunJob, text: str, next_offset: int) -> None:
    """Keep the next piece of a job's log; where the run has several, each line says whose it is."""
    if len(run.jobs) > 1:
        # A piece ends with a line: the executor sees to that.
        text = _LINE.sub(lambda _: f"[{job.executor}] ", text)
    if text:
        db.session.add(LogChunk(run_id=run.id, start=run.log_offset, text=text))
        run.log_offset += len(text.encode())
    job.log_offset = next_offset


def read_from(run_id: int, offset: int) -> tuple[str, int]:
    """Return the stored log from byte `offset` on and where it ends.

    Raise ValueError for an offset that is neither 0 nor where an earlier answer ended.
    """
    # The end first: a piece that comes in meanwhile then belongs to the next answer, not to none.
    end = db.session.scalar(select(Run.log_offset).where(Run.id == run_id)) or 0
    pieces = [piece for piece in chunks_from(run_id, offset) if piece.start < end]
    begins = pieces[0].start if pieces else end
    if offset not in (0, begins):
        raise ValueError("`offset` is 0 or the `next_offset` of an earlier answer.")
    return "".join(piece.text for piece in pieces), end


def chunks_from(run_id: int, start: int) -> Sequence[LogChunk]:
    """Return the stored pieces of the log from the one at byte `start` on."""
    return db.session.scalars(
        select(LogChunk).where(LogChunk.run_id == run_id, LogChunk.start >= start).order_by(LogChunk.start)
    ).all()
