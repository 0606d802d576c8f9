"""What a cron line means, and which tasks are due."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.conftest import NOW, at
from vulsweb import cron
from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import starting

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


def test_a_due_task_gets_a_run_for_its_slot_and_its_next_slot(make_task: MakeTask) -> None:
    task = make_task(cron_expression="0 * * * *", next_run_at=NOW)

    started = starting.start_due_tasks(now=NOW + timedelta(seconds=2))
    db.session.commit()

    assert started is not None
    run = db.session.get_one(Run, started[0])
    assert (run.task, run.status, run.trigger) == (task, RunStatus.QUEUED, Trigger.SCHEDULE)
    assert run.scheduled_for == NOW
    assert task.next_run_at == NOW + timedelta(hours=1)
    assert task.last_run_id == run.id


def test_a_task_missed_during_an_outage_runs_once(make_task: MakeTask) -> None:
    task = make_task(cron_expression="0 3 * * *", next_run_at=at("2026-01-01 03:00"))

    started = starting.start_due_tasks(now=at("2026-01-04 12:00"))
    again = starting.start_due_tasks(now=at("2026-01-04 12:01"))

    assert started is not None
    assert len(started) == 1
    assert again is None
    db.session.refresh(task)
    assert task.next_run_at == at("2026-01-05 03:00")


def test_inactive_and_future_tasks_are_left_alone(make_task: MakeTask) -> None:
    make_task(is_active=False)
    make_task(next_run_at=NOW + timedelta(seconds=1))

    assert starting.start_due_tasks(now=NOW) is None


def test_a_slot_that_comes_while_the_previous_run_goes_is_skipped_and_says_so(make_task: MakeTask) -> None:
    task = make_task(cron_expression="* * * * *", next_run_at=NOW)
    running = starting.start(task, trigger=Trigger.PERSON, now=NOW)
    db.session.commit()

    started = starting.start_due_tasks(now=NOW)
    db.session.commit()

    assert started == []
    skipped = db.session.scalars(select(Run).where(Run.id != running.id)).one()
    assert (skipped.status, skipped.reason) == (RunStatus.SKIPPED, f"Run {running.id} was waiting already.")
    assert task.last_run_id == running.id
    assert task.next_run_at == NOW + timedelta(minutes=1)


def test_many_due_tasks_are_started_in_batches_until_none_is_left(make_task: MakeTask) -> None:
    for _ in range(5):
        make_task(next_run_at=NOW)

    batches = [starting.start_due_tasks(now=NOW, limit=2) or [] for _ in range(3)]

    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert starting.start_due_tasks(now=NOW, limit=2) is None


def test_two_tickers_never_start_one_slot_twice(app: Flask, make_task: MakeTask) -> None:
    for _ in range(20):
        make_task(next_run_at=NOW)
    together = threading.Barrier(2)

    def tick() -> None:
        with app.app_context():
            together.wait()
            while starting.start_due_tasks(now=NOW, limit=3) is not None:
                db.session.commit()
            db.session.commit()
            db.session.remove()

    threads = [threading.Thread(target=tick) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    slots = db.session.execute(select(Run.task_id, Run.scheduled_for)).all()
    assert len(slots) == len(set(slots)) == 20


def test_a_task_that_somebody_holds_is_left_at_first_and_then_waited_for(
    app: Flask, make_task: MakeTask
) -> None:
    task = make_task(next_run_at=NOW)
    started: list[list[int] | None] = []

    def wait_for_it() -> None:
        with app.app_context():
            started.append(starting.start_due_tasks(NOW, patient=True))
            db.session.commit()
            db.session.remove()

    with db.engine.connect() as other:
        other.execute(select(ScheduledTask.id).where(ScheduledTask.id == task.id).with_for_update())
        at_first = starting.start_due_tasks(NOW)
        db.session.commit()
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        thread.join(timeout=0.3)
        waits = thread.is_alive()
    thread.join()

    assert (at_first, waits) == (None, True)
    assert started == [db.session.scalars(select(Run.id)).all()] != [[]]


def test_the_next_slot_is_asked_in_aware_time() -> None:
    slot = cron.next_slot("0 0 * * *", "America/New_York", datetime(2026, 7, 1, tzinfo=UTC))

    assert slot == datetime(2026, 7, 1, 4, tzinfo=UTC)
