"""The servers that config.toml names."""

import pytest

from vulsweb.vuls.config_toml import STARTER, ConfigTomlError, parse_servers


def test_the_first_config_names_this_machine() -> None:
    (server,) = parse_servers(STARTER)

    assert (server.name, server.host, server.scan_modes) == ("localhost", "localhost", ("fast",))
    assert server.section["port"] == "local"


def test_scan_modes_come_from_the_server_or_the_default_or_are_fast() -> None:
    text = """
    [default]
    scanMode = ["fast-root"]
    [servers.a]
    host = "192.0.2.1"
    [servers."b.example"]
    host = "192.0.2.2"
    scanMode = ["fast", "offline"]
    """

    modes = {server.name: server.scan_modes for server in parse_servers(text)}

    assert modes == {"a": ("fast-root",), "b.example": ("fast", "offline")}


def test_a_pseudo_server_needs_no_host() -> None:
    assert parse_servers('[servers.cpe]\ntype = "pseudo"')[0].host == ""


def test_a_file_without_servers_names_none() -> None:
    assert parse_servers("") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[servers.a]\nhost = ", "line 2, column"),
        ("servers = 3", "must be tables"),
        ("[servers]\na = 3", "[servers.a] must be a table"),
        ('[servers.a]\nuser = "x"', "[servers.a] has no host"),
        ("[servers.a]\nhost = 7", "[servers.a] has no host"),
        ('[servers.a]\nhost = "x"\nscanMode = "fast"', "scanMode of [servers.a]"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(text: str, said: str) -> None:
    with pytest.raises(ConfigTomlError) as refusal:
        parse_servers(text)

    assert said in str(refusal.value)
