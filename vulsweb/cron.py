"""Cron lines and time zones: checked, described in words, turned into times."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from zoneinfo import ZoneInfo, available_timezones

from cron_descriptor import ExpressionDescriptor, Options
from croniter import CroniterBadDateError, CroniterError, croniter

# A zone file, but unset (Factory), or another zone on each machine and missing on some (localtime).
_NOT_ZONES = {"Factory", "localtime", "posixrules"}
_ZONE_COPIES = ("posix/", "right/")  # of all others; the second kind counts leap seconds
# Read once, because it reads the file system.
ZONES = tuple(
    sorted(name for name in available_timezones() - _NOT_ZONES if not name.startswith(_ZONE_COPIES))
)
# The column's length. Longer lines are lists of numbers that a range or a step says better.
LENGTH = 120
# A 29 February that is a Sunday comes every 28 years, or after 40 across the year 2100.
_SEARCH_YEARS = 40
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Where their numbers point: Sunday is 0 and 7, December is 12.
_MONTH_NAMES = (
    *("December", "January", "February", "March", "April", "May"),
    *("June", "July", "August", "September", "October", "November"),
)
_DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_ITEM = re.compile(r"(?:\*|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2}))?", re.ASCII)
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# What other programs accept in a field, and what to do here.
_EXTENSIONS = (
    (r"\?.*", "Write * instead of ?."),
    (r".*#.*", "Cron has no # for the first or second such weekday of a month."),
    (r"(lw|[a-z]{0,3}[0-9]*l)(-[0-9]+)?", "Cron has no L for the last day."),
    (r"[0-9]*w", "Cron has no W for the nearest weekday."),
    (r"h(\(.*\))?(/.*)?", "Choose a number instead of H."),
    (r".*~.*", "Choose a number instead of ~."),
    (r".*[0-9]\.[0-9].*", "Use whole numbers."),
)


class CronError(ValueError):
    """A cron line or time zone is invalid; the message says why."""


@dataclass(frozen=True)
class CronField:
    """One of the five fields of a cron line.

    `low` and `high` are its limits, and `count` says how many different values they contain. A range cannot
    run past `end`. `names` are words for its numbers, starting at `low`.
    """

    name: str
    low: int
    high: int
    count: int
    end: str
    names: tuple[str, ...] = ()

    def check(self, text: str) -> str:
        """Return `text` with each item in its simplest form, or raise CronError."""
        items = []
        for item in text.split(","):
            match = _ITEM.fullmatch(item.lower())
            first, last, step = match.groups() if match else (None, None, None)
            ends = [self._number(end) for end in (first, last) if end]
            if match is None or step == "0" or not all(self.low <= end <= self.high for end in ends):
                hint = self._hint(item.lower())
                raise CronError(f"{item!r} is not a valid {self.name} ({self.low}-{self.high}).{hint}")
            if ends != sorted(ends):
                instead = self._split_range(str(first), str(last), int(step or 1))
                raise CronError(
                    f"{item!r} is not a valid {self.name}: a range cannot run past {self.end}. "
                    f"Write {instead}."
                )
            # croniter 7.0 reads a range of one day, "0-0" or "0-0/2", as every day.
            items.append(str(first) if len(ends) == 2 and ends[0] == ends[1] else item)
        return ",".join(items)

    def values(self, text: str) -> list[int]:
        """Return the numbers that a valid field matches; Sunday is 0."""
        found: set[int] = set()
        for item in text.lower().split(","):
            match = _ITEM.fullmatch(item)
            assert match is not None  # noqa: S101 - the field is valid
            first, last, step = match.groups()
            start = self.low if first is None else self._number(first)
            if last is not None:
                found.update(range(start, self._number(last) + 1, int(step or 1)))
            elif first is not None and step is None:
                found.add(start)
            else:  # "*", "*/2" and "1/2"; a Sunday written as 7 begins the week
                found.update(range(self._wrap(start), self.low + self.count, int(step or 1)))
        return sorted({self._wrap(number) for number in found})

    def _wrap(self, number: int) -> int:
        return self.low + (number - self.low) % self.count

    def _number(self, text: str) -> int:
        """Return the number of a value, or -1 for an unknown name."""
        if text.isdecimal():
            return int(text)
        return self.low + self.names.index(text) if text in self.names else -1

    def _hint(self, item: str) -> str:
        if item[:3] in self.names and any(
            name.lower().startswith(item) for name in _MONTH_NAMES + _DAY_NAMES
        ):
            return f" Write {item[:3]}."
        return next((f" {hint}" for form, hint in _EXTENSIONS if re.fullmatch(form, item)), "")

    def _split_range(self, first: str, last: str, step: int) -> str:
        """Return a range past the end in ranges that cron takes."""
        start, end = self._number(first), self._number(last)
        if step > 1:
            return ",".join(str(self._wrap(n)) for n in range(start, end + self.count + 1, step))
        high = self.low + self.count - 1
        top, bottom = (self.names[-1], self.names[0]) if first.isalpha() else (str(high), str(self.low))
        if start > high:  # a Sunday written as 7
            return f"{bottom}-{last}"
        head = first if start == high else f"{first}-{top}"
        return f"{head},{last}" if end == self.low else f"{head},{bottom}-{last}"


FIELDS = (
    CronField("minute", 0, 59, 60, "the end of the hour"),
    CronField("hour", 0, 23, 24, "midnight"),
    CronField("day of month", 1, 31, 31, "the end of the month"),
    CronField("month", 1, 12, 12, "the end of the year", _MONTHS),
    CronField("day of week", 0, 7, 7, "the end of the week", _DAYS),
)
_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY = FIELDS


def check_zone(zone: str) -> str:
    """Return the zone, or raise ValueError if it may not be chosen."""
    if zone not in ZONES:
        raise ValueError(f"{zone!r} is not a time zone; write one like Europe/London or UTC.")
    return zone


def check(expression: str) -> str:
    """Return the cron line with single spaces, or raise CronError."""
    parts = expression.split()
    _reject_other_forms(parts)
    if len(parts) != len(FIELDS):
        raise CronError(
            f"A cron line has five fields (minute, hour, day of month, month, day of week); this one has "
            f"{len(parts)}." + (" Leave out seconds, years, users and commands." if len(parts) > 5 else "")
        )
    if (length := len(" ".join(parts))) > LENGTH:
        raise CronError(
            f"A cron line has at most {LENGTH} characters; this one has {length}. "
            "Write ranges such as 0-9, or steps such as */5."
        )
    line = " ".join(field.check(part) for field, part in zip(FIELDS, parts, strict=True))
    next_slot(line, "UTC", datetime(2024, 1, 1, tzinfo=UTC))
    return line


def _reject_other_forms(parts: Sequence[str]) -> None:
    """Raise CronError for nicknames and lines that set a time zone."""
    first = parts[0] if parts else ""
    if line := _NICKNAMES.get(first.lower()):
        raise CronError(f"Write {line} instead of {first}.")
    if first.lower() == "@reboot":
        raise CronError("@reboot is not a time. Write five fields, such as 0 2 * * * for each day at 02:00.")
    if first.startswith("@"):
        raise CronError("Write five fields instead of @, such as */5 * * * * for every 5 minutes.")
    if re.match(r"(CRON_)?TZ=", first, re.IGNORECASE):
        raise CronError("Set the time zone in its own field, and write only the five fields here.")


def describe(expression: str) -> str:
    """Return a valid cron line in words, such as "At 02:30"."""
    minute, hour, day, month, weekday = expression.split()
    options = Options()
    options.use_24hour_time_format = True
    hours = _even_or_listed(_HOUR, hour)
    if "," in hours and not minute.isdecimal():
        # Several minutes of each: "12:00 through 12:59" instead of "12:00".
        hours = ",".join(each if "-" in each else f"{each}-{each}" for each in hours.split(","))
    time = f"{_even_or_listed(_MINUTE, minute)} {hours} * * *"
    words = str(ExpressionDescriptor(time, options).get_description()) + _days_in_words(day, weekday)
    months = _MONTH.values(month)
    if len(months) < _MONTH.count:
        words += ", only in " + _listed(months, _MONTH_NAMES)
    return words


def _even_or_listed(field: CronField, text: str) -> str:
    """Write a step that is not even as a list.

    A step that does not divide the hour or the day would be read as an even interval.
    """
    if "/" not in text:
        return text
    values = field.values(text)
    gaps = {later - value for value, later in pairwise([*values, values[0] + field.count])}
    is_single_step = "," not in text and "-" not in text
    is_even = is_single_step and gaps == {int(text.rpartition("/")[2])}
    return text if is_even else ",".join(map(str, values))


def _days_in_words(day: str, weekday: str) -> str:
    days, weekdays = _DAY.values(day), _WEEKDAY.values(weekday)
    if 0 in weekdays and 6 in weekdays and 1 not in weekdays:
        weekdays = [*weekdays[1:], 7]  # "Saturday and Sunday", in this order
    either = not day.startswith("*") and not weekday.startswith("*")
    on_days = f", on day {_listed(days)} of the month"
    if either:
        return f"{on_days}, or on {_listed(weekdays, _DAY_NAMES)}"
    if len(weekdays) == _WEEKDAY.count:
        return "" if len(days) == _DAY.count else on_days
    if len(days) < _DAY.count:
        return f"{on_days}, but only if it is a {_joined([_DAY_NAMES[n % 7] for n in weekdays], 'or')}"
    is_range = len(weekdays) > 2 and weekdays[-1] - weekdays[0] == len(weekdays) - 1
    return (", " if is_range else ", only on ") + _listed(weekdays, _DAY_NAMES)


def _listed(values: Sequence[int], names: Sequence[str] = ()) -> str:
    """Return "1, 3, and 5 through 7", or that in names."""

    def name(value: int) -> str:
        return names[value % len(names)] if names else str(value)

    gaps = {later - value for value, later in pairwise(values)}
    if len(values) > 6 and len(gaps) == 1 and gaps != {1}:
        return f"{', '.join(map(name, values[:3]))}, and so on to {name(values[-1])}"
    pieces = []
    for _, group in groupby(enumerate(values), lambda pair: pair[1] - pair[0]):
        run = [name(value) for _, value in group]
        pieces += [f"{run[0]} through {run[-1]}"] if len(run) > 2 else run
    return _joined(pieces, "and")


def _joined(pieces: Sequence[str], word: str) -> str:
    *others, last = pieces
    return f"{', '.join(others)}{',' if len(others) > 1 else ''} {word} {last}" if others else last


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
    Raise CronError if this machine does not know the zone, or if the line never matches.
    """
    minute, hour, *_ = expression.split()
    try:
        local_zone = ZoneInfo(zone)
    # The errors for names that are missing, malformed, and folders.
    except (KeyError, ValueError, OSError) as error:
        raise CronError(f"This machine does not know the time zone {zone!r}.") from error
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
    try:
        line = croniter(
            expression,
            wall,
            max_years_between_matches=_SEARCH_YEARS,
            # As in cron(8): the two day fields are OR-ed only when neither begins with `*`.
            implement_cron_bug=True,
        )
        match: datetime = line.get_next(datetime)
    except CroniterBadDateError as error:
        raise CronError(f"{expression!r} never matches a date.") from error
    except CroniterError as error:
        raise CronError(f"{expression!r} is not a valid cron line.") from error
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
