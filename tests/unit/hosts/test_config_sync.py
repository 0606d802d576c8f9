"""Host sync: the hosts table follows config.toml."""

from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import NOW
from vulsweb.extensions import db
from vulsweb.hosts import config_sync, inventory
from vulsweb.models import Host
from vulsweb.vuls.config_toml import ConfigTomlError

TWO = '[servers.a]\nhost = "192.0.2.1"\n[servers.b]\nhost = "192.0.2.2"\nscanMode = ["fast", "offline"]\n'
LATER = NOW + timedelta(hours=1)


def host(name: str) -> Host:
    return db.session.scalars(select(Host).where(Host.name == name)).one()


def test_a_first_sync_creates_every_server(app: Flask) -> None:
    outcome = config_sync.sync(TWO, NOW)

    assert outcome.created == ["a", "b"]
    b = db.session.scalars(select(Host).where(Host.name == "b")).one()
    assert (b.hostname, b.scan_modes) == ("192.0.2.2", ["fast", "offline"])
    assert b.vuls_config == {"host": "192.0.2.2", "scanMode": ["fast", "offline"]}


def test_a_second_sync_of_the_same_file_changes_nothing(app: Flask) -> None:
    config_sync.sync(TWO, NOW)

    assert config_sync.sync(TWO, LATER).unchanged == ["a", "b"]


def test_a_changed_server_is_updated(app: Flask) -> None:
    config_sync.sync(TWO, NOW)

    outcome = config_sync.sync(TWO.replace("192.0.2.1", "198.51.100.1"), LATER)

    assert (outcome.updated, outcome.unchanged) == (["a"], ["b"])


def test_a_host_that_is_removed_is_retired_and_one_that_returns_is_the_same_host(app: Flask) -> None:
    config_sync.sync(TWO, NOW)
    before = db.session.scalars(select(Host).where(Host.name == "b")).one().id

    gone = config_sync.sync('[servers.a]\nhost = "192.0.2.1"\n', LATER)
    still_gone = config_sync.sync('[servers.a]\nhost = "192.0.2.1"\n', LATER)
    scannable = [host.name for host in inventory.scannable()]
    back = config_sync.sync(TWO, LATER)

    assert (gone.retired, still_gone.retired, scannable) == (["b"], [], ["a"])
    assert back.updated == ["b"]
    assert db.session.scalars(select(Host).where(Host.name == "b")).one().id == before


def test_a_file_that_does_not_parse_changes_nothing(app: Flask) -> None:
    config_sync.sync(TWO, NOW)

    with pytest.raises(ConfigTomlError):
        config_sync.sync("[servers.a\n", LATER)

    assert [host.name for host in inventory.scannable()] == ["a", "b"]


@pytest.mark.parametrize("text", ["", "[cveDict]\ntype = 'sqlite3'\n", TWO.replace("servers.", "")])
def test_a_file_that_names_no_server_changes_nothing(app: Flask, text: str) -> None:
    config_sync.sync(TWO, NOW)

    with pytest.raises(ConfigTomlError, match=r"names no server.*No host was changed\."):
        config_sync.sync(text, LATER)

    assert [host.name for host in inventory.scannable()] == ["a", "b"]


MANY = "".join(f'[servers.h{number}]\nhost = "192.0.2.{number}"\n' for number in range(1, 6))


@pytest.mark.parametrize(("kept", "asks"), [(1, True), (2, True), (3, False), (4, False)])
def test_a_file_without_most_of_the_hosts_changes_nothing_unless_confirmed(
    app: Flask, kept: int, asks: bool
) -> None:
    config_sync.sync(MANY, NOW)
    fewer = MANY.partition(f"[servers.h{kept + 1}]")[0]

    if asks:
        with pytest.raises(config_sync.RetiresMost, match=rf"would retire {5 - kept} of 5 hosts"):
            config_sync.sync(fewer, LATER)
        assert len(inventory.scannable()) == 5
    outcome = config_sync.sync(fewer, LATER, confirmed=asks)

    assert len(outcome.retired) == 5 - kept


def test_hosts_of_invalid_sections_and_shrinking_networks_are_not_gone(app: Flask) -> None:
    config_sync.sync('[servers.net]\nhost = "192.0.2.0/29"\n', NOW)

    assert config_sync.sync('[servers.net]\nhost = "192.0.2.0/31"\n', LATER).retired
    config_sync.sync(MANY, LATER, confirmed=True)
    assert not config_sync.sync(MANY.replace('host = "', "host = 7 #"), LATER).retired


