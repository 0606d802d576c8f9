import tomllib
from pathlib import Path

import pytest

from executor.recipes.vuls_config import check_servers, is_local_machine, servers_config
from executor.requests import InvalidError
from vulsweb.vuls.results import ScanType

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
    text = servers_config(SHARED, ["plain"], "fast", {"vuls2": Path("/live/vuls2.db")})

    assert tomllib.loads(text)["vuls2"] == {"Path": "/live/vuls2.db", "SkipUpdate": True}


def test_sections_that_differ_in_case_are_one_and_a_byte_order_mark_is_skipped() -> None:
    shared = '\ufeff[servers.a]\nhost = "a"\n[SERVERS.b]\nhost = "b"\n'

    check_servers(shared, ["a", "b"])
    text = servers_config(shared, ["b"], "configtest", {})

    assert tomllib.loads(text) == {"servers": {"b": {"host": "b"}}}


def test_a_servers_config_holds_nothing_of_the_others() -> None:
    text = servers_config(SHARED, ["odd name"], "fast", {"gost": Path("/live/gost.sqlite3")})

    assert tomllib.loads(text) == {
        "version": "v2",
        "default": {"user": "scanner"},
        "gost": {"type": "sqlite3", "SQLite3Path": "/live/gost.sqlite3"},
        "servers": {"odd name": {"host": "c", "scanMode": ["fast", "offline"]}},
    }


@pytest.mark.parametrize("place", ["default", "servers.a"])
@pytest.mark.parametrize("key", ["scanMode", "SCANMODE"])
@pytest.mark.parametrize(
    ("configured", "fast", "full"),
    [
        ([], ["fast"], ["deep"]),
        (["fast"], ["fast"], ["deep"]),
        (["fast-root"], ["fast"], ["deep"]),
        (["deep"], ["fast"], ["deep"]),
        (["Offline"], ["fast", "offline"], ["fast-root", "offline"]),
        (["fast-root", "offline"], ["fast", "offline"], ["fast-root", "offline"]),
    ],
)
def test_a_fast_scan_is_fast_a_full_one_is_deep_and_offline_stays_offline(
    place: str, key: str, configured: list[str], fast: list[str], full: list[str]
) -> None:
    shared = '[default]\n[servers.a]\nhost = "a"\n'.replace(f"[{place}]", f"[{place}]\n{key} = {configured}")

    made = {
        kind: tomllib.loads(servers_config(shared, ["a"], kind, {}))["servers"]["a"]
        for kind in ("fast", "full")
    }

    assert made == {
        kind: {"host": "a", "scanMode": modes} for kind, modes in (("fast", fast), ("full", full))
    }
    # The web application tells people the same, before and after.
    assert fast == list(ScanType.FAST.scan_modes([mode.lower() for mode in configured]))
    assert full == list(ScanType.FULL.scan_modes([mode.lower() for mode in configured]))


def test_a_connection_test_uses_the_modes_of_config_toml() -> None:
    shared = '[servers.a]\nhost = "a"\nscanMode = ["fast-root"]\n'

    assert tomllib.loads(servers_config(shared, ["a"], "configtest", {}))["servers"]["a"]["scanMode"] == [
        "fast-root"
    ]


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
