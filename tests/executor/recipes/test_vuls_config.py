import tomllib
from pathlib import Path

import pytest

from executor.recipes.vuls_config import check_servers, is_local_machine, server_config
from executor.requests import InvalidError

SHARED = """
version = "v2"
[default]
user = "scanner"
[slack]
legacyToken = "xoxp-secret"
[Gost]
type = "http"
url = "http://127.0.0.1:1"
[servers.plain]
host = "a"
[servers.both]
host = "b"
scanMode = ["fast", "offline"]
[servers."odd name"]
host = "c"
SCANMODE = ["Offline"]
"""


def test_the_config_names_the_vuls2_database_and_forbids_fetching_it() -> None:
    text = server_config(SHARED, "plain", "fast", {"vuls2": Path("/live/vuls2.db")})

    assert tomllib.loads(text)["vuls2"] == {"Path": "/live/vuls2.db", "SkipUpdate": True}


def test_sections_that_differ_in_case_are_one_and_a_byte_order_mark_is_skipped() -> None:
    shared = '\ufeff[servers.a]\nhost = "a"\n[SERVERS.b]\nhost = "b"\n'

    check_servers(shared, ["a", "b"])
    text = server_config(shared, "b", "fast", {})

    assert tomllib.loads(text) == {"servers": {"b": {"host": "b"}}}


def test_a_servers_config_holds_nothing_of_the_others() -> None:
    text = server_config(SHARED, "odd name", "fast", {"gost": Path("/live/gost.sqlite3")})

    assert tomllib.loads(text) == {
        "version": "v2",
        "default": {"user": "scanner"},
        "gost": {"type": "sqlite3", "SQLite3Path": "/live/gost.sqlite3"},
        "servers": {"odd name": {"host": "c", "SCANMODE": ["Offline"]}},
    }


@pytest.mark.parametrize(
    ("server", "modes"),
    [("plain", ["deep"]), ("both", ["fast-root", "offline"]), ("odd name", ["fast-root", "offline"])],
)
def test_a_full_scan_never_asks_for_deep_and_offline_together(server: str, modes: list[str]) -> None:
    text = server_config(SHARED, server, "full", {})

    made = tomllib.loads(text)["servers"][server]
    assert made["scanMode"] == modes
    assert "SCANMODE" not in made


def test_a_full_scan_respects_modes_of_the_default_section() -> None:
    shared = '[default]\nscanMode = ["offline"]\n[servers.a]\nhost = "a"\n'

    text = server_config(shared, "a", "full", {})

    assert tomllib.loads(text)["servers"]["a"]["scanMode"] == ["fast-root", "offline"]


@pytest.mark.parametrize("shared", ["", "servers = 1", "[servers]\na = 1", "[servers.b]", "not toml"])
def test_a_server_that_is_not_in_the_config_is_refused(shared: str) -> None:
    with pytest.raises(InvalidError) as refused:
        check_servers(shared, ["a"])

    assert refused.value.field == "servers"


@pytest.mark.parametrize(
    ("own", "is_own"),
    [
        ('host = "localhost"\nport = "local"', True),
        ('host = "127.0.0.1"\nPort = "local"', True),
        ('host = "10.0.0.1"\nport = "local"', False),
        ('host = "localhost"', False),
    ],
)
def test_the_local_machine_is_recognized_as_vuls_does(own: str, is_own: bool) -> None:
    assert is_local_machine(f"[servers.a]\n{own}\n", "a") == is_own
