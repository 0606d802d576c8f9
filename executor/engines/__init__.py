"""Engines, each a way to run one tool command.

Callers name a tool and its arguments, never how it is run.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

# How often a running tool is checked.
POLL_SECONDS = 0.1
# How much of the end of a tool's output is kept.
TAIL_BYTES = 64 * 1024


@dataclass(frozen=True)
class Command:
    """A call of a tool, as a list of arguments.

    No shell is involved.
    """

    tool: str
    arguments: tuple[str, ...]
    timeout_seconds: int
    fetches: bool = False  # whether it downloads a database from the internet

    def __str__(self) -> str:
        return " ".join((self.tool, *self.arguments))

    @property
    def key(self) -> str:
        """Return an identifier that is unique within a job."""
        return hashlib.sha256("\0".join((self.tool, *self.arguments)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code and end of its output.

    A negative exit code is a signal number. `reason` is set where the engine knows more than the exit code.
    """

    exit_code: int
    tail: bytes
    reason: str | None = None


@dataclass(frozen=True)
class PullReporter:
    """The functions that `prepare` calls while it waits.

    `check` is called often and raises to give up.
    """

    log: Callable[[str], None]  # a line for the job's log
    progress: Callable[[int, int], None]  # bytes received, bytes in total
    check: Callable[[], None]


class Engine(Protocol):
    """Runs commands.

    An engine that `can_reattach` finds a job's commands again after their runner died; otherwise they end
    with the runner.
    """

    can_reattach: bool

    def prepare(self, command: Command, reporter: PullReporter) -> None:
        """Make the command's tool available, or raise ToolMissingError."""
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
        """Run a command in `folder` and pass on its output.

        The output goes to `write` as it comes. `check` is called many times a second and raises to stop the
        command. An engine that reattaches to a command passes its output on from the beginning. Any other
        command must be prepared first.
        """
        ...

    def is_started(self, job_id: str, command: Command, check: Callable[[], None]) -> bool:
        """Return whether the command was started earlier.

        If it was, `run` reattaches to it.
        """
        ...

    def discard(self, job_id: str, command: Command) -> None:
        """Release a command whose outcome has been saved."""
        ...

    def end_leftovers(self, job_id: str, folder: Path) -> None:
        """End everything that is left of a job's commands."""
        ...

    def remove_orphans(self, is_open: Callable[[str], bool]) -> Iterable[str]:
        """End what runs for jobs that are not open.

        Return the ids of those jobs.
        """
        ...

    def problem(self) -> str | None:
        """Return why no command can run at all, or None."""
        ...

    def tools(self) -> dict[str, dict[str, str | None] | None]:
        """Return the path and version of each tool.

        A missing tool has None instead.
        """
        ...
