"""Engines run one tool command; callers name a tool and its arguments, never how it is run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One call of a tool, as a list of arguments: no shell ever reads it."""

    tool: str
    arguments: tuple[str, ...]
    timeout_seconds: int

    def __str__(self) -> str:
        return " ".join((self.tool, *self.arguments))


@dataclass(frozen=True)
class Outcome:
    """What a command that ended by itself left behind: its exit code and the end of its output."""

    exit_code: int
    tail: bytes
