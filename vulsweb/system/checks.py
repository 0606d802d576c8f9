"""Health checks: what they report, and how components are asked."""

import enum
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import redis
from kombu.exceptions import OperationalError
from sqlalchemy.exc import DBAPIError

from vulsweb.executors.client import ExecutorError, JobRejected

ANSWER_SECONDS = 1  # for one component
SKEW = timedelta(seconds=1)  # a larger difference of clocks is a warning
NTP = "Set the clocks of all machines by the same time servers (NTP)."
TIMEOUT_SECONDS = 2  # for all components together

T = TypeVar("T")


class State(enum.StrEnum):
    """The state of a component, from best to worst."""

    OK = "ok"
    WARNING = "warning"  # works, but needs attention
    FAILED = "failed"  # does not work

    @property
    def label(self) -> str:
        """Return the label for pages."""
        return {"ok": "OK", "warning": "Warning", "failed": "Failed"}[self.value]


@dataclass(frozen=True)
class Check:
    """The result of a health check, with advice if it fails."""

    name: str
    label: str
    state: State
    message: str
    advice: tuple[str, ...] = ()
    detail: str = ""  # the original error message
    at: datetime | None = None  # of the last tick, for beat


@dataclass(frozen=True)
class NoAnswer:
    """Why a component gave no answer."""

    reason: str  # the original error message
    refused: bool = False  # it answered, but rejected the API key


def ask(question: Callable[[], T]) -> T | NoAnswer:
    """Call `question`; return its result, or why there is none."""
    try:
        return question()
    except DBAPIError as error:
        return NoAnswer(str(error.orig).strip())
    except ExecutorError as error:
        return NoAnswer(str(error.__cause__ or error), refused=isinstance(error, JobRejected))
    except (redis.RedisError, OperationalError, OSError) as error:
        return NoAnswer(str(error))
    except (KeyError, TypeError, ValueError) as error:
        return NoAnswer(f"The answer is not valid: {error!r}")


def clock_ahead(its_time: datetime, asked: datetime, answered: datetime) -> timedelta:
    """Return how far another clock is ahead of ours; negative: behind.

    It was read at some moment between question and answer.
    """
    return max(its_time - answered, min(its_time - asked, timedelta()))


def skew_message(ahead: timedelta) -> str:
    """Say how far another clock is ahead or behind."""
    seconds = ahead.total_seconds()
    return f"Its clock is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this machine's."


def ask_all(*questions: Callable[[], Any]) -> list[Any]:
    """Ask all questions at once, for TIMEOUT_SECONDS at most."""
    pool = ThreadPoolExecutor(max_workers=len(questions))
    answers = [pool.submit(ask, question) for question in questions]
    wait(answers, timeout=TIMEOUT_SECONDS)
    # Do not wait for threads that still hang, in a name lookup for example. They end later.
    pool.shutdown(wait=False, cancel_futures=True)
    timed_out = NoAnswer(f"No answer within {TIMEOUT_SECONDS} seconds.")
    return [answer.result() if answer.done() else timed_out for answer in answers]
