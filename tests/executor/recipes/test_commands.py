import tomllib
from pathlib import Path
from typing import Any

import pytest

from executor import kinds

JOB_ID = "0" * 32
SCAN = {"job_id": JOB_ID, "servers": ["localhost"], "scan_type": "fast"}
UPDATE = {"job_id": JOB_ID, "database": "nvd"}

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


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"job_id": "A" * 32}, "job_id"),
        ({"job_id": "0" * 31}, "job_id"),
        ({"job_id": "0" * 32 + "\n"}, "job_id"),
        ({"job_id": "../" + "0" * 29}, "job_id"),
        ({"job_id": 7}, "job_id"),
        ({"servers": []}, "servers"),
        ({"servers": "localhost"}, "servers"),
        ({"servers": [1]}, "servers"),
        ({"servers": ["a", "a"]}, "servers"),
        ({"servers": ["../a"]}, "servers"),
        ({"servers": [".."]}, "servers"),
        ({"servers": ["a\x00"]}, "servers"),
        ({"servers": ["\ud800"]}, "servers"),
        ({"servers": ["a" * 201]}, "servers"),
        ({"scan_type": "deep"}, "scan_type"),
        ({"scan_type": ["fast"]}, "scan_type"),
        ({"extra": 1}, "extra"),
        ({"group": "run 7"}, "group"),
        ({"group": ""}, "group"),
        ({"group": "0" * 31 + "A"}, "group"),
        ({"group": 7}, "group"),
    ],
)
def test_a_scan_of_a_wrong_shape_names_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(kinds.InvalidError) as refused:
        kinds.scan_request({**SCAN, **change})

    assert refused.value.field == field


@pytest.mark.parametrize("name", ["job_id", "servers", "scan_type"])
def test_a_missing_field_is_named(name: str) -> None:
    body = {key: value for key, value in SCAN.items() if key != name}

    with pytest.raises(kinds.InvalidError) as refused:
        kinds.scan_request(body)

    assert refused.value.field == name


@pytest.mark.parametrize("database", ["", "oval", "gost_alpine", None, ["nvd"], {"a": 1}])
def test_an_unknown_database_is_refused(database: Any) -> None:
    with pytest.raises(kinds.InvalidError) as refused:
        kinds.database_request({**UPDATE, "database": database})

    assert refused.value.field == "database"


def test_all_stands_for_the_nine_databases() -> None:
    request = kinds.database_request({**UPDATE, "database": "all"})

    assert request.steps == (
        ["nvd", "ubuntu", "debian", "redhat", "amazon", "alpine", "gost_ubuntu", "gost_debian", "gost_redhat"]
    )


def test_all_stands_for_vuls2_alone_under_the_current_profile() -> None:
    assert kinds.database_request({**UPDATE, "database": "all"}, "current").steps == ["vuls2"]


@pytest.mark.parametrize(("database", "profile"), [("nvd", "current"), ("vuls2", "classic")])
def test_a_database_that_the_profiles_vuls_does_not_read_is_refused(database: str, profile: str) -> None:
    with pytest.raises(
        kinds.InvalidError, match=f"profile is {profile}, whose Vuls does not read {database}"
    ):
        kinds.database_request({**UPDATE, "database": database}, profile)


def test_vuls_is_told_where_its_own_database_is_and_not_to_fetch_it() -> None:
    text = kinds.server_config(SHARED, "plain", "fast", {"vuls2": Path("/live/vuls2.db")})

    assert tomllib.loads(text)["vuls2"] == {"Path": "/live/vuls2.db", "SkipUpdate": True}


def test_a_servers_config_holds_nothing_of_the_others() -> None:
    text = kinds.server_config(SHARED, "odd name", "fast", {"gost": Path("/live/gost.sqlite3")})

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
    text = kinds.server_config(SHARED, server, "full", {})

    made = tomllib.loads(text)["servers"][server]
    assert made["scanMode"] == modes
    assert "SCANMODE" not in made


def test_a_full_scan_heeds_modes_that_come_from_the_default() -> None:
    shared = '[default]\nscanMode = ["offline"]\n[servers.a]\nhost = "a"\n'

    text = kinds.server_config(shared, "a", "full", {})

    assert tomllib.loads(text)["servers"]["a"]["scanMode"] == ["fast-root", "offline"]


@pytest.mark.parametrize("shared", ["", "servers = 1", "[servers]\na = 1", "[servers.b]", "not toml"])
def test_a_server_that_is_not_in_the_config_is_refused(shared: str) -> None:
    with pytest.raises(kinds.InvalidError) as refused:
        kinds.check_servers(shared, ["a"])

    assert refused.value.field == "servers"


def test_vuls_gives_up_before_the_executor_does() -> None:
    command = kinds.scan_command(Path("/w"), Path("/w/results"), 1000, 120)

    assert {"-timeout=120", "-timeout-scan=900"} <= set(command.arguments)
    assert command.timeout_seconds == 1000


def test_a_connection_test_has_one_step_and_ssh_say_why() -> None:
    request = kinds.scan_request({**SCAN, "scan_type": "configtest"})

    assert request.steps == ["configtest"]
    assert "-vvv" in kinds.configtest_command(Path("/w"), 60, 20, verbose=True).arguments
    assert "-vvv" not in kinds.configtest_command(Path("/w"), 60, 20).arguments


@pytest.mark.parametrize(
    ("own", "is_own"),
    [
        ('host = "localhost"\nport = "local"', True),
        ('host = "127.0.0.1"\nPort = "local"', True),
        ('host = "10.0.0.1"\nport = "local"', False),
        ('host = "localhost"', False),
    ],
)
def test_the_executors_own_machine_is_told_as_vuls_tells_it(own: str, is_own: bool) -> None:
    assert kinds.is_own_machine(f"[servers.a]\n{own}\n", "a") == is_own
