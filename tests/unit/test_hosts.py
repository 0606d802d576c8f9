"""Hosts follow config.toml."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import NOW, at
from vulsweb.extensions import db
from vulsweb.hosts import config_sync, inventory
from vulsweb.models import Host, ScheduledTask, Trigger
from vulsweb.runs import starting
from vulsweb.tasks import editing as task_editing
from vulsweb.tasks import queries as task_queries
from vulsweb.vuls.config_toml import ConfigTomlError

TWO = '[servers.a]\nhost = "192.0.2.1"\n[servers.b]\nhost = "192.0.2.2"\nscanMode = ["fast", "offline"]\n'
LATER = NOW + timedelta(hours=1)


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


def test_a_host_that_vanished_is_retired_and_one_that_returns_is_itself_again(app: Flask) -> None:
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


def host(name: str) -> Host:
    return db.session.scalars(select(Host).where(Host.name == name)).one()


def test_an_entry_that_is_wrong_is_named_and_leaves_its_hosts_as_they_were(app: Flask) -> None:
    config_sync.sync(TWO, NOW)

    outcome = config_sync.sync(TWO.replace('"192.0.2.1"', "7") + '[servers.c]\nhost = "192.0.2.3"', LATER)

    assert (outcome.created, outcome.unchanged, outcome.retired) == (["c"], ["b"], [])
    assert [error.split(":")[0] for error in outcome.errors] == ["[servers.a]"]
    assert (host("a").hostname, host("a").retired_at) == ("192.0.2.1", None)
    assert "host must be text" in str(host("a").problem)


def test_an_entry_that_is_mended_has_no_problem_any_more(app: Flask) -> None:
    config_sync.sync(TWO, NOW)
    config_sync.sync(TWO.replace('"192.0.2.1"', "7"), LATER)

    assert config_sync.sync(TWO, LATER).updated == ["a"]
    assert host("a").problem is None


def test_tags_and_notes_outlive_a_sync_and_a_retirement(app: Flask) -> None:
    config_sync.sync(TWO, NOW)
    host("b").tags, host("b").notes = ["web"], "Rack 7"
    db.session.commit()

    config_sync.sync("", LATER)
    config_sync.sync(TWO, LATER)

    assert (host("b").tags, host("b").notes) == (["web"], "Rack 7")


def test_a_network_that_shrinks_retires_the_addresses_that_went(app: Flask) -> None:
    config_sync.sync('[servers.net]\nhost = "192.0.2.0/29"', NOW)

    outcome = config_sync.sync('[servers.net]\nhost = "192.0.2.0/30"', LATER)

    assert outcome.retired == [f"net(192.0.2.{number})" for number in (3, 4, 5, 6)]
    assert outcome.updated == ["net(192.0.2.1)", "net(192.0.2.2)"]


def test_hosts_in_thousands_are_taken_in_with_few_statements(app: Flask) -> None:
    text = "".join(f'[servers.h{number}]\nhost = "192.0.2.1"\n' for number in range(config_sync.BATCH + 1))

    created = config_sync.sync(text, NOW).created
    unchanged = config_sync.sync(text, LATER).unchanged

    assert len(created) == len(unchanged) == config_sync.BATCH + 1
    assert host("h7").synced_at == LATER


def test_a_retired_host_pauses_its_tasks_and_a_return_lets_exactly_those_go_on(
    app: Flask, make_task: Callable[..., ScheduledTask]
) -> None:
    config_sync.sync(TWO, NOW)
    nightly = make_task(host_id=host("b").id)
    switched_off = make_task(host_id=host("b").id, is_active=False)
    other = make_task(host_id=host("a").id)
    update = make_task(task_type="db_update", database_type="all")

    config_sync.sync(TWO.split("[servers.b]")[0], at("2026-01-02 12:00"))
    paused = [(task.paused_at is not None, task.next_run_at is not None) for task in (nightly, switched_off)]
    running = [(task.paused_at is None, task.next_run_at is not None) for task in (other, update)]
    why, wanted = nightly.paused_reason, nightly.active
    config_sync.sync(TWO, at("2026-01-05 12:00"))

    assert paused == [(True, False), (True, False)]
    assert running == [(True, True), (True, True)]
    assert why == "b is no longer in config.toml. The task resumes when the host is back."
    assert wanted
    assert (nightly.paused_at, nightly.next_run_at) == (None, at("2026-01-06 02:00"))
    assert (switched_off.paused_at, switched_off.active, switched_off.next_run_at) == (None, False, None)


def test_a_paused_task_is_not_run_whoever_asks(app: Flask, make_task: Callable[..., ScheduledTask]) -> None:
    config_sync.sync(TWO, NOW)
    task = make_task(host_id=host("b").id)
    config_sync.sync("", LATER)

    with pytest.raises(starting.TaskPaused, match=r"b is no longer in config\.toml"):
        starting.start(task, trigger=Trigger.PERSON, now=LATER)
    assert task_queries.count_paused([task.id]) == 1


def test_switching_or_changing_a_paused_task_does_not_wake_it(
    app: Flask, make_task: Callable[..., ScheduledTask]
) -> None:
    config_sync.sync(TWO, NOW)
    task = make_task(host_id=host("b").id)
    config_sync.sync("", LATER)

    task_editing.set_active([task.id], active=False, now=LATER)
    task_editing.set_active([task.id], active=True, now=LATER)

    assert (task.active, task.next_run_at, task.paused_at) == (True, None, LATER)


def test_a_paused_task_goes_on_with_another_host(
    app: Flask, make_task: Callable[..., ScheduledTask], make_host: Callable[..., Host]
) -> None:
    config_sync.sync(TWO, NOW)
    task = make_task(name="Nightly", host_id=host("b").id)
    config_sync.sync("", LATER)
    values = {
        "name": "Nightly",
        "task_type": "scan",
        "scan_type": "fast",
        "cron_expression": "0 2 * * *",
        "host_id": make_host("spare").id,
    }

    task_editing.change(task, values, LATER)

    assert (task.paused_at, task.next_run_at) == (None, at("2026-01-02 02:00"))


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


def test_only_an_ssh_config_that_we_wrote_says_how_a_host_is_reached(app: Flask, tmp_path: Path) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    ours.write_text("# Written by Vuls Web\nHost db\n    HostName 192.0.2.7\n    ProxyJump bastion\n")
    other.write_text("Host web\n    HostName 192.0.2.8\n")
    text = "".join(
        f'[servers.{name}]\nhost = "{name}"\nsshConfigPath = "{path}"\n'
        for name, path in (("db", ours), ("web", other), ("gone", tmp_path / "gone"))
    )

    config_sync.sync(text, NOW)

    assert (host("db").connection, host("db").hostname) == ("jump_host", "192.0.2.7")
    assert (host("web").connection, host("web").hostname) == ("custom", "web")
    assert host("gone").connection == "custom"
