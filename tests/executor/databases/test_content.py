"""What a database file says of its content."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from executor.databases import formats
from executor.databases.folder import DatabaseFolder
from tests.executor.database_files import filled, keep_waiting


@pytest.fixture
def folder(tmp_path: Path) -> DatabaseFolder:
    return DatabaseFolder(tmp_path / "databases")


def nvd(*entries: tuple[str, str]) -> Callable[[Path], None]:
    """Return a fetch that leaves these entries, as go-cve-dictionary does."""

    def fetch(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.executescript(
                "CREATE TABLE IF NOT EXISTS fetch_meta (schema_version INTEGER, last_fetched_at TEXT);"
                "INSERT INTO fetch_meta VALUES (2, '2026-11-01 00:00:00+00:00');"
                "DROP TABLE IF EXISTS nvds; CREATE TABLE nvds (cve_id TEXT, last_modified_date TEXT);"
            )
            connection.executemany("INSERT INTO nvds VALUES (?, ?)", entries)

    return fetch


def debian(*rows: tuple[str, str]) -> Callable[[Path], None]:
    """Return a fetch that leaves CVEs with the version that fixes them, as gost does."""

    def fetch(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.executescript(
                "CREATE TABLE IF NOT EXISTS fetch_meta (schema_version INTEGER, last_fetched_at TEXT);"
                "INSERT INTO fetch_meta VALUES (3, '2026-11-01 00:00:00+00:00');"
                "DROP TABLE IF EXISTS debian_cves; DROP TABLE IF EXISTS debian_packages;"
                "DROP TABLE IF EXISTS debian_releases;"
                "CREATE TABLE debian_cves (id INTEGER, cve_id TEXT);"
                "CREATE TABLE debian_packages (id INTEGER, debian_cve_id INTEGER, package_name TEXT);"
                "CREATE TABLE debian_releases (debian_package_id INTEGER, product_name TEXT, status TEXT,"
                " fixed_version TEXT, urgency TEXT);"
            )
            for number, (cve, version) in enumerate(rows):
                connection.execute("INSERT INTO debian_cves VALUES (?, ?)", (number, cve))
                connection.execute("INSERT INTO debian_packages VALUES (?, ?, 'openssl')", (number, number))
                connection.execute(
                    "INSERT INTO debian_releases VALUES (?, 'bookworm', 'resolved', ?, 'high')",
                    (number, version),
                )

    return fetch


def update(folder: DatabaseFolder, name: str, fetch: Callable[[Path], None]) -> dict[str, Any]:
    folder.update(name, fetch, keep_waiting)
    return folder.describe(name) or {}


def set_back(folder: DatabaseFolder, day: str) -> None:
    """Let the last fetch of gost's file have been on an earlier day."""
    with closing(sqlite3.connect(folder.live("gost.sqlite3"))) as connection, connection:
        connection.execute(f"UPDATE {formats.FETCH_TIMES} SET made_at = ?", (day,))  # noqa: S608


def test_the_newest_entry_says_how_old_the_content_is(folder: DatabaseFolder) -> None:
    entries = ("CVE-2026-0001", "2026-10-02 08:00:00+00:00"), ("CVE-2026-0002", "2026-10-05 09:30:00+00:00")

    assert update(folder, "nvd", nvd(*entries))["made_at"] == "2026-10-05T09:30:00Z"


def test_an_entry_of_a_day_to_come_does_not_make_the_content_newer_than_its_fetch(
    folder: DatabaseFolder,
) -> None:
    described = update(folder, "nvd", nvd(("CVE-2026-0001", "2999-01-01 00:00:00+00:00")))

    assert described["made_at"] == described["fetched_at"]


@pytest.mark.parametrize("moment", ["", "0001-01-01 00:00:00+00:00", "yesterday", "2026-13-45"])
def test_a_day_that_cannot_be_read_leaves_the_fetch_that_brought_it(
    folder: DatabaseFolder, moment: str
) -> None:
    described = update(folder, "nvd", nvd(("CVE-2026-0001", moment)))

    assert described["rows"] == 1
    assert described["made_at"] == described["fetched_at"]


def test_content_that_a_fetch_did_not_change_keeps_its_day(folder: DatabaseFolder) -> None:
    before = update(folder, "gost_debian", debian(("CVE-2026-0001", "1"), ("CVE-2026-0002", "1")))
    set_back(folder, "2026-10-01T00:00:00+00:00")

    # In another order, and with other numbers.
    after = update(folder, "gost_debian", debian(("CVE-2026-0002", "1"), ("CVE-2026-0001", "1")))

    assert after["digest"] == before["digest"]
    assert after["made_at"] == "2026-10-01T00:00:00Z"
    assert after["fetched_at"] > after["made_at"]


def test_one_changed_version_makes_it_new(folder: DatabaseFolder) -> None:
    before = update(folder, "gost_debian", debian(("CVE-2026-0001", "1")))
    set_back(folder, "2026-10-01T00:00:00+00:00")

    after = update(folder, "gost_debian", debian(("CVE-2026-0001", "2")))

    assert after["digest"] != before["digest"]
    assert after["made_at"] == after["fetched_at"]


def test_a_file_of_an_earlier_version_of_ours_has_a_fetch_and_no_day(folder: DatabaseFolder) -> None:
    debian(("CVE-2026-0001", "1"))(folder.live("gost.sqlite3"))
    with closing(sqlite3.connect(folder.live("gost.sqlite3"))) as connection, connection:
        connection.execute(f"CREATE TABLE {formats.FETCH_TIMES} (name TEXT PRIMARY KEY, fetched_at TEXT)")
        connection.execute(
            f"INSERT INTO {formats.FETCH_TIMES} VALUES ('gost_debian', '2026-10-01T00:00:00Z')"  # noqa: S608
        )
    before = folder.describe("gost_debian") or {}

    after = update(folder, "gost_debian", debian(("CVE-2026-0001", "1")))

    assert (before["fetched_at"], before["made_at"], before["digest"]) == ("2026-10-01T00:00:00Z", None, None)
    assert after["made_at"] == after["fetched_at"] > before["fetched_at"]


def test_tables_that_are_not_known_leave_the_age_open(folder: DatabaseFolder) -> None:
    described = update(folder, "gost_debian", filled(3))

    assert described["rows"] == 3
    assert (described["made_at"], described["digest"]) == (None, None)
