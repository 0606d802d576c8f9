"""The order of the queue: groups take turns.

Within a group, the oldest job comes first. A new job gets the turn two after its group's last job, and at
least one after the job that is next. So a new group is served right after the next waiting job. However many
jobs follow, no other group gets more than two turns before a waiting group.

This module is pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, order=True)
class QueueEntry:
    """A job's entry in the queue of its lane.

    Entries sort in the order of the queue.
    """

    turn: int
    sequence: int
    lane: str
    group: str  # a job without a group has a group of its own
    job_id: str

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Read an entry from its file's name; None if invalid."""
        try:
            turn, sequence, lane, group, job_id = name.split("-")
            return cls(int(turn), int(sequence), lane, group, job_id)
        except ValueError:
            return None

    @property
    def name(self) -> str:
        """Return the name of the entry's file."""
        return f"{self.turn}-{self.sequence}-{self.lane}-{self.group}-{self.job_id}"


def next_turn(group: str, entries: Iterable[QueueEntry], first_waiting: QueueEntry | None) -> int:
    """Return the turn of a new job.

    `entries` are those of all running and waiting jobs.
    """
    known = list(entries)
    if first_waiting is None:
        return max((entry.turn for entry in known), default=0)
    own = [entry.turn + 2 for entry in known if entry.group == group]
    return max([first_waiting.turn + 1, *own])
