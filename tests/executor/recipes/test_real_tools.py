"""The real binaries on this machine, without a network."""

import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from platform import freedesktop_os_release
from typing import Any

import pytest
from flask import Flask

from executor.databases.catalogue import CATALOGUE, CLASSIC, SECTIONS
from executor.databases.folder import DatabaseFolder
from tests.executor.callers import Caller
from tests.executor.conftest import caller_of
from tests.mirror.documents import shipped_documents
from tests.mirror.nvd import records
from tests.mirror.server import mirror

# A proxy on a closed port: every feed fails at once.
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def call(variables: dict[str, str], tools_dir: Path, start: Callable[[], Flask]) -> Caller:
    variables["VULSWEB_TOOLS_DIR"] = str(tools_dir)
    variables["EXECUTOR_HTTPS_PROXY"] = NOWHERE
    return caller_of(start())


def document(call: Caller, job: dict[str, Any], server: str) -> dict[str, Any]:
    url = next(result["url"] for result in job["results"] if result["server"] == server)
    return call("GET", url)[1]


def test_this_machine_is_scanned_together_with_an_unreachable_one(call: Caller, data: Path) -> None:
    job = call.finished(call.submit_scan("localhost", "web1"), seconds=90)

    assert job["status"] == "completed", call.log(job["id"])
    assert document(call, job, "localhost")["errors"] == []
    assert len(document(call, job, "localhost")["packages"]) > 50
    assert "ssh-keyscan" in document(call, job, "web1")["errors"][0]
    assert job["steps"][1]["message"].startswith("(")
    assert "web1: Failed to ssh-keyscan" in job["steps"][1]["message"]
    # Vuls creates missing databases, but not among the live ones.
    assert [path.name for path in data.rglob("*.sqlite3")] == []


def test_an_unreachable_host_alone_still_leaves_a_document(call: Caller) -> None:
    job = call.finished(call.submit_scan("web1"))

    assert job["status"] == "completed"
    assert job["steps"][0]["status"] == "failed"
    assert "web1" in job["steps"][0]["message"]
    assert document(call, job, "web1")["errors"] != []


def test_a_configuration_that_vuls_rejects_ends_the_job_with_vuls_message(
    call: Caller, variables: dict[str, str]
) -> None:
    config = Path(variables["EXECUTOR_VULS_CONFIG"])
    config.write_text(config.read_text().replace('scanMode = ["fast"]', 'scanModules = ["everything"]'))

    job = call.finished(call.submit_scan("localhost"), seconds=90)

    assert job["status"] == "failed"
    assert "scanMode: everything of is invalid" in job["error"]
    assert [step["status"] for step in job["steps"]] == ["failed", "skipped", "skipped"]


def test_a_fast_scan_is_fast_where_config_toml_says_deep(call: Caller, variables: dict[str, str]) -> None:
    config = Path(variables["EXECUTOR_VULS_CONFIG"])
    config.write_text(config.read_text().replace('scanMode = ["fast"]', 'scanMode = ["deep"]'))

    job = call.finished(call.submit_scan("localhost"), seconds=90)

    assert document(call, job, "localhost")["scanMode"] == "fast mode"


def test_a_full_scan_asks_vuls_for_deep(call: Caller) -> None:
    job = call.finished(call.submit_scan("localhost", scan_type="full"), seconds=90)

    assert document(call, job, "localhost")["scanMode"].startswith("deep")


@pytest.mark.parametrize("name", ["debian", "gost_debian"])
def test_an_unreachable_feed_fails_with_the_tools_message(call: Caller, data: Path, name: str) -> None:
    job = call.finished(call.submit_update(name))

    assert job["status"] == "failed"
    assert "Failed to fetch" in job["error"]
    assert list((data / "databases").glob("*.sqlite3")) == []


@pytest.mark.parametrize("name", ["gost_debian", "gost_ubuntu", "gost_redhat", "nvd"])
def test_a_real_fetch_reports_the_inserted_rows(
    variables: dict[str, str], tools_dir: Path, start: Callable[[], Flask], name: str
) -> None:
    variables["VULSWEB_TOOLS_DIR"] = str(tools_dir)
    with mirror(shipped_documents()) as feeds:
        variables["EXECUTOR_HTTPS_PROXY"] = feeds.proxy_url
        variables["EXECUTOR_CA_BUNDLE"] = str(feeds.ca_file)
        call = caller_of(start())
        first = call.finished(call.submit_update(name), seconds=60)
        second = call.finished(call.submit_update(name), seconds=60)

    rows = first["databases"][name]["rows"]
    # Only where gost reads one document does it announce how many rows there will be.
    total = rows if name == "gost_debian" else None
    assert [(step["done"], step["total"], step["unit"]) for step in first["steps"]] == [(rows, total, "rows")]
    assert (first["steps"][0]["expected"], second["steps"][0]["expected"]) == (None, rows)
    assert (second["steps"][0]["done"], second["databases"][name]["rows"]) == (rows, rows)
    assert "http-proxy" not in call.log(first["id"])
    before, after = first["databases"][name], second["databases"][name]
    assert (before["changed"], after["changed"]) == (True, False)
    # NVD's entries have a time. Debian's do not, so its content is of the first fetch.
    newest = max(record.last_modified for record in records())[:19]
    assert before["made_at"] == after["made_at"] == (f"{newest}Z" if name == "nvd" else before["fetched_at"])


