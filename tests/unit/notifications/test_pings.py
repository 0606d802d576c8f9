"""Pings to an outside service, as long as the scheduler runs."""

import logging
import socket
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from tests.conftest import NOW
from tests.support.mail import Webhook, silent_server
from tests.support.waiting import patience
from vulsweb import worker
from vulsweb.extensions import db
from vulsweb.notifications import pings
from vulsweb.runs import starting

SECRET = "a-secret-of-ours"


@pytest.fixture(autouse=True)
def ticked(app: Flask) -> None:
    starting.record_tick(NOW)
    db.session.commit()


def address(hook: Webhook) -> str:
    return f"http://127.0.0.1:{hook.server_port}/{SECRET}"


def test_a_ping_is_sent_while_the_scheduler_runs(hook: Webhook) -> None:
    assert pings.ping(address(hook), NOW + timedelta(minutes=1)) is None
    assert hook.opened == [f"/{SECRET}"]


def test_no_ping_is_sent_while_the_scheduler_is_down(hook: Webhook) -> None:
    problem = pings.ping(address(hook), NOW + timedelta(minutes=3))

    assert problem == "not sent: the scheduler does not run."
    assert hook.opened == []


def test_what_goes_wrong_is_said_without_the_secret(hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pings, "SECONDS", (0.2, 0.2))
    hook.status = 500
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
    with silent_server() as silent:
        problems = [
            pings.ping(url, NOW)
            for url in (
                address(hook),
                f"http://127.0.0.1:{closed}/{SECRET}",
                f"http://127.0.0.1:{silent}/{SECRET}",
            )
        ]

    assert problems == [
        "127.0.0.1 answered 500.",
        "127.0.0.1 cannot be reached: ConnectionError.",
        "127.0.0.1 cannot be reached: ReadTimeout.",
    ]


def test_the_worker_pings_each_minute_and_logs_an_outage_once(
    app: Flask, hook: Webhook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(app.config, "PING_URL", address(hook))
    monkeypatch.setattr(pings, "SECONDS", (patience(4), patience(4)))
    starting.record_tick(datetime.now(UTC))
    db.session.commit()

    with caplog.at_level(logging.WARNING):
        worker.watch()
        hook.status = 500
        worker.watch()
        worker.watch()

    said = [record.message for record in caplog.records]
    assert (hook.opened, said) == ([f"/{SECRET}"], ["ping: 127.0.0.1 answered 500."])
