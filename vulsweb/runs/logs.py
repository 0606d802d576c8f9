"""Run logs: stored in pieces, read by offset or line number."""

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
    """Where a line begins: a piece, and characters to skip."""

    piece: int = 0
    skip: int = 0
    line: int = 1


@dataclass(frozen=True)
class Outline:
    """Where each piece begins, and the complete lines at its end."""

    starts: Sequence[int]
    complete: Sequence[int]

    @property
    def lines(self) -> int:
        """Return the number of complete lines."""
        return self.complete[-1] if self.complete else 0

    def piece_of(self, newline: int) -> int:
        """Return the index of the piece in which a line ends."""
        return min(bisect_left(self.complete, newline), len(self.starts) - 1)


def outline(run_id: int) -> Outline:
    """Return the outline of the run's log."""
    rows = db.session.execute(
        select(LogChunk.start, LogChunk.newlines).where(LogChunk.run_id == run_id).order_by(LogChunk.start)
    ).all()
    return Outline([row.start for row in rows], list(accumulate(row.newlines for row in rows)))


def position(run_id: int, log_outline: Outline, line: int) -> Position:
    """Return where a line of the log begins.

    A number past the end means the last line, which is not complete yet.
    """
    line = min(max(line, 1), log_outline.lines + 1)
    if line == 1:
        return Position()
    index = log_outline.piece_of(line - 1)
    start = log_outline.starts[index]
    before = log_outline.complete[index - 1] if index else 0
    text = db.session.scalars(
        select(LogChunk.text).where(LogChunk.run_id == run_id, LogChunk.start == start)
    ).one()
    skip = 0
    for _ in range(line - 1 - before):
        skip = text.index("\n", skip) + 1
    return Position(start, skip, line)


def chunks(run_id: int, log_outline: Outline, begin: Position, last: int) -> Sequence[LogChunk]:
    """Return the pieces with the lines from a position to `last`."""
    if not log_outline.starts:
        return []
    end = log_outline.starts[log_outline.piece_of(last)]
    return db.session.scalars(
        select(LogChunk)
        .where(LogChunk.run_id == run_id, LogChunk.start.between(begin.piece, end))
        .order_by(LogChunk.start)
    ).all()


def whole_text(run_id: int) -> str:
    """Return the whole stored log."""
    return "".join(
        db.session.scalars(select(LogChunk.text).where(LogChunk.run_id == run_id).order_by(LogChunk.start))
    )


def append(run: Run, job: RunJob, text: str, next_offset: int) -> None:
    """Store the next piece of a job's log.

    If the run has several jobs, each line is prefixed with the executor's name.
    """
    if len(run.jobs) > 1:
        # The executor ends each piece with a complete line.
        text = _LINE.sub(lambda _: f"[{job.executor}] ", text)
    if text:
        db.session.add(LogChunk(run_id=run.id, start=run.log_offset, text=text))
        run.log_offset += len(text.encode())
    job.log_offset = next_offset


def read_from(run_id: int, offset: int) -> tuple[str, int]:
    """Return the log from byte `offset`, and the offset of its end.

    Raise ValueError for an offset that is neither 0 nor the end of an earlier answer.
    """
    # Read the end first, so that a piece stored meanwhile belongs to the next answer and is not lost.
    end = db.session.scalar(select(Run.log_offset).where(Run.id == run_id)) or 0
    pieces = [piece for piece in chunks_from(run_id, offset) if piece.start < end]
    begins = pieces[0].start if pieces else end
    if offset not in (0, begins):
        raise ValueError("`offset` is 0 or the `next_offset` of an earlier answer.")
    return "".join(piece.text for piece in pieces), end


def chunks_from(run_id: int, start: int) -> Sequence[LogChunk]:
    """Return the stored pieces of the log from byte `start`."""
    return db.session.scalars(
        select(LogChunk).where(LogChunk.run_id == run_id, LogChunk.start >= start).order_by(LogChunk.start)
    ).all()
