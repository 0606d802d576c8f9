"""Cron lines: checked, described in words, and turned into times."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cron_descriptor import ExpressionDescriptor, Options
from croniter import CroniterBadCronError, CroniterBadDateError, croniter

# A 29 February that is a Sunday comes every 28 years, or after 40 across the year 2100.
_SEARCH_YEARS = 40
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ITEM = re.compile(r"(?:\*|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2}))?", re.ASCII)


class CronError(ValueError):
    """A cron line is invalid; the message says which part."""


@dataclass(frozen=True)
class CronField:
    """One of the five fields of a cron line.

    `low` and `high` are its limits. `names` are words for its numbers, starting at `low`.
    """

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def check(self, text: str) -> str:
        """Return `text` with each item in its simplest form, or raise CronError."""
        numbers = {name: number for number, name in enumerate(self.names, start=self.low)}
        items = []
        for item in text.split(","):
            match = _ITEM.fullmatch(item.lower())
            first, last, step = match.groups() if match else (None, None, None)
            ends = [int(end) if end.isdecimal() else numbers.get(end, -1) for end in (first, last) if end]
            in_order = ends == sorted(ends) and all(self.low <= end <= self.high for end in ends)
            if match is None or step == "0" or not in_order:
                raise CronError(f"{item!r} is not a valid {self.name} ({self.low}-{self.high}).")
            # croniter 7.0 reads a range of one day, "0-0", as every day.
            is_one_day = len(ends) == 2 and ends[0] == ends[1] and step is None
            items.append(str(first) if is_one_day else item)
        return ",".join(items)


FIELDS = (
    CronField("minute", 0, 59),
    CronField("hour", 0, 23),
    CronField("day of month", 1, 31),
    CronField("month", 1, 12, _MONTHS),
    CronField("day of week", 0, 7, _DAYS),
)


def check(expression: str) -> str:
    """Return the cron line with single spaces, or raise CronError."""
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
    slots: list[datetime] = []
    while len(slots) < count:
        slots.append(next_slot(expression, zone, slots[-1] if slots else after))
    return slots


def next_slot(expression: str, zone: str, after: datetime) -> datetime:
    """Return the first time after `after` that matches the cron line.

    `after` is aware, and the line is matched in the time zone `zone`. Clock changes are handled as in
    cron(8). A line whose minute or hour begins with `*` follows the wall clock minute by minute. Any other
    line runs once: at the end of the gap if its time is skipped, and the first time if its time occurs twice.
    """
    minute, hour, *_ = expression.split()
    local_zone = ZoneInfo(zone)
    if minute.startswith("*") or hour.startswith("*"):
        return _next_by_the_minute(expression, local_zone, after)
    wall = after.astimezone(local_zone).replace(tzinfo=None)
    while True:
        wall = _next_wall(expression, wall)
        # fold=0: the first of two equal wall times.
        slot = wall.replace(tzinfo=local_zone).astimezone(UTC)
        if slot.astimezone(local_zone).replace(tzinfo=None) != wall:
            # `wall` is inside the gap. fold=0 maps it as far past the gap's end as it is past the start.
            slot = _offset_change(slot - timedelta(days=1), slot, local_zone)
        if slot > after:
            return slot


def _next_by_the_minute(expression: str, zone: ZoneInfo, after: datetime) -> datetime:
    since, offset = after, _offset(after, zone)
    while True:
        wall = after.astimezone(UTC).replace(tzinfo=None) + offset
        slot = (_next_wall(expression, wall) - offset).replace(tzinfo=UTC)
        if _offset(slot, zone) == offset:
            return slot
        # The clocks change before this slot: continue from the change, with the new offset.
        since = _offset_change(since, slot, zone)
        after, offset = since - timedelta(seconds=1), _offset(since, zone)


def _next_wall(expression: str, wall: datetime) -> datetime:
    """Return the next match, ignoring clock changes."""
    line = croniter(
        expression,
        wall,
        max_years_between_matches=_SEARCH_YEARS,
        # As in cron(8): the two day fields are OR-ed only when neither begins with `*`.
        implement_cron_bug=True,
    )
    match: datetime = line.get_next(datetime)
    return match


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None  # noqa: S101 - a ZoneInfo always has one
    return offset


def _offset_change(start: datetime, end: datetime, zone: ZoneInfo) -> datetime:
    """Return when the zone's offset changed between `start` and `end`.

    The result is exact to the second.
    """
    low, high = int(start.timestamp()), int(end.timestamp())
    old = _offset(start, zone)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(datetime.fromtimestamp(middle, UTC), zone) == old:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)