@pytest.mark.parametrize("file", SECTIONS[CLASSIC].values())
def test_what_is_asked_of_a_database_fits_the_schema_that_its_tool_makes(
    tmp_path: Path, tools_dir: Path, file: str
) -> None:
    databases = [database for database in CATALOGUE.values() if database.file == file]
    path = tmp_path / file
    _schema(tools_dir, databases[0].tool, path)

    with closing(sqlite3.connect(path)) as connection:
        for database in databases:
            assert connection.execute(database.count).fetchall() == [(0,)]
            assert [connection.execute(query).fetchall() for query in database.content] == [
                [] for _ in database.content
            ]
            if database.newest:
                assert connection.execute(database.newest).fetchall() == [(None,)]


def test_an_advisory_with_another_cve_is_another_content(tmp_path: Path, tools_dir: Path) -> None:
    folder = DatabaseFolder(tmp_path / "databases")

    def digest(statements: str) -> str:
        def fetch(path: Path) -> None:
            if not path.exists():
                _schema(tools_dir, "goval-dictionary", path)
            with closing(sqlite3.connect(path)) as connection:
                connection.executescript(statements)

        folder.update("redhat", fetch, lambda: None)
        return str((folder.describe("redhat") or {})["digest"])

    first = digest(
        "INSERT INTO fetch_meta (schema_version) VALUES (2);"
        "INSERT INTO roots (id, family) VALUES (1, 'redhat');"
        "INSERT INTO definitions (id, root_id, definition_id) VALUES (1, 1, 'RHSA-2026:1');"
        "INSERT INTO packages (definition_id, name, version) VALUES (1, 'openssl', '3');"
        "INSERT INTO advisories (id, definition_id, severity) VALUES (1, 1, 'Low');"
        "INSERT INTO cves (advisory_id, cve_id) VALUES (1, 'CVE-2026-1');"
    )
    same = digest("UPDATE definitions SET title = 'Another'")
    another_cve = digest("INSERT INTO cves (advisory_id, cve_id) VALUES (1, 'CVE-2026-2')")
    another_severity = digest("UPDATE advisories SET severity = 'Critical'")

    assert same == first
    assert len({first, another_cve, another_severity}) == 3


def test_the_report_finds_what_is_in_the_live_database(call: Caller, data: Path, tools_dir: Path) -> None:
    codename = freedesktop_os_release().get("VERSION_CODENAME")
    if freedesktop_os_release()["ID"] != "debian":
        pytest.skip("This machine is not Debian.")

    def fetch(path: Path) -> None:
        _schema(tools_dir, "gost", path)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("INSERT INTO fetch_meta (schema_version) VALUES (3)")
            connection.execute("INSERT INTO debian_cves (cve_id, scope) VALUES ('CVE-2026-0001', 'local')")
            connection.execute("INSERT INTO debian_packages (debian_cve_id, package_name) VALUES (1, 'dpkg')")
            connection.execute(
                "INSERT INTO debian_releases (debian_package_id, product_name, status, urgency)"
                " VALUES (1, ?, 'open', 'high')",
                (codename,),
            )

    DatabaseFolder(data / "databases").update("gost_debian", fetch, lambda: None)
    before = (data / "databases" / "gost.sqlite3").read_bytes()

    job = call.finished(call.submit_scan("localhost"), seconds=90)

    found = document(call, job, "localhost")["scannedCves"]
    assert set(found) == {"CVE-2026-0001"}
    assert job["databases"]["gost_debian"]["rows"] == 1
    assert (data / "databases" / "gost.sqlite3").read_bytes() == before


def _schema(tools_dir: Path, tool: str, path: Path) -> None:
    """Make an empty database with the tool.

    Its server creates the tables, before it finds that it has no port.
    """
    server = [str(tools_dir / tool), "server", "--dbpath", str(path), "--port", "none"]
    made = subprocess.run(
        [*server, "--log-dir", str(path.parent)], env={"HOME": str(path.parent)}, capture_output=True
    )
    assert path.exists(), made
