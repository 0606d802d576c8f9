"""Which channels are told of what."""

from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import NOW
from tests.unit.notifications.conftest import MakeChannel
from tests.unit.runs.support import MakeTask
from vulsweb.extensions import db
from vulsweb.models import Delivery, Event, EventKind, ScheduledTask
from vulsweb.notifications import events
from vulsweb.notifications.events import Happening
from vulsweb.vuls.results import Severity

HOUR = timedelta(hours=1)


def told(happening: Happening, hours: float = 0) -> bool:
    """Return whether a channel is told."""
    before = db.session.query(Delivery).count()
    events.record([happening], NOW + HOUR * hours)
    return db.session.query(Delivery).count() > before


@pytest.fixture
def task(make_task: MakeTask) -> ScheduledTask:
    """A scan of a host with the tag web."""
    task = make_task()
    assert task.host is not None
    task.host.tags = ["web"]
    return task


def test_a_channel_is_told_of_the_events_that_its_rule_names(make_channel: MakeChannel) -> None:
    make_channel(kinds=["run_failed"])

    assert told(Happening(EventKind.RUN_FAILED, "task 1", "failed"))
    assert not told(Happening(EventKind.RUN_PARTIAL, "task 1", "partial"))


def test_two_rules_of_a_channel_send_one_message(make_channel: MakeChannel) -> None:
    channel = make_channel()
    channel.rules.append(type(channel.rules[0])(kinds=["run_failed"]))

    events.record([Happening(EventKind.RUN_FAILED, "task 1", "failed")], NOW)

    assert db.session.query(Delivery).count() == 1


def test_what_nobody_wants_to_know_is_not_stored(make_channel: MakeChannel) -> None:
    make_channel(kinds=["run_failed"])

    events.record([Happening(EventKind.RUN_SLOW, "task 1", "slow")], NOW)

    assert db.session.query(Event).count() == 0


@pytest.mark.parametrize(
    ("narrowing", "expected"),
    [
        ({}, True),
        ({"tag": "web"}, True),
        ({"tag": "db"}, False),
        ({"task_id": "this"}, True),
        ({"task_id": "other"}, False),
        ({"host_id": "this"}, True),
        ({"host_id": "other"}, False),
        ({"tag": "web", "host_id": "other"}, False),
    ],
)
def test_a_rule_is_narrowed_by_task_tag_and_host(
    make_channel: MakeChannel,
    make_task: MakeTask,
    task: ScheduledTask,
    narrowing: dict[str, Any],
    expected: bool,
) -> None:
    other = make_task()
    ids: dict[str, dict[str, Any]] = {
        "task_id": {"this": task.id, "other": other.id},
        "host_id": {"this": task.host_id, "other": other.host_id},
    }
    make_channel(**{name: ids[name][value] if name in ids else value for name, value in narrowing.items()})

    assert told(Happening(EventKind.RUN_FAILED, "task 1", "failed", task=task)) is expected
    # What concerns no task fits no rule about one.
    assert told(Happening(EventKind.NEW_ADDRESS, "user 1", "signed in")) is not bool(narrowing)


def test_a_rule_about_a_tag_fits_tasks_of_that_tag(make_channel: MakeChannel, make_task: MakeTask) -> None:
    of_tag = make_task(host_id=None, host_tag="web")
    make_channel(tag="web")

    assert told(Happening(EventKind.RUN_FAILED, "task 1", "failed", task=of_tag))


@pytest.mark.parametrize("least", [None, *Severity])
@pytest.mark.parametrize("found", list(Severity))
def test_new_findings_are_told_from_the_severity_up(
    make_channel: MakeChannel, least: Severity | None, found: Severity
) -> None:
    make_channel(severity=least)

    happening = Happening(EventKind.NEW_FINDINGS, "task 1", "found", severity=found)

    assert told(happening) is (least is None or found.rank <= least.rank)
    assert told(Happening(EventKind.RUN_FAILED, "task 1", "failed"))


def test_what_goes_on_is_told_once(make_channel: MakeChannel) -> None:
    make_channel()

    assert told(Happening(EventKind.RUN_FAILED, "task 1", "failed"))
    assert not told(Happening(EventKind.RUN_FAILED, "task 1", "failed", news=False), hours=100)


def test_what_goes_on_is_told_again_after_the_hours_of_the_rule(make_channel: MakeChannel) -> None:
    make_channel(repeat_hours=6)
    still = Happening(EventKind.RUN_FAILED, "task 1", "failed", news=False)

    assert told(Happening(EventKind.RUN_FAILED, "task 1", "failed"))
    assert [told(still, hours) for hours in (1, 5.9, 6.1, 7, 12.2)] == [False, False, True, False, True]


def test_a_title_is_one_line_of_plain_text(make_channel: MakeChannel) -> None:
    make_channel()

    events.record([Happening(EventKind.RUN_FAILED, "task 1", "a\r\nBcc: b\x00\u202e c" + "x" * 500)], NOW)

    title = db.session.query(Event).one().title
    assert title.startswith("a Bcc: b c")
    assert len(title) == events.TITLE_LENGTH


def test_nothing_is_told_if_the_change_is_rolled_back(make_channel: MakeChannel) -> None:
    make_channel()
    events.record([Happening(EventKind.RUN_FAILED, "task 1", "failed")], NOW)

    db.session.rollback()

    assert db.session.query(Delivery).count() == 0
