"""The profile `current` with the real Vuls: fetches its database from a registry and reports with it.

The Vuls is v0.36.0 (tests/vuls2/build says why), which looks up Debian elsewhere; so a command of this
machine says that it is Ubuntu, and the packages are the machine's own.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from executor.databases.bbolt import BboltFile
from executor.databases.formats import DamagedError, Vuls2Format
from tests import vuls2
from tests.executor.callers import Caller
from tests.executor.conftest import caller_of
from tests.mirror.server import Fault, Mirror, mirror
from tests.vuls2 import FLAWS, FOUND, SCHEMA


@pytest.fixture(scope="session")
def made(vuls2_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database made by the real tool."""
    path = tmp_path_factory.mktemp("vuls2") / "vuls2.db"
    vuls2.make(vuls2_tools / "vuls2", path, FLAWS)
    return path


@pytest.fixture
def registry(made: Path) -> Iterator[Mirror]:
    with mirror(vuls2.registry(made.read_bytes(), SCHEMA)) as running:
        yield running


@pytest.fixture
def call(
    variables: dict[str, str], vuls2_tools: Path, registry: Mirror, start: Callable[[], Flask], tmp_path: Path
) -> Caller:
    ubuntu = vuls2.pretend_ubuntu(tmp_path / "ubuntu")
    variables |= {
        "EXECUTOR_PROFILE": "current",
        "VULSWEB_TOOLS_DIR": str(vuls2_tools),
        "PATH": f"{ubuntu}:/usr/bin:/bin",
        "EXECUTOR_HTTPS_PROXY": registry.proxy_url,
        "EXECUTOR_CA_BUNDLE": str(registry.ca_file),
    }
    return caller_of(start())


def document(call: Caller, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = call("GET", job["results"][0]["url"])[1]
    return found


def test_a_report_finds_what_vuls_fetched(call: Caller, registry: Mirror, data: Path) -> None:
    update = call.finished(call.submit_update("all"), seconds=60)

    assert update["status"] == "completed", call.log(update["id"])
    assert [step["name"] for step in update["steps"]] == ["vuls2"]
    assert update["databases"]["vuls2"]["rows"] == len(FLAWS)
    asked, live = len(registry.requests), data / "databases" / "vuls2.db"
    before = live.read_bytes()

    scan = call.finished(call.submit_scan("localhost"), seconds=120)

    assert scan["status"] == "completed", call.log(scan["id"])
    assert document(call, scan)["family"] == "ubuntu"
    assert set(document(call, scan)["scannedCves"]) == FOUND
    assert update["databases"] == {"vuls2": scan["databases"]["vuls2"] | {"changed": True}}
    assert scan["databases"]["vuls2"]["made_at"]
    assert scan["databases"]["vuls2"]["digest"]
    # A report fetches nothing and does not change the live file.
    assert (len(registry.requests), live.read_bytes()) == (asked, before)


def test_a_scan_without_the_database_says_so_and_fetches_nothing(call: Caller, registry: Mirror) -> None:
    job = call.finished(call.submit_scan("localhost"), seconds=120)

    assert job["steps"][2]["status"] == "failed"
    assert "There is no vuls2 database yet" in job["steps"][2]["message"]
    assert registry.requests == []


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.CUT])
def test_a_fetch_that_fails_leaves_the_last_good_database(
    call: Caller, registry: Mirror, data: Path, fault: Fault
) -> None:
    call.finished(call.submit_update("vuls2"), seconds=60)
    before = (data / "databases" / "vuls2.db").read_bytes()
    registry.fault = fault

    job = call.finished(call.submit_update("vuls2"), seconds=60)

    assert job["status"] == "failed"
    assert "Failed to fetch vuls2 db" in job["error"]
    assert (data / "databases" / "vuls2.db").read_bytes() == before
    assert list((data / "databases" / "staging").iterdir()) == []


def test_a_database_that_shrank_does_not_replace_the_last_one(
    call: Caller, registry: Mirror, vuls2_tools: Path, tmp_path: Path
) -> None:
    call.finished(call.submit_update("vuls2"), seconds=60)
    small = tmp_path / "small.db"
    vuls2.make(vuls2_tools / "vuls2", small, {"CVE-2026-0006": FLAWS["CVE-2026-0006"]})
    registry.documents = vuls2.registry(small.read_bytes(), SCHEMA)

    job = call.finished(call.submit_update("vuls2"), seconds=60)

    assert job["error"] == "The vuls2 database would shrink from 6 to 1 rows; the last good one stays."


def test_a_database_of_another_schema_is_refused_by_vuls(
    call: Caller, registry: Mirror, data: Path, made: Path
) -> None:
    other = made.read_bytes().replace(b'"schema_version":0', b'"schema_version":9')
    registry.documents = vuls2.registry(other, SCHEMA)

    job = call.finished(call.submit_update("vuls2"), seconds=60)

    assert job["status"] == "failed"
    assert "schema version" in job["error"]
    assert not (data / "databases" / "vuls2.db").exists()


def test_health_says_that_this_vuls_only_partly_fits_the_profile(call: Caller) -> None:
    _, health = call("GET", "/health")

    assert health["profile"] == "current"
    sentence = "The executor's profile is current, and Vuls v0.36.0 only partly reads"
    assert health["misfit"].startswith(sentence)
    assert list(health["tools"]) == ["vuls"]


def test_our_reader_reads_what_the_tool_wrote(made: Path, tmp_path: Path, vuls2_tools: Path) -> None:
    large = tmp_path / "vuls2.db"
    # Enough for branch pages and overflow pages.
    flaws = {f"CVE-2026-{n:05}": ("ubuntu:24.04", f"package{n % 40}", "1") for n in range(700)}
    vuls2.make(vuls2_tools / "vuls2", large, flaws)

    with BboltFile(large) as file:
        file.check()
        assert file.count(b"vulnerability", b"root") == 700
        assert file.count(b"ubuntu:24.04", b"index") == 40
        assert file.count(b"nothing") is None
        assert json.loads(file.get(b"metadata", b"db") or b"")["schema_version"] == SCHEMA


def test_the_reader_handles_any_wrong_byte_without_crashing(made: Path, tmp_path: Path) -> None:
    whole = made.read_bytes()
    path = tmp_path / "vuls2.db"
    for place in range(0, len(whole), 31):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            Vuls2Format().verify(path)
        except DamagedError:
            continue


@pytest.mark.parametrize("part", [0.01, 0.5, 0.99])
def test_an_incomplete_file_is_refused(made: Path, tmp_path: Path, part: float) -> None:
    path = tmp_path / "vuls2.db"
    path.write_bytes(made.read_bytes()[: int(made.stat().st_size * part)])

    with pytest.raises(DamagedError):
        Vuls2Format().verify(path)
