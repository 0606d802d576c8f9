"""Cron lines: checked, described in words, and turned into times."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import at
from vulsweb import cron

SPECIFIED = ["0 2 * * *", "0 0 * * 0", "0 * * * *", "*/15 * * * *", "0 3 1 * *", "0 6 * * 1-5"]


@pytest.mark.parametrize(
    "line",
    [*SPECIFIED, "0 0 * * 7", "0 0 29 2 *", "0 0 29 2 */7", "* * */7 1 0", "5,35 8-18/2 * JAN-MAR mon"],
)
def test_a_standard_cron_line_is_accepted(line: str) -> None:
    assert cron.check(f"  {line.replace(' ', '   ')} ") == line


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("0 0 2 * * *", "this one has 6"),
        ("99 * * * *", "'99' is not a valid minute (0-59)"),
        ("30-10 * * * *", "'30-10' is not a valid minute"),
        ("* 24 * * *", "'24' is not a valid hour"),
        ("* * 0 * *", "'0' is not a valid day of month"),
        ("* * * 13 *", "'13' is not a valid month"),
        ("* * * * 8", "'8' is not a valid day of week"),
        ("* * L * *", "'L' is not a valid day of month"),
        ("* * * * 1#2", "'1#2' is not a valid day of week"),
        ("H * * * *", "'H' is not a valid minute"),
        ("*/0 * * * *", "'*/0' is not a valid minute"),
        ("0 0 30 2 *", "never matches"),
        ("١ * * * *", "is not a valid minute"),
    ],
)
def test_an_invalid_cron_line_is_refused_with_the_invalid_part(line: str, said: str) -> None:
    with pytest.raises(cron.CronError) as refusal:
        cron.check(line)

    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("@yearly", "Write 0 0 1 1 * instead of @yearly."),
        ("@annually", "Write 0 0 1 1 * instead"),
        ("@monthly", "Write 0 0 1 * * instead"),
        ("@weekly", "Write 0 0 * * 0 instead"),
        ("@daily", "Write 0 0 * * * instead"),
        ("@Midnight", "Write 0 0 * * * instead"),
        ("@hourly", "Write 0 * * * * instead"),
        ("@reboot", "@reboot is not a time."),
        ("@every 5m", "Write five fields instead of @"),
        ("CRON_TZ=Europe/London 0 2 * * *", "Set the time zone in its own field"),
        ("TZ=UTC 0 2 * * *", "Set the time zone in its own field"),
        ("0 0 2 * * ? 2026", "Leave out seconds, years, users and commands."),
        ("0 2 * * * root /usr/bin/true", "Leave out seconds, years, users and commands."),
        ("* * L * *", "(1-31). Cron has no L for the last day."),
        ("* * L-3 * *", "no L"),
        ("* * LW * *", "no L"),
        ("* * * * 5L", "no L"),
        ("* * * * friL", "no L"),
        ("* * 15W * *", "no W for the nearest weekday"),
        ("* * * * fri#2", "no # for the first or second"),
        ("H H * * *", "Choose a number instead of H."),
        ("H(0-29)/10 * * * *", "Choose a number instead of H."),
        ("0~30 * * * *", "Choose a number instead of ~."),
        ("0 0 ? * *", "Write * instead of ?."),
        ("1.5 * * * *", "'1.5' is not a valid minute (0-59). Use whole numbers."),
        ("0 0 * * Monday", "Write mon."),
        ("0 0 * september *", "Write sep."),
        ("0 22-2 * * *", "'22-2' is not a valid hour: a range cannot run past midnight. Write 22-23,0-2."),
        ("0 22-2/2 * * *", "Write 22,0,2."),
        ("0 0 * * fri-mon", "past the end of the week. Write fri-sat,sun-mon."),
        ("0 0 * * sat-sun", "Write sat,sun."),
        ("0 0 * nov-jan *", "past the end of the year. Write nov-dec,jan."),
        ("0 0 28-3 * *", "past the end of the month. Write 28-31,1-3."),
    ],
)
def test_a_line_of_another_program_is_refused_with_what_to_write(line: str, said: str) -> None:
    with pytest.raises(cron.CronError) as refusal:
        cron.check(line)

    assert said in str(refusal.value)


BACKWARDS = st.sampled_from(range(5)).flatmap(
    lambda place: st.tuples(
        st.just(place),
        st.integers(cron.FIELDS[place].low, cron.FIELDS[place].high),
        st.integers(cron.FIELDS[place].low, cron.FIELDS[place].high),
        st.integers(1, 9),
    ).filter(lambda drawn: drawn[1] > drawn[2])
)


@given(BACKWARDS)
def test_what_a_refusal_of_a_backward_range_proposes_means_that_range(
    drawn: tuple[int, int, int, int],
) -> None:
    place, first, last, step = drawn
    field = cron.FIELDS[place]
    with pytest.raises(cron.CronError) as refusal:
        field.check(f"{first}-{last}/{step}")

    proposed = str(refusal.value).rpartition("Write ")[2].removesuffix(".")

    wrapped = {field.low + (n - field.low) % field.count for n in range(first, last + field.count + 1, step)}
    assert set(field.values(field.check(proposed))) == wrapped


def test_a_line_that_is_too_long_is_refused_before_it_is_stored() -> None:
    fits = ",".join(["10"] * 37 + ["0"]) + "  * * * *"
    longer = ",".join(["10"] * 38) + " * * * *"

    assert len(cron.check(fits)) == cron.LENGTH
    with pytest.raises(cron.CronError, match="at most 120 characters; this one has 121"):
        cron.check(longer)


def test_sunday_is_0_and_7() -> None:
    by_0, by_7, by_both = (
        cron.upcoming(cron.check(f"0 0 * * {days}"), "UTC", at("2026-01-01 00:00"), 5)
        for days in ("0", "7", "0,7")
    )

    assert by_0 == by_7 == by_both


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("30 2 * * *", "At 02:30"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("5/15 * * * *", "Every 15 minutes, starting at 5 minutes past the hour"),
        ("*/45 * * * *", "At 0 and 45 minutes past the hour"),
        ("*/45,3 * * * *", "At 0, 3, and 45 minutes past the hour"),
        ("5/45 * * * *", "At 5 and 50 minutes past the hour"),
        (
            "*/7 * * * *",
            "At 0, 7, 14, 21, 28, 35, 42, 49, and 56 minutes past the hour",
        ),
        ("0 */5 * * *", "At 00:00, 05:00, 10:00, 15:00 and 20:00"),
        ("29/35 * * * *", "At 29 minutes past the hour"),
        ("*/30 8,12 * * *", "Every 30 minutes, at 08:00 through 08:59 and 12:00 through 12:59"),
        ("0 0 * * 2-2/4", "At 00:00, only on Tuesday"),
        ("0 0 */31 * *", "At 00:00, on day 1 of the month"),
        ("0 0 */2 * *", "At 00:00, on day 1, 3, 5, and so on to 31 of the month"),
        (
            "0 0 */2 * 1",
            "At 00:00, on day 1, 3, 5, and so on to 31 of the month, but only if it is a Monday",
        ),
        (
            "0 0 13 * */3",
            "At 00:00, on day 13 of the month, but only if it is a Wednesday, Saturday, or Sunday",
        ),
        ("0 0 13 * 5", "At 00:00, on day 13 of the month, or on Friday"),
        ("0 0 1-3 * mon-wed", "At 00:00, on day 1 through 3 of the month, or on Monday through Wednesday"),
        ("0 0 */1 * */1", "At 00:00"),
        ("0 6 * * 1-5", "At 06:00, Monday through Friday"),
        ("0 0 * * 0,7", "At 00:00, only on Sunday"),
        ("0 0 * * 6,7", "At 00:00, only on Saturday and Sunday"),
        ("0 0 * * 5-7", "At 00:00, Friday through Sunday"),
        ("0 0 1 */5 *", "At 00:00, on day 1 of the month, only in January, June, and November"),
        ("0 0 * jan-mar,dec *", "At 00:00, only in January through March and December"),
    ],
)
def test_a_cron_line_is_described_in_words(line: str, said: str) -> None:
    assert cron.describe(cron.check(line)) == said


def test_slots_follow_the_time_zone() -> None:
    slots = cron.upcoming("30 2 * * *", "Asia/Tokyo", at("2026-06-01 00:00"), 2)

    assert slots == [at("2026-06-01 17:30"), at("2026-06-02 17:30")]


def test_a_fixed_time_that_the_clocks_skip_runs_at_the_end_of_the_gap() -> None:
    # In Berlin 02:00 becomes 03:00 (01:00 UTC) on 29 March 2026.
    slots = cron.upcoming("30 2 * * *", "Europe/Berlin", at("2026-03-28 12:00"), 2)

    assert slots == [at("2026-03-29 01:00"), at("2026-03-30 00:30")]


def test_a_fixed_time_that_the_clocks_repeat_runs_once() -> None:
    # In Berlin 03:00 becomes 02:00 (01:00 UTC) on 25 October 2026.
    slots = cron.upcoming("30 2 * * *", "Europe/Berlin", at("2026-10-24 12:00"), 2)

    assert slots == [at("2026-10-25 00:30"), at("2026-10-26 01:30")]


def test_a_line_by_the_minute_runs_through_a_change_of_the_clocks() -> None:
    spring = cron.upcoming("*/30 * * * *", "Europe/Berlin", at("2026-03-29 00:10"), 3)
    autumn = cron.upcoming("*/30 * * * *", "Europe/Berlin", at("2026-10-25 00:10"), 4)

    assert spring == [at("2026-03-29 00:30"), at("2026-03-29 01:00"), at("2026-03-29 01:30")]
    assert autumn == [at(f"2026-10-25 {time}") for time in ("00:30", "01:00", "01:30", "02:00")]


def test_the_minute_that_ends_a_gap_of_half_an_hour_is_a_slot() -> None:
    # On Lord Howe 02:00 becomes 02:30 (15:30 UTC) on 5 October 2025; cronsim 2.8 leaves that 02:30 out.
    slots = cron.upcoming("30 * * 10 0", "Australia/Lord_Howe", at("2025-10-04 14:30"), 3)

    assert slots == [at("2025-10-04 15:00"), at("2025-10-04 15:30"), at("2025-10-04 16:30")]


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    step = st.integers(2, high).map(lambda by: f"/{by}")
    return st.one_of(
        st.just("*"),
        number.map(str),
        span,
        step.map(lambda by: f"*{by}"),
        st.tuples(span, step).map("".join),
        st.lists(number, min_size=1, max_size=3).map(lambda several: ",".join(map(str, several))),
    )


LINES = st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)).map(" ".join)
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Adelaide",
    "Asia/Kolkata",
    "America/Sao_Paulo",
]


@settings(max_examples=150, deadline=None)
@given(line=LINES, zone=st.sampled_from(ZONES), hours=st.integers(0, 24 * 730))
def test_slots_agree_with_an_independent_reading_of_cron(line: str, zone: str, hours: int) -> None:
    after = at("2025-01-01 00:07") + timedelta(hours=hours)

    checked = cron.check(line)
    ours = cron.upcoming(checked, zone, after, 6)

    theirs = CronSim(checked, after.astimezone(ZoneInfo(zone)))
    assert ours == [next(theirs).astimezone(UTC) for _ in range(6)]


@settings(max_examples=150, deadline=None)
@given(line=LINES)
def test_words_promise_an_interval_or_days_only_where_the_slots_keep_it(line: str) -> None:
    checked = cron.check(line)
    words = cron.describe(checked)
    slots = cron.upcoming(checked, "UTC", at("2025-01-01 00:00"), 40)

    if interval := re.fullmatch(r"Every ([0-9]+) (minute|hour)s", words):
        gaps = {later - slot for slot, later in pairwise(slots)}
        assert gaps == {timedelta(**{f"{interval[2]}s": int(interval[1])})}
    minute, hour, day, month, weekday = (
        field.values(part) for field, part in zip(cron.FIELDS, checked.split(), strict=True)
    )
    holds = any if "or on" in words else all
    assert all(holds((slot.day in day, slot.isoweekday() % 7 in weekday)) for slot in slots)
    assert all(slot.minute in minute and slot.hour in hour and slot.month in month for slot in slots)


@pytest.mark.parametrize(
    "item", ["*", "{n}", "{n}/{step}", "{n}-7/{step}", "0-{n}/{step}", "*/{step}", "{n},7"]
)
def test_the_values_of_a_weekday_are_the_days_of_its_slots(item: str) -> None:
    """Sunday has two numbers, which makes it the field that is easiest to read wrongly."""
    for n, step in product(range(8), range(1, 9)):
        line = cron.check(f"0 0 * * {item.format(n=n, step=step)}")

        slots = cron.upcoming(line, "UTC", at("2025-01-01 00:00"), 7)

        assert {slot.isoweekday() % 7 for slot in slots} == set(cron.FIELDS[4].values(line.split()[4])), line


@pytest.mark.parametrize("zone", ["Mars/Base", "Europe", "", "../../etc/passwd", "/etc/localtime", "UTC\x00"])
def test_a_zone_that_this_machine_does_not_know_is_named(zone: str) -> None:
    with pytest.raises(cron.CronError, match="This machine does not know the time zone"):
        cron.next_slot("0 2 * * *", zone, at("2026-01-01 00:00"))


@pytest.mark.parametrize("line", ["0 0 30 2 *", "99 * * * *", "0 0 L W *"])
def test_a_stored_line_without_slots_is_an_error_with_a_sentence(line: str) -> None:
    with pytest.raises(cron.CronError, match=r"never matches|not a valid cron line"):
        cron.next_slot(line, "UTC", at("2026-01-01 00:00"))


def test_the_next_slot_is_an_aware_time() -> None:
    slot = cron.next_slot("0 0 * * *", "America/New_York", datetime(2026, 7, 1, tzinfo=UTC))

    assert slot == datetime(2026, 7, 1, 4, tzinfo=UTC)
