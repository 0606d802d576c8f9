"""The servers of config.toml: a wrong entry is an error and does not affect others."""

from pathlib import PurePath

import pytest

from vulsweb.vuls import servers
from vulsweb.vuls.config_toml import STARTER, ConfigTomlError
from vulsweb.vuls.ssh import config


def only(text: str) -> servers.Server:
    parsed = servers.read(text)
    assert parsed.errors == []
    (server,) = parsed.servers
    return server


def test_the_first_config_names_this_machine() -> None:
    server = only(STARTER)

    assert (server.name, server.entry, server.address) == ("localhost", "localhost", "localhost")
    assert (server.connection, server.scan_modes) == ("local", ("fast",))


def test_keys_ignore_case_and_defaults_apply() -> None:
    text = '[Default]\nSCANMODE = ["Fast-Root"]\nport = "22"\n[SERVERS.a]\nHOST = "192.0.2.1"'

    server = only(text)

    assert (server.address, server.scan_modes, server.section) == (
        "192.0.2.1",
        ("fast-root",),
        {"HOST": "192.0.2.1"},
    )


def test_a_network_is_a_host_for_each_address_with_one_entry() -> None:
    found = servers.read('[servers.net]\nhost = "192.0.2.0/30"').servers

    assert [(each.name, each.entry, each.address) for each in found] == [
        ("net(192.0.2.1)", "net", "192.0.2.1"),
        ("net(192.0.2.2)", "net", "192.0.2.2"),
    ]


@pytest.mark.parametrize(
    ("section", "connection"),
    [
        ('type = "pseudo"', "pseudo"),
        ('host = "127.0.0.1"\nport = "local"', "local"),
        ('host = "x"', "direct"),
        ('host = "x"\njumpServer = ["bastion"]', "jump_host"),
        ('host = "x"\nsshConfigPath = "/home/me/.ssh/config"', "custom"),
    ],
)
def test_the_connection_is_read_from_the_section(section: str, connection: str) -> None:
    assert only(f"[servers.a]\n{section}").connection == connection


def test_the_connection_and_address_of_a_managed_host_come_from_the_managed_ssh_config() -> None:
    content = "\n".join(text for _, text in config.TEMPLATES)
    written = config.render(content, keys=[], folder=PurePath("/managed"))
    aliases = [host.alias for host in config.read(content, keys=[])]
    text = "".join(
        f'[servers.{each}]\nhost = "{each}"\nsshConfigPath = "/managed/config"\n' for each in aliases
    )

    found = servers.read(text, {"/managed/config": written}.get).servers

    assert {each.name: (each.connection.value, each.address) for each in found} == {
        "aws-web-1": ("aws_ssm", "i-0123456789abcdef0"),
        "gcp-web-1": ("gcp_iap", "web-1"),
        "cf-web-1": ("cloudflare_access", "ssh.example.com"),
        "bastion": ("direct", "203.0.113.10"),
        "db-1": ("jump_host", "10.0.0.5"),
        "web-1": ("direct", "192.0.2.10"),
    }


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ('user = "x"', "[servers.bad]: host is missing"),
        ('host = "x"\nport = 22', 'port must be text, in quotes, such as port = "22".'),
        ("host = 7", "host must be text"),
        ('host = "x"\nscanMode = "fast"', "scanMode must be a list of texts"),
        ('host = "x"\nscanMode = ["quick"]', "not 'quick'"),
        ('host = "x"\nscanMode = ["fast", "deep"]', "one of fast, fast-root and deep"),
        ('host = "x"\nscanMode = ["deep", "offline"]', "cannot have both deep and offline"),
        ('host = "x"\nport = "local"', 'needs host = "localhost"'),
        ('host = "10.0.0.0/8"', "16,777,216 addresses"),
        ('host = "a\\u0000b"', "all of them printable"),
        (f'host = "{"x" * 254}"', "at most 253 characters"),
    ],
)
def test_a_wrong_entry_is_an_error_and_the_others_are_read(section: str, expected: str) -> None:
    parsed = servers.read(f'[servers.bad]\n{section}\n[servers.good]\nhost = "192.0.2.1"')

    assert [server.name for server in parsed.servers] == ["good"]
    assert [(error.entry, expected in error.message) for error in parsed.errors] == [("bad", True)]


@pytest.mark.parametrize("name", ["a/b", "..", "", "x" * 201, "a\\u0000", "a\\nb"])
def test_a_name_that_cannot_be_a_file_name_is_refused(name: str) -> None:
    (error,) = servers.read(f'[servers."{name}"]\nhost = "192.0.2.1"').errors

    assert "the name must have 1 to 200 characters" in error.message
    assert "\n" not in error.message


def test_an_entry_with_the_name_of_another_host_is_refused() -> None:
    text = '[servers.net]\nhost = "192.0.2.0/30"\n[servers."net(192.0.2.1)"]\nhost = "192.0.2.9"'

    (error,) = servers.read(text).errors

    assert "another entry already defines 'net(192.0.2.1)'" in error.message


def test_secrets_are_hidden_and_dates_are_text() -> None:
    text = (
        '[servers.a]\nhost = "x"\n[servers.a.githubs."o/r"]\ntoken = "hunter2"\n'
        '[servers.a.optional]\nsince = 2026-01-01\nratio = nan\nvault_password = "hunter3"\nodd = "a\\u0000"'
    )

    section = only(text).section

    assert "hunter" not in str(section)
    assert section["optional"] == {
        "since": "2026-01-01",
        "ratio": "nan",
        "vault_password": "(hidden)",
        "odd": "a\N{REPLACEMENT CHARACTER}",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[servers.a]\nhost = ", "config.toml, line 2, column 8: "),
        ('[servers.a]\nhost = "x"\nhost = "y"', "config.toml, line 3, column"),
        ("a = " + "[" * 5000, "nested too deeply"),
        ("servers = 3", "[servers] must be a table"),
        ("[default]\nport = 22", "[default]: port must be text"),
    ],
)
def test_a_file_that_vuls_cannot_read_is_refused_with_line_or_field(text: str, expected: str) -> None:
    with pytest.raises(ConfigTomlError) as refusal:
        servers.read(text)

    assert expected in str(refusal.value)
