"""`vulsweb hosts sync`."""

from collections.abc import Callable

from flask import Flask

from vulsweb.hosts import inventory
from vulsweb.models import Host


def test_hosts_are_synced_and_invalid_entries_are_named(app: Flask) -> None:
    app.config["VULS_CONFIG"].write_text('[servers.a]\nhost = "192.0.2.1"\n[servers.bad]\nhost = 7\n')

    done = app.test_cli_runner().invoke(args=["hosts", "sync"])

    assert "Hosts: 1 created, 0 updated, 0 retired, 0 unchanged; 1 entry cannot be used." in done.output
    assert "[servers.bad]: host must be text" in done.output
    assert done.exit_code == 1
    assert [host.name for host in inventory.scannable()] == ["a"]


def test_a_file_that_does_not_parse_is_reported_with_line_and_column(app: Flask) -> None:
    app.config["VULS_CONFIG"].write_text("[servers.a\n")

    done = app.test_cli_runner().invoke(args=["hosts", "sync"])

    assert "config.toml, line 1, column 11" in done.output
    assert done.exit_code == 1


def test_retiring_most_hosts_needs_a_yes(app: Flask, make_host: Callable[..., Host]) -> None:
    for name in "abcd":
        make_host(name)
    app.config["VULS_CONFIG"].write_text('[servers.a]\nhost = "a"\n')

    asked = app.test_cli_runner().invoke(args=["hosts", "sync"])
    done = app.test_cli_runner().invoke(args=["hosts", "sync", "--yes"])

    assert "would retire 3 of 4 hosts and pause their tasks. No host was changed. To do it" in asked.output
    assert (asked.exit_code, done.exit_code) == (1, 0)
    assert [host.name for host in inventory.scannable()] == ["a"]
