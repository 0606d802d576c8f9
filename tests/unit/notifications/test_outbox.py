"""The outbox: what waits, in which message, and for how long."""

from datetime import datetime, timedelta

import pytest

from tests.conftest import NOW, at
from tests.unit.notifications.conftest import MakeChannel
from vulsweb.extensions import db
from vulsweb.models import Channel, Delivery, Event, EventKind
from vulsweb.notifications import channels, events, outbox
from vulsweb.notifications.events import Happening

MINUTE = timedelta(minutes=1)


def happen(title: str, now: datetime = NOW) -> None:
    events.record([Happening(EventKind.RUN_FAILED, "task 1", title)], now)
    db.session.commit()


def titles(message: outbox.Message | None) -> list[str]:
    return [event.title for event in message.events] if message else []


def test_all_that_waits_for_a_channel_is_one_message(make_channel: MakeChannel) -> None:
    make_channel()
    for number in range(3):
        happen(f"event {number}")

    message = outbox.next_message(NOW)

    assert titles(message) == ["event 0", "event 1", "event 2"]


def test_what_was_sent_is_not_sent_again(make_channel: MakeChannel) -> None:
    channel = make_channel()
    happen("one")
    message = outbox.next_message(NOW)
    assert message is not None

    outbox.record_sent(channel.id, message.id, NOW)
    happen("two")

    assert titles(outbox.next_message(NOW)) == ["two"]


def test_a_message_whose_end_nobody_saw_goes_out_again_under_the_same_id(make_channel: MakeChannel) -> None:
    make_channel()
    happen("one")
    first = outbox.next_message(NOW)
    db.session.commit()  # and then the worker dies
    happen("two")

    again = outbox.next_message(NOW + MINUTE)

    assert first is not None
    assert again is not None
    assert again.id == first.id
    assert titles(again) == ["one"]


def test_the_pauses_between_failures_grow_to_an_hour(make_channel: MakeChannel) -> None:
    channel, now, pauses = make_channel(), NOW, []
    happen("one")
    for _ in range(9):
        message = outbox.next_message(now)
        assert message is not None
        outbox.record_failure(channel.id, message.id, "away", now)
        assert channel.next_try_at is not None
        pauses.append((channel.next_try_at - now) // MINUTE)
        assert outbox.next_message(channel.next_try_at - MINUTE / 60) is None
        now = channel.next_try_at

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert (channel.failures, channel.last_error) == (9, "away")


def test_a_channel_that_was_away_for_a_day_gets_one_message_and_the_others_wait_for_nothing(
    make_channel: MakeChannel,
) -> None:
    away, well = make_channel(name="away"), make_channel(name="well")
    now, sent_to_well = NOW, 0
    for number in range(24):
        happen(f"event {number}", now)
        while (message := outbox.next_message(now)) is not None:
            if message.channel is away:
                outbox.record_failure(away.id, message.id, "away", now)
            else:
                outbox.record_sent(well.id, message.id, now)
                sent_to_well += 1
        now += timedelta(hours=1)

    assert sent_to_well == 24
    assert len(titles(outbox.next_message(now))) == 24


def test_after_a_week_a_message_is_given_up_and_can_be_sent_again(make_channel: MakeChannel) -> None:
    channel = make_channel()
    happen("old")
    later = NOW + outbox.GIVE_UP_AFTER + MINUTE
    happen("new", later)
    message = outbox.next_message(later)
    assert message is not None

    outbox.record_failure(channel.id, message.id, "away", later)
    rest = [each.event.title for each in outbox.waiting(channel)]
    outbox.send_again(channel, later)

    assert rest == ["new"]
    assert titles(outbox.next_message(later)) == ["old", "new"]


@pytest.mark.parametrize(
    ("begin", "end", "zone", "moment", "quiet"),
    [
        ("22:00", "06:30", "UTC", "2026-01-01 23:00", True),
        ("22:00", "06:30", "UTC", "2026-01-01 06:29", True),
        ("22:00", "06:30", "UTC", "2026-01-01 06:30", False),
        ("22:00", "06:30", "UTC", "2026-01-01 21:59", False),
        ("09:00", "10:00", "UTC", "2026-01-01 09:00", True),
        ("09:00", "10:00", "UTC", "2026-01-01 10:00", False),
        ("22:00", "06:30", "America/New_York", "2026-01-01 10:00", True),
        ("22:00", "06:30", "America/New_York", "2026-01-01 23:00", False),
        ("08:00", "08:00", "UTC", "2026-01-01 08:00", False),
    ],
)
def test_quiet_hours_are_those_of_the_channels_zone(
    begin: str, end: str, zone: str, moment: str, quiet: bool
) -> None:
    minutes = [int(text[:2]) * 60 + int(text[3:]) for text in (begin, end)]
    channel = Channel(timezone=zone, quiet_from=minutes[0], quiet_until=minutes[1])

    assert outbox.is_quiet(channel, at(moment)) is quiet


def test_messages_wait_until_the_quiet_hours_end_and_come_as_one(make_channel: MakeChannel) -> None:
    channel = make_channel()
    channel.quiet_from, channel.quiet_until = 22 * 60, 6 * 60
    happen("one", at("2026-01-01 23:00"))
    happen("two", at("2026-01-02 03:00"))

    assert outbox.next_message(at("2026-01-02 05:59")) is None
    assert titles(outbox.next_message(at("2026-01-02 06:00"))) == ["one", "two"]


def test_a_test_message_does_not_wait_for_the_end_of_the_quiet_hours(make_channel: MakeChannel) -> None:
    channel, night = make_channel(), at("2026-01-01 23:00")
    channel.quiet_from, channel.quiet_until = 22 * 60, 6 * 60
    happen("one", night)

    channels.send_test(channel, "eve", night)

    assert titles(outbox.next_message(night)) == ["Test of the channel team"]
    assert titles(outbox.next_message(at("2026-01-02 06:00"))) == ["Test of the channel team"]


def test_an_inactive_channel_gets_nothing_and_keeps_what_waits(make_channel: MakeChannel) -> None:
    channel = make_channel()
    happen("before")
    channel.active = False
    happen("meanwhile")

    assert outbox.next_message(NOW) is None
    channel.active = True
    assert titles(outbox.next_message(NOW)) == ["before"]


def test_old_events_are_deleted_once_they_wait_for_no_channel(make_channel: MakeChannel) -> None:
    channel = make_channel()
    happen("sent")
    message = outbox.next_message(NOW)
    assert message is not None
    outbox.record_sent(channel.id, message.id, NOW)
    happen("waiting")

    outbox.prune(NOW + MINUTE)

    assert [event.title for event in db.session.query(Event)] == ["waiting"]
    assert db.session.query(Delivery).count() == 1
