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
        ('host = "x"\ncontainersOnly = "true"', "containersOnly must be true or false, without quotes."),
        ('host = "x"\nwindows.serverSelection = "1"', "windows.serverSelection must be a whole number"),
        ('host = "x"\nwindows.serverSelection = 4', "windows.serverSelection can be 0 to 3, not 4."),
        ('host = "x"\nwordpress = "/var/www"', "wordpress must be a table."),
        ('host = "x"\nuuids = { web = 1 }', 'uuids.web must be text, in quotes, such as web = "1".'),
        (
            'host = "x"\ncontainers.web.ignoreCves = "CVE-2014-0160"',
            "containers.web.ignoreCves must be a list of texts",
        ),
        ('host = "x"\nHost = "y"', "host and Host are the same option to Vuls; remove one."),
        ('host = "x"\noptional.n = 9223372036854775808', "optional.n is larger than a number can be."),
        ('host = "x"\nenablerepo = ["epel"]', "enablerepo can be base or updates, not 'epel'."),
        (
            'host = "x"\nscanModules = ["os"]',
            "scanModules can be ospkg, wordpress, lockfile or port, not 'os'.",
        ),
        ('host = "x"\nscanModules = ["port"]', "scanModules needs ospkg for port."),
        ('host = "x"\ncpeNames = ["cpe:2.3:a:b:c:1"]', "it must have 11 parts after cpe:2.3, but has 4"),
        (
            'host = "x"\ncpeNames = ["cpe:/a:b:internet explorer"]',
            "it must not have spaces; write _ instead.",
        ),
        ('host = "x"\nignorePkgsRegexp = ["*kernel*"]', "a wildcard is written .*"),
        ('host = "x"\nignorePkgsRegexp = ["^(?!kernel)"]', "no lookahead or lookbehind"),
        ('host = "x"\ngithubs.repo.token = "t"', "write \"OWNER/REPOSITORY\", not 'repo'."),
        ('host = "x"\ngithubs."o/r".ignoreGitHubDismissed = true', "githubs: o/r needs a token."),
        ('host = "x"\nportscan.sourcePort = "53"', "portscan needs scannerBinPath, such as /usr/bin/nmap."),
        ('host = "192.0.2.1"\nignoreIPAddresses = ["192.0.2.1"]', "excludes the host itself, 192.0.2.1"),
        ('host = "192.0.2.1"\nignoreIPAddresses = ["2001:db8::/64"]', "is too large for Vuls"),
    ],
)
def test_a_wrong_entry_is_an_error_and_the_others_are_read(section: str, expected: str) -> None:
    parsed = servers.read(f'[servers.bad]\n{section}\n[servers.good]\nhost = "192.0.2.1"')

    assert [server.name for server in parsed.servers] == ["good"]
    assert [(error.entry, expected in error.message) for error in parsed.errors] == [("bad", True)]


def test_a_wrong_default_is_an_error_of_each_server_that_takes_it() -> None:
    text = '[default]\nenablerepo = ["epel"]\n[servers.a]\nhost = "x"\n'

    parsed = servers.read(f'{text}[servers.b]\nhost = "y"\nenablerepo = ["base"]')

    assert [server.name for server in parsed.servers] == ["b"]
    assert [error.entry for error in parsed.errors] == ["a"]


@pytest.mark.parametrize("name", ["192.0.2.10", "web.example.com"])
def test_the_error_of_a_name_with_dots_shows_how_to_quote_it(name: str) -> None:
    (error,) = servers.read(f'[servers.{name}]\nhost = "x"\nuser = "me"').errors

    assert error.message.endswith(f'put a name with dots in quotes: [servers."{name}"].')


def test_sections_that_differ_in_case_are_one_as_for_vuls() -> None:
    text = '[Default]\nport = "2222"\n[default]\nscanMode = ["deep"]\n'

    parsed = servers.read(f'{text}[servers.a]\nhost = "x"\n[SERVERS.b]\nhost = "y"\n[SERVERS.B]\nhost = "z"')

    assert [(server.name, server.scan_modes) for server in parsed.servers] == [
        ("a", ("deep",)),
        ("b", ("deep",)),
        ("B", ("deep",)),
    ]


def test_a_byte_order_mark_is_skipped() -> None:
    assert only("\ufeff" + STARTER).name == "localhost"


def test_a_section_without_the_prefix_is_an_error_that_shows_it() -> None:
    parsed = servers.read('[servers.a]\nhost = "x"\n["lap top"]\nhost = "y"\n[syslog]\nhost = "z"')

    assert [error.message for error in parsed.errors] == [
        '[lap top] is no server for Vuls; write [servers."lap top"].'
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "config.toml names no server. A server is a section [servers.NAME]."),
        ('[cveDict]\ntype = "sqlite3"\n[servers]\n', "config.toml names no server. A server is a section"),
        (
            '[servers]\n[laptop]\nhost = "192.0.2.9"',
            "config.toml names no server. [laptop] is no server for Vuls; write [servers.laptop].",
        ),
    ],
)
def test_a_file_without_servers_says_so(text: str, expected: str) -> None:
    assert str(servers.read(text).no_server).startswith(expected)


def test_jump_servers_of_the_defaults_are_shown_for_managed_hosts_too() -> None:
    text = '[default]\njumpServer = ["root@192.0.2.99:22"]\n'
    text += '[servers.web]\nhost = "web"\nsshConfigPath = "/managed/config"\n'

    (server,) = servers.read(text, {"/managed/config": "Host web\n    HostName 192.0.2.8\n"}.get).servers

    assert (server.connection.value, server.address) == ("jump_host", "192.0.2.8")


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
        ("[default]\nport = '1'\n[Default]\nport = '2'", "[default]: port is there twice"),
        ("[servers.a]\nhost = 'x'\n[SERVERS.a]\nhost = 'y'", "[SERVERS.a] is there twice"),
        ("[wpscan]\ndetectInactive = 'false'", "[wpscan]: detectInactive must be true or false"),
        ("version = 2", 'version must be text, in quotes, such as version = "2".'),
    ],
)
def test_a_file_that_vuls_cannot_read_is_refused_with_line_or_field(text: str, expected: str) -> None:
    with pytest.raises(ConfigTomlError) as refusal:
        servers.read(text)

    assert expected in str(refusal.value)
