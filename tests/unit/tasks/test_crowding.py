"""Tasks that start together: counted for the next week, with a line that avoids them."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vulsweb import cron
from vulsweb.extensions import db
from vulsweb.models import ScheduledTask
from vulsweb.tasks import crowding

NOW = datetime(2026, 1, 1, 12, 34, 56, tzinfo=UTC)  # a Thursday
MakeTask = Callable[..., ScheduledTask]
UPDATE = {"task_type": "db_update", "database_type": "nvd"}


def add(make_task: MakeTask, count: int, line: str = "0 2 * * *", **fields: object) -> list[ScheduledTask]:
    return [make_task(cron_expression=line, **(UPDATE | fields)) for _ in range(count)]


def test_as_many_as_may_start_together_are_no_crowd_and_one_more_is(make_task: MakeTask) -> None:
    add(make_task, crowding.MOST_TASKS - 1)
    few = crowding.find("0 2 * * *", "UTC", NOW)
    add(make_task, 1)

    many = crowding.find("0 2 * * *", "UTC", NOW)

    assert few is None
    assert many == crowding.Crowd(5, datetime(2026, 1, 2, 2, 0, tzinfo=UTC), "10 2 * * *")


@pytest.mark.parametrize(
    ("line", "zone", "is_crowded"),
    [
        ("9 2 * * *", "UTC", True),  # in the same ten minutes
        ("10 2 * * *", "UTC", False),
        ("59 1 * * *", "UTC", False),
        ("0 3 * * *", "Europe/Berlin", True),  # the same moment
        ("0 2 * * *", "Europe/Berlin", False),
        ("*/15 * * * *", "UTC", True),
        ("0 2 1 2 *", "UTC", False),  # not within a week
        ("0 2 8 1 *", "UTC", True),
    ],
)
def test_moments_count_and_not_lines(make_task: MakeTask, line: str, zone: str, is_crowded: bool) -> None:
    add(make_task, 5)

    assert (crowding.find(line, zone, NOW) is not None) == is_crowded


def test_inactive_and_paused_tasks_detections_and_the_task_itself_do_not_count(make_task: MakeTask) -> None:
    own, *_ = add(make_task, 4)
    add(make_task, 1, is_active=False)
    paused, *_ = add(make_task, 1)
    paused.paused_at, paused.paused_reason = NOW, "Its host is gone."
    make_task(task_type="detection", cron_expression="0 2 * * *")
    db.session.commit()

    assert crowding.find("0 2 * * *", "UTC", NOW) is None
    add(make_task, 1)
    assert crowding.find("0 2 * * *", "UTC", NOW) is not None
    assert crowding.find("0 2 * * *", "UTC", NOW, own.id) is None


@pytest.mark.parametrize(
    ("crowded", "line", "proposal"),
    [
        (["0 2 * * *"], "0 2 * * *", "10 2 * * *"),
        (["0 2 * * *"], "5 2 * * *", "15 2 * * *"),
        (["55 2 * * *"], "55 2 * * *", "45 2 * * *"),  # not over the hour
        (["*/10 2 * * *"], "0 2 * * *", "0 3 * * *"),
        (["*/10 * * * *"], "0 2 * * *", ""),
        (["0 2 * * 1"], "0 2 * * 1", "10 2 * * 1"),
        (["*/10 23 * * *", "*/10 22 * * *"], "0 23 * * *", "0 21 * * *"),  # not over midnight
        (["*/15 * * * *"], "*/15 * * * *", ""),
    ],
)
def test_a_line_near_by_is_proposed_that_avoids_the_crowd(
    make_task: MakeTask, crowded: list[str], line: str, proposal: str
) -> None:
    for each in crowded:
        add(make_task, 5, each)

    found = crowding.find(line, "UTC", NOW)

    assert found is not None
    assert found.proposal == proposal
    assert not proposal or crowding.find(proposal, "UTC", NOW) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 59), st.integers(0, 23) | st.sampled_from(["*", "1-5", "*/2"]))
def test_every_proposed_line_is_valid_and_keeps_its_days(minute: int, hour: object) -> None:
    line = f"{minute} {hour} 1-7 * 1"

    for candidate in crowding._near(line):
        assert cron.check(candidate).split()[2:] == line.split()[2:]
        assert candidate != line


def test_a_task_whose_line_cannot_be_read_disturbs_nothing(make_task: MakeTask) -> None:
    (task,) = add(make_task, 1)
    task.cron_expression = "0 0 30 2 *"
    db.session.commit()

    assert crowding.find("0 2 * * *", "UTC", NOW) is None
