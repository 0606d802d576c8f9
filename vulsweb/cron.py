"""Cron lines: their fields, their next slots, and their meaning in words. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cron_descriptor import ExpressionDescriptor, Options
from croniter import CroniterBadCronError, CroniterBadDateError, croniter

# A Sunday, 29 February, comes every 28 years, and across 2100 after 40.
_SEARCH_YEARS = 40
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ITEM = re.compile(r"(?:\*|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2}))?", re.ASCII)


class CronError(ValueError):
    """A cron line cannot be used; the message says which part is wrong."""


@dataclass(frozen=True)
class CronField:
    """One of the five fields of a cron line: its limits, and the names that stand for numbers."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def check(self, text: str) -> str:
        """Return `text` with each item in its plainest form; raise CronError when one is wrong."""
        return ",".join(self._item(item) for item in text.split(","))

    def _item(self, item: str) -> str:
        match = _ITEM.fullmatch(item.lower())
        first, last, step = match.groups() if match else (None, None, None)
        ends = [self._number(word) for word in (first, last) if word is not None]
        if match is None or step == "0" or ends != sorted(ends) or not self._holds(ends):
            raise CronError(f"{item!r} is not a {self.name} ({self.low}-{self.high}).")
        # croniter 7.0 takes a range of one day, "0-0", for every day.
        alone = len(ends) == 2 and ends[0] == ends[1] and step is None
        return str(first) if alone else item

    def _number(self, word: str) -> int:
        if word.isdecimal():
            return int(word)
        return self.names.index(word) + min(self.low, 1) if word in self.names else -1

    def _holds(self, numbers: list[int]) -> bool:
        return all(self.low <= number <= self.high for number in numbers)


FIELDS = (
    CronField("minute", 0, 59),
    CronField("hour", 0, 23),
    CronField("day of month", 1, 31),
    CronField("month", 1, 12, _MONTHS),
    CronField("day of week", 0, 7, _DAYS),
)


def check(expression: str) -> str:
    """Return `expression` with single spaces; raise CronError unless it is a five-field cron line."""
    parts = expression.split()
    if len(parts) != len(FIELDS):
        raise CronError(
            f"A cron line has five fields (minute, hour, day of month, month, day of week); "
            f"this one has {len(parts)}."
        )
    line = " ".join(field.check(part) for field, part in zip(FIELDS, parts, strict=True))
    try:
        next_slot(line, "UTC", datetime(2024, 1, 1, tzinfo=UTC))
    except (CroniterBadDateError, CroniterBadCronError) as error:
        raise CronError(f"{line!r} never matches a date.") from error
    return line


def describe(expression: str) -> str:
    """Return a valid cron line in words, such as "At 02:30"."""
    options = Options()
    options.use_24hour_time_format = True
    return str(ExpressionDescriptor(expression, options).get_description())


def upcoming(expression: str, zone: str, after: datetime, count: int) -> list[datetime]:
    """Return the next `count` slots after `after`."""
    return list(islice(_slots(expression, zone, after), count))


def next_slot(expression: str, zone: str, after: datetime) -> datetime:
    """Return the first moment after `after` (aware) that matches `expression` as written in `zone`.

    Where the clocks change this does as cron(8) does: a line whose minute or hour begins with `*` follows
    the wall clock minute by minute; any other runs once, at the end of the gap if its time is skipped, and
    the first time round if its time repeats.
    """
    minute, hour, *_ = expression.split()
    local_zone = ZoneInfo(zone)
    if minute.startswith("*") or hour.startswith("*"):
        return _next_by_the_minute(expression, local_zone, after)
    return _next_fixed(expression, local_zone, after)


def _slots(expression: str, zone: str, after: datetime) -> Iterator[datetime]:
    while True:
        after = next_slot(expression, zone, after)
        yield after


def _next_wall(expression: str, wall: datetime) -> datetime:
    """Return the next match on a clock that never changes."""
    line = croniter(
        expression,
        wall,
        max_years_between_matches=_SEARCH_YEARS,
        # As cron(8): the two day fields are OR-ed only when neither begins with `*`.
        implement_cron_bug=True,
    )
    found: datetime = line.get_next(datetime)
    return found


def _next_by_the_minute(expression: str, zone: ZoneInfo, after: datetime) -> datetime:
    since, offset = after, _offset(after, zone)
    while True:
        wall = after.astimezone(UTC).replace(tzinfo=None) + offset
        found = (_next_wall(expression, wall) - offset).replace(tzinfo=UTC)
        if _offset(found, zone) == offset:
            return found
        # The clocks change in between: look again from the change on, at the new offset.
        since = _change(since, found, zone)
        after, offset = since - timedelta(seconds=1), _offset(since, zone)


def _next_fixed(expression: str, zone: ZoneInfo, after: datetime) -> datetime:
    wall = after.astimezone(zone).replace(tzinfo=None)
    while True:
        wall = _next_wall(expression, wall)
        # fold=0: the first time round where a time repeats.
        found = wall.replace(tzinfo=zone).astimezone(UTC)
        if found.astimezone(zone).replace(tzinfo=None) != wall:
            # Inside the gap; fold=0 maps it past the gap's end by as much as it lies behind its start.
            found = _change(found - timedelta(days=1), found, zone)
        if found > after:
            return found


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None  # noqa: S101 - a ZoneInfo always has one
    return offset


def _change(before: datetime, behind: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment between two, to the second, at which the zone's offset changed."""
    low, high = int(before.timestamp()), int(behind.timestamp())
    old = _offset(before, zone)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(datetime.fromtimestamp(middle, UTC), zone) == old:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)
