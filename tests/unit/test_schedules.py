"""What a cron line means."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import at
from vulsweb import cron
from vulsweb.models import ScheduledTask

MakeTask = Callable[..., ScheduledTask]

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
        ("@daily", "five fields"),
        ("99 * * * *", "'99' is not a minute (0-59)"),
        ("30-10 * * * *", "'30-10' is not a minute"),
        ("* 24 * * *", "'24' is not a hour"),
        ("* * 0 * *", "'0' is not a day of month"),
        ("* * * 13 *", "'13' is not a month"),
        ("* * * * 8", "'8' is not a day of week"),
        ("* * L * *", "'L' is not a day of month"),
        ("* * * * 1#2", "'1#2' is not a day of week"),
        ("H * * * *", "'H' is not a minute"),
        ("*/0 * * * *", "'*/0' is not a minute"),
        ("0 0 30 2 *", "never matches"),
        ("١ * * * *", "is not a minute"),
    ],
)
def test_anything_else_is_refused_with_the_part_that_is_wrong(line: str, said: str) -> None:
    with pytest.raises(cron.CronError) as refusal:
        cron.check(line)

    assert said in str(refusal.value)


def test_a_cron_line_is_told_in_words() -> None:
    assert cron.describe("30 2 * * *") == "At 02:30"


def test_slots_are_those_of_the_zone_the_line_is_written_in() -> None:
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


def test_a_gap_of_half_an_hour_ends_with_a_minute_that_counts() -> None:
    # On Lord Howe 02:00 becomes 02:30 (15:30 UTC) on 5 October 2025; cronsim 2.8 leaves that 02:30 out.
    slots = cron.upcoming("30 * * 10 0", "Australia/Lord_Howe", at("2025-10-04 14:30"), 3)

    assert slots == [at("2025-10-04 15:00"), at("2025-10-04 15:30"), at("2025-10-04 16:30")]


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    step = st.integers(2, high).map(lambda by: f"*/{by}")
    return st.one_of(
        st.just("*"),
        number.map(str),
        span,
        step,
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


def test_the_next_slot_is_asked_in_aware_time() -> None:
    slot = cron.next_slot("0 0 * * *", "America/New_York", datetime(2026, 7, 1, tzinfo=UTC))

    assert slot == datetime(2026, 7, 1, 4, tzinfo=UTC)
