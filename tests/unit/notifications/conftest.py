"""Channels, and the servers that they send to."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from tests.conftest import NOW
from tests.support.mail import Mailbox, Webhook, mail_server, webhook
from vulsweb.extensions import db
from vulsweb.models import Channel, Rule
from vulsweb.models.notification import CHOSEN_BY_RULES
from vulsweb.notifications import addresses

MakeChannel = Callable[..., Channel]


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as started:
        yield started


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as started:
        yield started


@pytest.fixture
def make_channel(app: Flask) -> MakeChannel:
    """Make a channel with one rule; it is told of everything unless the rule says otherwise."""

    def make(url: str = "json://127.0.0.1:1/", *, name: str = "team", **rule: Any) -> Channel:
        channel = Channel(
            name=name,
            url=addresses.encrypt(url, app.config["SECRET_KEY"]),
            timezone="UTC",
            created_at=NOW,
            failures=0,
        )
        chosen = {"kinds": [kind.value for kind in CHOSEN_BY_RULES], "task_id": None} | rule
        channel.rules.append(Rule(**chosen))
        db.session.add(channel)
        db.session.commit()
        return channel

    return make
