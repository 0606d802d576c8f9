"""Messages of the outbox, sent by workers to real servers; and parts of the system that fail."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import NOW
from tests.support.mail import Mailbox
from tests.unit.notifications.conftest import MakeChannel
from tests.unit.runs.support import race
from vulsweb.extensions import db
from vulsweb.models import Channel, Event, EventKind, Trouble
from vulsweb.notifications import events, outbox, sending
from vulsweb.notifications.events import Happening
from vulsweb.system import health
from vulsweb.system.checks import Check, State
from vulsweb.system.health import System
from vulsweb.worker import outgoing

MINUTE = timedelta(minutes=1)


def happen(title: str) -> None:
    events.record([Happening(EventKind.RUN_FAILED, "task 1", title)], NOW)
    db.session.commit()


def test_a_message_is_sent_once(app: Flask, make_channel: MakeChannel, mailbox: Mailbox) -> None:
    make_channel(mailbox.url)
    happen("web-1 failed")

    assert [outgoing.send_next(app.config, NOW) for _ in range(2)] == [True, False]
    assert mailbox.subjects == ["Vuls Web: web-1 failed"]


def test_four_workers_at_once_send_a_message_once(
    app: Flask, make_channel: MakeChannel, mailbox: Mailbox
) -> None:
    make_channel(mailbox.url)
    happen("web-1 failed")

    race(app, lambda: outgoing.send_next(app.config, NOW))

    assert mailbox.subjects == ["Vuls Web: web-1 failed"]


def test_a_channel_that_fails_delays_no_other_and_loses_nothing(
    app: Flask, make_channel: MakeChannel, mailbox: Mailbox
) -> None:
    away = make_channel("json://127.0.0.1:1/", name="away")
    make_channel(mailbox.url, name="well")
    happen("one")
    happen("two")

    while outgoing.send_next(app.config, NOW):
        pass

    assert mailbox.subjects == ["Vuls Web: 2 messages: Run failed (2)"]
    assert "refused" in (away.last_error or "")
    assert len(away.rules) == 1


def test_a_server_that_refuses_for_a_while_gets_everything_as_one_message(
    app: Flask, make_channel: MakeChannel, mailbox: Mailbox
) -> None:
    channel = make_channel(mailbox.url)
    mailbox.reply = "451 Try later"
    for number in range(5):
        happen(f"event {number}")
        outgoing.send_next(app.config, NOW + number * timedelta(hours=2))
    db.session.refresh(channel)
    refused = channel.last_error or ""
    mailbox.reply = "250 OK"

    outgoing.send_next(app.config, NOW + timedelta(hours=12))

    assert "Try later" in refused
    assert mailbox.subjects == ["Vuls Web: 5 messages: Run failed (5)"]
    db.session.refresh(channel)
    assert (channel.failures, channel.last_error) == (0, None)


def test_a_message_that_was_sent_and_not_recorded_goes_again_with_its_id(
    app: Flask, make_channel: MakeChannel, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_channel(mailbox.url)
    happen("web-1 failed")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(outbox, "record_sent", die)
        with pytest.raises(KeyboardInterrupt):
            outgoing.send_next(app.config, NOW)
    db.session.rollback()
    outgoing.send_next(app.config, NOW)

    ids = [mail[sending.ID_HEADER] for mail in mailbox.arrived]
    assert len(ids) == 2
    assert ids[0] == ids[1]


def test_an_address_of_another_key_is_told_and_tried_again(app: Flask, make_channel: MakeChannel) -> None:
    channel = make_channel()
    happen("web-1 failed")

    outgoing.send_next({**app.config, "SECRET_KEY": "another key another key another key"}, NOW)

    db.session.refresh(channel)
    assert "the secret key has changed" in (channel.last_error or "")


def parts(monkeypatch: pytest.MonkeyPatch, **states: State) -> None:
    checks = [
        Check(name, name.capitalize(), state, "It says so.", ("Do this.",)) for name, state in states.items()
    ]
    monkeypatch.setattr(health, "read", lambda *_: System(tuple(checks), ()))


def watch(app: Flask, minutes: float) -> None:
    outgoing.watch_parts(app.config, NOW + minutes * MINUTE)
    db.session.commit()


def told() -> list[tuple[EventKind, str]]:
    return [(event.kind, event.title) for event in db.session.query(Event).order_by(Event.id)]


@pytest.fixture
def watched(make_channel: MakeChannel) -> Channel:
    return make_channel()


@pytest.mark.parametrize(
    ("state", "kind", "title"),
    [
        (State.FAILED, EventKind.PART_FAILED, "Executor: failed"),
        (State.WARNING, EventKind.PART_WARNING, "Executor: warning"),
    ],
)
def test_a_part_that_fails_is_told_once_and_that_it_works_again(
    app: Flask,
    watched: Channel,
    monkeypatch: pytest.MonkeyPatch,
    state: State,
    kind: EventKind,
    title: str,
) -> None:
    parts(monkeypatch, executor=state, redis=State.OK)
    for minute in range(5):
        watch(app, minute)
    parts(monkeypatch, executor=State.OK, redis=State.OK)
    watch(app, 5)
    watch(app, 6)

    assert told() == [(kind, title), (EventKind.PART_RECOVERED, "Executor works again")]
    assert db.session.scalars(select(Event.text).where(Event.kind == kind)).one() == "It says so.\nDo this."


def test_a_restart_is_no_news(app: Flask, watched: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    parts(monkeypatch, executor=State.FAILED)
    watch(app, 0)
    watch(app, 1)
    parts(monkeypatch, executor=State.OK)
    watch(app, 2)

    assert told() == []


def test_parts_that_fail_are_noted_for_the_metrics_and_told_to_who_adds_a_channel_later(
    app: Flask, make_channel: MakeChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts(monkeypatch, executor=State.FAILED)
    for minute in range(3):
        watch(app, minute)
    before = told()

    make_channel()
    watch(app, 3)

    assert before == []
    assert [trouble.part for trouble in db.session.query(Trouble)] == ["executor"]
    assert told() == [(EventKind.PART_FAILED, "Executor: failed")]
