import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from executor.databases.catalogue import SECTIONS
from executor.databases.folder import DatabaseFolder
from executor.errors import CancelledError, StepError
from tests.executor.callers import until
from tests.executor.database_files import filled, keep_waiting
from tests.support.waiting import patience


@pytest.fixture
def folder(tmp_path: Path) -> DatabaseFolder:
    return DatabaseFolder(tmp_path / "databases")


def rows(folder: DatabaseFolder, name: str = "gost_debian") -> int | None:
    described = folder.describe(name)
    return described["rows"] if described else None


def test_a_sound_fetch_replaces_the_live_file(folder: DatabaseFolder) -> None:
    folder.update("gost_debian", filled(10), keep_waiting)
    folder.update("gost_debian", filled(12), keep_waiting)

    assert rows(folder) == 12
    assert list(folder.staging.iterdir()) == []


def test_other_databases_in_the_same_file_stay(folder: DatabaseFolder) -> None:
    folder.update("gost_debian", filled(10), keep_waiting)
    folder.update("gost_redhat", filled(7, "redhat_cves"), keep_waiting)

    present = folder.present()

    assert {name: described["rows"] for name, described in present.items()} == {
        "gost_debian": 10,
        "gost_redhat": 7,
    }
    assert all(described["fetched_at"].startswith("20") for described in present.values())


def raises(path: Path) -> None:
    path.write_bytes(b"half a file")
    raise StepError("The feed did not answer.")


def garbage(path: Path) -> None:
    path.write_bytes(b"\0" * 100_000)


def no_schema(path: Path) -> None:
    filled(20)(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM fetch_meta")


def damaged(path: Path) -> None:
    filled(5000)(path)
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 8192)


def other_emptied(path: Path) -> None:
    filled(20)(path)
    filled(0, "redhat_cves")(path)


@pytest.mark.parametrize(
    ("fetch", "sentence"),
    [
        (raises, "The feed did not answer"),
        (garbage, "cannot be read"),
        (lambda path: path.unlink(), "cannot be read"),
        (no_schema, "unfinished"),
        (damaged, "damaged"),
        (filled(0), "brought no rows"),
        (filled(4), "shrink from 10 to 4 rows"),
        (other_emptied, "gost_redhat database would shrink from 7 to 0"),
    ],
)
def test_whatever_fails_the_last_good_database_stays(
    folder: DatabaseFolder, fetch: Callable[[Path], None], sentence: str
) -> None:
    folder.update("gost_debian", filled(10), keep_waiting)
    folder.update("gost_redhat", filled(7, "redhat_cves"), keep_waiting)
    before = folder.live("gost.sqlite3").read_bytes()

    with pytest.raises(StepError, match=sentence):
        folder.update("gost_debian", fetch, keep_waiting)

    assert folder.live("gost.sqlite3").read_bytes() == before
    assert list(folder.staging.iterdir()) == []


def test_half_the_rows_are_enough(folder: DatabaseFolder) -> None:
    folder.update("gost_debian", filled(10), keep_waiting)

    folder.update("gost_debian", filled(5), keep_waiting)

    assert rows(folder) == 5


def test_a_write_ahead_log_is_merged_into_the_file(folder: DatabaseFolder) -> None:
    def with_a_log_beside_it(path: Path) -> None:
        filled(8)(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")

    folder.update("gost_debian", with_a_log_beside_it, keep_waiting)

    assert rows(folder) == 8
    assert [path.name for path in folder.folder.glob("gost*")] == ["gost.sqlite3"]


def test_an_unreadable_live_file_is_fetched_from_scratch(folder: DatabaseFolder) -> None:
    folder.live("gost.sqlite3").write_bytes(b"not a database at all, " * 1000)

    assert rows(folder) is None
    folder.update("gost_debian", filled(3), keep_waiting)

    assert rows(folder) == 3


def test_a_manually_copied_file_has_the_tools_own_time(folder: DatabaseFolder) -> None:
    filled(2)(folder.live("gost.sqlite3"))

    described = folder.describe("gost_debian")

    assert described is not None
    assert described["fetched_at"] == "2025-05-05T01:02:03Z"


def test_a_report_and_a_swap_exclude_each_other(folder: DatabaseFolder) -> None:
    folder.update("gost_debian", filled(10), keep_waiting)
    waiting = threading.Event()
    swap = threading.Thread(target=folder.update, args=("gost_debian", filled(11), waiting.set))

    with folder.lock_for_reading(SECTIONS["classic"], keep_waiting) as live:
        swap.start()
        assert waiting.wait(patience(10))
        while_reading = rows(folder)
    swap.join(patience(10))

    assert live["gost"] == folder.live("gost.sqlite3")
    assert (while_reading, rows(folder)) == (10, 11)


def test_two_reports_read_at_the_same_time(folder: DatabaseFolder) -> None:
    def must_not_wait() -> None:
        raise AssertionError

    sections = SECTIONS["classic"]
    with (
        folder.lock_for_reading(sections, must_not_wait) as one,
        folder.lock_for_reading(sections, must_not_wait) as other,
    ):
        assert one == other == {}


def test_the_second_fetch_of_a_file_sees_the_result_of_the_first(folder: DatabaseFolder) -> None:
    fetching, go = threading.Event(), threading.Event()

    def slow(path: Path) -> None:
        fetching.set()
        go.wait(patience(10))
        filled(10)(path)

    first = threading.Thread(target=folder.update, args=("gost_debian", slow, keep_waiting))
    first.start()
    fetching.wait(patience(10))
    second = threading.Thread(target=folder.update, args=("gost_redhat", filled(7, "redhat_cves"), go.set))
    second.start()
    first.join(patience(10))
    second.join(patience(10))

    assert set(folder.present()) == {"gost_debian", "gost_redhat"}


def test_waiting_for_a_lock_can_be_cancelled(folder: DatabaseFolder) -> None:
    def cancelled() -> None:
        raise CancelledError

    with folder.lock_for_reading(SECTIONS["classic"], keep_waiting), pytest.raises(CancelledError):
        folder.update("gost_debian", filled(1), cancelled)

    until(lambda: list(folder.staging.iterdir()) == [])
    assert rows(folder) is None


def test_a_database_that_another_program_has_for_itself_is_told_at_once(folder: DatabaseFolder) -> None:
    folder.update("gost_debian", filled(10), keep_waiting)

    other = sqlite3.connect(folder.live("gost.sqlite3"))
    other.execute("BEGIN EXCLUSIVE")
    locked = folder.describe("gost_debian")
    other.close()
    free = folder.describe("gost_debian")

    assert locked is not None
    assert free is not None
    assert (locked["rows"], locked["locked"]) == (10, True)
    assert "locked" not in free
