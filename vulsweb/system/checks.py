"""One part of the system: what is said of it, and how it is asked."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import redis
from kombu.exceptions import OperationalError
from sqlalchemy.exc import DBAPIError

from vulsweb.executors.client import ExecutorError, JobRejected

# One part may take this long to answer.
ANSWER_SECONDS = 1

T = TypeVar("T")


class State(enum.StrEnum):
    """How a part is; the system is as its worst part."""

    OK = "ok"
    WARNING = "warning"  # works, but somebody should look
    FAILED = "failed"  # does not work

    @property
    def label(self) -> str:
        """Return the word that people read."""
        return {"ok": "OK", "warning": "Warning", "failed": "Failed"}[self.value]


@dataclass(frozen=True)
class Check:
    """One part: what is the case, what to do about it, and since when."""

    name: str
    label: str
    state: State
    says: str
    advice: tuple[str, ...] = ()
    detail: str = ""  # technical, in the words of whoever said it
    at: datetime | None = None


@dataclass(frozen=True)
class NoAnswer:
    """No answer, and why, in technical words."""

    why: str
    refused: bool = False  # it is there, but does not want us


def ask(question: Callable[..., T], *given: object) -> T | NoAnswer:
    """Ask a part, and return its answer or why there is none."""
    try:
        return question(*given)
    except DBAPIError as error:
        return NoAnswer(str(error.orig).strip())
    except ExecutorError as error:
        return NoAnswer(str(error.__cause__ or error), refused=isinstance(error, JobRejected))
    except (redis.RedisError, OperationalError, OSError) as error:
        return NoAnswer(str(error))
    except (KeyError, TypeError, ValueError) as error:
        return NoAnswer(f"The answer cannot be read: {error!r}")
