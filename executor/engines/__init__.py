"""Engines run one tool command; callers name a tool and its arguments, never how it is run."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# How often a running tool is looked after.
POLL_SECONDS = 0.1
# How much of a tool's last words is kept.
TAIL_BYTES = 64 * 1024


@dataclass(frozen=True)
class Command:
    """One call of a tool, as a list of arguments: no shell ever reads it."""

    tool: str
    arguments: tuple[str, ...]
    timeout_seconds: int
    fetches: bool = False  # whether it goes to the internet for a database, whatever its tool

    def __str__(self) -> str:
        return " ".join((self.tool, *self.arguments))

    @property
    def key(self) -> str:
        """Return a name that only this command has within its job."""
        return hashlib.sha256("\0".join((self.tool, *self.arguments)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Outcome:
    """What a command that ended by itself left behind: its exit code and the end of its output.

    A negative exit code is a signal's number; `because` says more where the engine knows more.
    """

    exit_code: int
    tail: bytes
    because: str | None = None


@dataclass(frozen=True)
class Waiting:
    """Whoever waits for a tool to be had; `check` is called many times a second and raises to give up."""

    say: Callable[[str], None]
    tell: Callable[[int, int], None]  # how many bytes have come, of how many
    check: Callable[[], None]


class Engine(Protocol):
    """What runs commands. An engine that `adopts` finds a job's commands again after its runner died."""

    adopts: bool

    def prepare(self, command: Command, waiting: Waiting) -> None:
        """See to it that the command's tool is here; raise ToolMissingError where it cannot be had."""
        ...

    def run(
        self,
        command: Command,
        *,
        job_id: str,
        folder: Path,
        write: Callable[[bytes], None],
        check: Callable[[], None],
    ) -> Outcome:
        """Run one command in `folder` to its end, handing its output to `write` as it comes.

        `check` is called many times a second and raises to end the command early. Where an engine adopts a
        command, `write` gets its output from the beginning; any other was prepared before.
        """
        ...

    def is_underway(self, job_id: str, command: Command, check: Callable[[], None]) -> bool:
        """Say whether the command was begun and waits to be adopted."""
        ...

    def forget(self, job_id: str, command: Command) -> None:
        """Let go of a command whose outcome is on disk."""
        ...

    def end_leftover(self, job_id: str, folder: Path) -> None:
        """End all that is left of a job's commands."""
        ...

    def sweep(self, is_open: Callable[[str], bool]) -> Iterable[str]:
        """End what runs for jobs that are not open; return their ids."""
        ...

    def tools(self) -> dict[str, dict[str, str | None] | None]:
        """Describe each tool: where it is and its version, or None where it is missing."""
        ...
