"""Digests: when they are due, and what they say."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from tests.conftest import NOW, at
from tests.unit.notifications.conftest import MakeChannel
from tests.unit.runs.support import MakeTask
from vulsweb import digests
from vulsweb.extensions import db
from vulsweb.models import Channel, Event, Finding, Host, Rhythm, Run, RunStatus, Trigger
from vulsweb.notifications import channels
from vulsweb.vuls.results import Severity

DAY = timedelta(days=1)


@pytest.fixture
def channel(make_channel: MakeChannel) -> Channel:
    """A channel with a daily digest at noon, and one behind it."""
    channel = make_channel()
    channel.digest, channel.digest_minute = Rhythm.DAILY, 12 * 60
    channels.plan_digest(channel, NOW - DAY)
    return channel


def written(channel: Channel, now: datetime = NOW) -> Event | None:
    digests.write(channel, now)
    return db.session.scalars(select(Event).order_by(Event.id.desc())).first()


@pytest.mark.parametrize(
    ("rhythm", "weekday", "zone", "now", "expected"),
    [
        (Rhythm.DAILY, 1, "UTC", "2026-01-01 07:29", "2026-01-01 07:30"),
        (Rhythm.DAILY, 1, "UTC", "2026-01-01 07:30", "2026-01-02 07:30"),
        (Rhythm.DAILY, 1, "America/New_York", "2026-01-01 07:30", "2026-01-01 12:30"),
        (Rhythm.DAILY, 1, "America/New_York", "2026-07-01 07:30", "2026-07-01 11:30"),
        (Rhythm.WEEKLY, 1, "UTC", "2026-01-01 07:30", "2026-01-05 07:30"),  # a Thursday, then Monday
        (Rhythm.WEEKLY, 0, "UTC", "2026-01-01 07:30", "2026-01-04 07:30"),
    ],
)
def test_a_digest_is_due_at_the_minute_of_its_zone(
    rhythm: Rhythm, weekday: int, zone: str, now: str, expected: str
) -> None:
    channel = Channel(timezone=zone, digest=rhythm, digest_minute=450, digest_weekday=weekday, active=True)

    channels.plan_digest(channel, at(now))

    assert channel.next_digest_at == at(expected)


def test_only_due_digests_of_active_channels_are_written(channel: Channel) -> None:
    assert channel.next_digest_at == NOW
    assert digests.due(NOW - timedelta(minutes=1)) == []
    assert digests.due(NOW) == [channel]

    digests.write(channel, NOW)

    assert channel.next_digest_at == NOW + DAY
    assert digests.due(NOW) == []


def test_it_says_what_is_new_what_failed_and_what_is_overdue(channel: Channel, make_task: MakeTask) -> None:
    failing, late, done = make_task(), make_task(next_run_at=NOW - timedelta(hours=1)), make_task()
    for task, status, reason in (
        (failing, RunStatus.FAILED, "host-1: connection refused."),
        (done, RunStatus.SUCCESS, None),
    ):
        db.session.add(
            Run(
                task=task,
                status=status,
                reason=reason,
                trigger=Trigger.SCHEDULE,
                created_at=NOW - DAY / 2,
                completed_at=NOW - DAY / 2,
                request={},
            )
        )
    host = db.session.scalars(select(Host).order_by(Host.id)).first()
    for cve, seen in (("CVE-2026-1", NOW - DAY / 2), ("CVE-2025-1", NOW - 2 * DAY)):
        db.session.add(
            Finding(
                host=host,
                cve_id=cve,
                severity=Severity.CRITICAL,
                title="Bad",
                packages=[],
                first_seen_at=seen,
                last_seen_at=seen,
            )
        )
    db.session.flush()

    digest = written(channel)

    assert digest is not None
    assert digest.title == "Day in short: new findings: 1 critical; 1 of 2 runs not complete"
    assert digest.text.split("\n\n") == [
        "New findings: 1 critical; 1 of 2 runs not complete.",
        "New:\nCVE-2026-1 (critical) on host-1: Bad",
        "Not complete:\ntask 1: failed. host-1: connection refused.",
        f"Overdue:\n{late.name}: its run is due and has not begun.",
    ]


def test_nothing_to_say_is_one_line_or_nothing_as_chosen(channel: Channel) -> None:
    digest = written(channel)
    channel.digest_when_empty = False
    then = written(channel, NOW + DAY)

    assert digest is not None
    assert digest.text == (
        "No new findings; 0 of 0 runs not complete.\n\nNothing new, nothing failed, nothing overdue."
    )
    assert then is digest


@pytest.mark.parametrize(("rhythm", "days"), [(Rhythm.DAILY, 1), (Rhythm.WEEKLY, 7)])
def test_the_first_digest_is_about_a_whole_day_or_week_and_each_later_one_begins_where_the_last_one_ended(
    channel: Channel, make_task: MakeTask, rhythm: Rhythm, days: int
) -> None:
    channel.digest = rhythm
    task = make_task()

    def fail(at: datetime) -> None:
        facts = {"status": RunStatus.FAILED, "trigger": Trigger.SCHEDULE, "request": {}}
        db.session.add(Run(task=task, created_at=at, completed_at=at, **facts))
        db.session.flush()

    fail(NOW - days * DAY + timedelta(minutes=1))
    fail(NOW - days * DAY - timedelta(minutes=1))
    first = written(channel)
    second = written(channel, NOW + days * DAY)

    assert first is not None
    assert second is not None
    assert "1 of 1 runs not complete" in first.title
    assert "0 of 0 runs not complete" in second.title