def test_an_invalid_entry_is_reported_and_its_hosts_stay_unchanged(app: Flask) -> None:
    config_sync.sync(TWO, NOW)

    outcome = config_sync.sync(TWO.replace('"192.0.2.1"', "7") + '[servers.c]\nhost = "192.0.2.3"', LATER)

    assert (outcome.created, outcome.unchanged, outcome.retired) == (["c"], ["b"], [])
    assert [error.split(":")[0] for error in outcome.errors] == ["[servers.a]"]
    assert (host("a").hostname, host("a").retired_at) == ("192.0.2.1", None)
    assert "host must be text" in str(host("a").problem)


def test_an_entry_that_is_fixed_has_no_problem(app: Flask) -> None:
    config_sync.sync(TWO, NOW)
    config_sync.sync(TWO.replace('"192.0.2.1"', "7"), LATER)

    assert config_sync.sync(TWO, LATER).updated == ["a"]
    assert host("a").problem is None


def test_tags_and_notes_survive_a_sync_and_a_retirement(app: Flask) -> None:
    config_sync.sync(TWO, NOW)
    host("b").tags, host("b").notes = ["web"], "Rack 7"
    db.session.commit()

    config_sync.sync("", LATER, confirmed=True)
    config_sync.sync(TWO, LATER)

    assert (host("b").tags, host("b").notes) == (["web"], "Rack 7")


def test_a_network_that_shrinks_retires_the_removed_addresses(app: Flask) -> None:
    config_sync.sync('[servers.net]\nhost = "192.0.2.0/29"', NOW)

    outcome = config_sync.sync('[servers.net]\nhost = "192.0.2.0/30"', LATER)

    assert outcome.retired == [f"net(192.0.2.{number})" for number in (3, 4, 5, 6)]
    assert outcome.updated == ["net(192.0.2.1)", "net(192.0.2.2)"]


def test_thousands_of_hosts_are_synced_in_batches(app: Flask) -> None:
    text = "".join(f'[servers.h{number}]\nhost = "192.0.2.1"\n' for number in range(config_sync.BATCH + 1))

    created = config_sync.sync(text, NOW).created
    unchanged = config_sync.sync(text, LATER).unchanged

    assert len(created) == len(unchanged) == config_sync.BATCH + 1
    assert host("h7").synced_at == LATER


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (None, "There is no config.toml yet."),
        (b'[servers.a]\nhost = "\xff"', "config.toml, line 2, column 9: this is not UTF-8 text."),
        (b"[servers.a", "config.toml, line 1, column 11"),
    ],
)
def test_a_file_that_cannot_be_read_changes_nothing(
    app: Flask, tmp_path: Path, left: bytes | None, said: str
) -> None:
    config_sync.sync(TWO, NOW)
    path = tmp_path / "config.toml"
    if left is not None:
        path.write_bytes(left)

    with pytest.raises(ConfigTomlError) as refusal:
        config_sync.sync_file(path, LATER)

    assert said in str(refusal.value)
    assert [each.name for each in inventory.scannable()] == ["a", "b"]


def test_only_a_generated_ssh_config_determines_the_connection(app: Flask, tmp_path: Path) -> None:
    generated, other = tmp_path / "generated", tmp_path / "other"
    generated.write_text("# Written by Vuls Web\nHost db\n    HostName 192.0.2.7\n    ProxyJump bastion\n")
    other.write_text("Host web\n    HostName 192.0.2.8\n")
    text = "".join(
        f'[servers.{name}]\nhost = "{name}"\nsshConfigPath = "{path}"\n'
        for name, path in (("db", generated), ("web", other), ("gone", tmp_path / "gone"))
    )

    config_sync.sync(text, NOW)

    assert (host("db").connection, host("db").hostname) == ("jump_host", "192.0.2.7")
    assert (host("web").connection, host("web").hostname) == ("custom", "web")
    assert host("gone").connection == "custom"


def test_a_key_of_the_defaults_that_is_gone_is_a_problem_of_managed_hosts(app: Flask, tmp_path: Path) -> None:
    generated, key = tmp_path / "generated", tmp_path / "id_rsa"
    generated.write_text("# Written by Vuls Web\nHost db\n    HostName 192.0.2.7\n")
    text = f"[default]\nkeyPath = '{key}'\n[servers.own]\nhost = 'own'\n"
    text += f"[servers.db]\nhost = 'db'\nsshConfigPath = '{generated}'\n"

    gone = config_sync.sync(text, NOW)
    key.touch()
    there = config_sync.sync(text, LATER)

    assert gone.created == ["own"]
    assert gone.errors == [
        (
            "[servers.db]: keyPath of [default], which Vuls uses for this host too,"
            f" is {key}, but there is no such file."
        )
    ]
    assert (there.created, there.errors) == (["db"], [])
