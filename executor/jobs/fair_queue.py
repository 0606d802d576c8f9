"""The order in which jobs get their turn: one of each group after the other, the oldest first. Pure.

A job that comes gets a number that lies two behind the newest of its group and one behind the job whose
turn is next. So a group that comes late has its first turn after the next one; and however many come later,
and however often, each other group has at most two turns before one that waits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, order=True)
class Place:
    """A job's place in the queue of its lane; places sort in the order of their turns."""

    turn: int
    sequence: int
    lane: str
    group: str  # what it belongs to; one that belongs to nothing is a group of its own
    job_id: str

    @classmethod
    def read(cls, name: str) -> Self:
        """Read a place from its name."""
        turn, sequence, lane, group, job_id = name.split("-")
        return cls(int(turn), int(sequence), lane, group, job_id)

    @property
    def name(self) -> str:
        """Return a name for a file."""
        return f"{self.turn}-{self.sequence}-{self.lane}-{self.group}-{self.job_id}"


def next_turn(group: str, places: Iterable[Place], next_one: Place | None) -> int:
    """Return the turn of a job that comes now.

    `places` are those of the jobs that run or wait, `next_one` is the first of those that wait.
    """
    known = list(places)
    if next_one is None:
        return max((place.turn for place in known), default=0)
    own = [place.turn + 2 for place in known if place.group == group]
    return max([next_one.turn + 1, *own])
