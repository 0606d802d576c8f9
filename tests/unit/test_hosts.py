"""Hosts follow config.toml."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import NOW
from vulsweb import hosts
from vulsweb.extensions import db
from vulsweb.models import Host
from vulsweb.vuls.config_toml import ConfigTomlError

TWO = '[servers.a]\nhost = "192.0.2.1"\n[servers.b]\nhost = "192.0.2.2"\nscanMode = ["fast", "offline"]\n'
LATER = NOW + timedelta(hours=1)


def test_a_first_sync_creates_every_server(app: Flask) -> None:
    outcome = hosts.sync(TWO, NOW)

    assert outcome.created == ["a", "b"]
    b = db.session.scalars(select(Host).where(Host.name == "b")).one()
    assert (b.hostname, b.scan_modes) == ("192.0.2.2", ["fast", "offline"])
    assert b.vuls_config == {"host": "192.0.2.2", "scanMode": ["fast", "offline"]}


def test_a_second_sync_of_the_same_file_changes_nothing(app: Flask) -> None:
    hosts.sync(TWO, NOW)

    assert hosts.sync(TWO, LATER).unchanged == ["a", "b"]


def test_a_changed_server_is_updated(app: Flask) -> None:
    hosts.sync(TWO, NOW)

    outcome = hosts.sync(TWO.replace("192.0.2.1", "198.51.100.1"), LATER)

    assert (outcome.updated, outcome.unchanged) == (["a"], ["b"])


def test_a_host_that_vanished_is_retired_and_one_that_returns_is_itself_again(app: Flask) -> None:
    hosts.sync(TWO, NOW)
    before = db.session.scalars(select(Host).where(Host.name == "b")).one().id

    gone = hosts.sync('[servers.a]\nhost = "192.0.2.1"\n', LATER)
    still_gone = hosts.sync('[servers.a]\nhost = "192.0.2.1"\n', LATER)
    scannable = [host.name for host in hosts.scannable()]
    back = hosts.sync(TWO, LATER)

    assert (gone.retired, still_gone.retired, scannable) == (["b"], [], ["a"])
    assert back.updated == ["b"]
    assert db.session.scalars(select(Host).where(Host.name == "b")).one().id == before


def test_a_file_that_does_not_parse_changes_nothing(app: Flask) -> None:
    hosts.sync(TWO, NOW)

    with pytest.raises(ConfigTomlError):
        hosts.sync("[servers.a\n", LATER)

    assert [host.name for host in hosts.scannable()] == ["a", "b"]
