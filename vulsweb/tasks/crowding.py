"""Whether many tasks start at the same time, and when fewer do.

"Avoid Peak Hours - Schedule intensive tasks during off-peak hours" (docs/specification.md, best practices).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from sqlalchemy import func, select

from vulsweb import cron
from vulsweb.extensions import db
from vulsweb.models import ScheduledTask, TaskType

WINDOW = timedelta(minutes=10)
AHEAD = timedelta(days=7)
# As many tasks may start in one window; each scans, or updates databases.
MOST_TASKS = 5
# What is looked at of very many tasks, and of a task that starts very often.
_MOST_LINES = 1000
_MOST_SLOTS = 500
# A line that another hour is proposed for stays this near.
_NEAR_HOURS = 3


@dataclass(frozen=True)
class Crowd:
    """The ten minutes in which most other tasks start too."""

    tasks: int  # beside the one of the line
    begin: datetime
    proposal: str  # a line near by that avoids it; empty: none was found


def find(line: str, zone: str, now: datetime, task_id: int | None = None) -> Crowd | None:
    """Return the crowd in which a line starts, if there is one.

    `task_id` is the task that has the line. Raise CronError for a line that never matches.
    """
    hour = now.replace(minute=0, second=0, microsecond=0)
    others = _starts(task_id, hour)
    worst = _worst(line, zone, hour, others)
    if worst is None or others[worst] < MOST_TASKS:
        return None
    return Crowd(others[worst], _begin(worst), _proposal(line, zone, hour, others))


def _proposal(line: str, zone: str, hour: datetime, others: Counter[int]) -> str:
    """Return the first line near by with enough room."""
    for candidate in _near(line):
        worst = _worst(candidate, zone, hour, others)
        if worst is None or others[worst] < MOST_TASKS:
            return candidate
    return ""


def _near(line: str) -> Iterator[str]:
    """Yield lines that start a little later or earlier, the nearest first."""
    minute, hour, *days = line.split()
    if not minute.isdecimal():
        return
    step = int(WINDOW.total_seconds()) // 60
    minutes = [number for number in range(int(minute) % step, 60, step) if number != int(minute)]
    minutes.sort(key=lambda number: abs(number - int(minute)))
    for number in minutes:
        yield " ".join((str(number), hour, *days))
    if hour.isdecimal():
        for shift in (sign * count for count in range(1, _NEAR_HOURS + 1) for sign in (1, -1)):
            # Not over midnight: the days of the line would be others.
            if 0 <= int(hour) + shift <= 23:
                for number in (int(minute), *minutes):
                    yield " ".join((str(number), str(int(hour) + shift), *days))


def _worst(line: str, zone: str, hour: datetime, others: Counter[int]) -> int | None:
    return max(_windows(line, zone, hour), key=lambda window: (others[window], -window), default=None)


def _starts(but: int | None, hour: datetime) -> Counter[int]:
    """Count the active tasks, except `but`, in each window."""
    lines = (
        select(ScheduledTask.cron_expression, ScheduledTask.timezone, func.count())
        .where(
            ScheduledTask.active,
            ScheduledTask.paused_at.is_(None),
            # A detection starts after an update, whatever its line says, and contacts no host.
            ScheduledTask.task_type != TaskType.DETECTION,
            ScheduledTask.id != (but or 0),
        )
        .group_by(ScheduledTask.cron_expression, ScheduledTask.timezone)
        .order_by(func.count().desc())
        .limit(_MOST_LINES)
    )
    starts: Counter[int] = Counter()
    for line, zone, count in db.session.execute(lines):
        for window in _windows(line, zone, hour):
            starts[window] += count
    return starts


@lru_cache(maxsize=4 * _MOST_LINES)
def _windows(line: str, zone: str, hour: datetime) -> frozenset[int]:
    """Return the windows in which a line has a slot."""
    windows, slot = set(), hour
    for _ in range(_MOST_SLOTS):
        try:
            slot = cron.next_slot(line, zone, slot)
        except cron.CronError:  # of another task, which pauses for it
            break
        if slot >= hour + AHEAD:
            break
        windows.add(int(slot.timestamp() // WINDOW.total_seconds()))
    return frozenset(windows)


def _begin(window: int) -> datetime:
    return datetime.fromtimestamp(window * WINDOW.total_seconds(), UTC)
