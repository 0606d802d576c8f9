"""The vulnerability databases: where they come from, what is in them, and how one is replaced safely."""

import contextlib
import functools
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from executor import locks
from executor.errors import ShutDownError, StepError

DatabaseName = str


@dataclass(frozen=True)
class Database:
    """One database: the file that holds it, perhaps with others, and the tool that fetches it."""

    file: str
    tool: str
    arguments: tuple[str, ...]
    count: str


def _oval(family: str, *versions: str) -> Database:
    return Database(
        "oval.sqlite3",
        "goval-dictionary",
        ("fetch", family, *versions),
        f"SELECT count(*) FROM definitions JOIN roots ON roots.id = root_id WHERE family = '{family}'",  # noqa: S608
    )


def _gost(family: str) -> Database:
    return Database(
        "gost.sqlite3",
        "gost",
        # One row at a time, its own default, takes hours.
        ("fetch", family, "--batch-size", "500"),
        f"SELECT count(*) FROM {family}_cves",  # noqa: S608
    )


CATALOGUE: dict[DatabaseName, Database] = {
    "nvd": Database("cve.sqlite3", "go-cve-dictionary", ("fetch", "nvd"), "SELECT count(*) FROM nvds"),
    "ubuntu": _oval("ubuntu", "16.04", "18.04", "20.04", "22.04", "24.04"),
    "debian": _oval("debian", "10", "11", "12"),
    "redhat": _oval("redhat", "6", "7", "8", "9"),
    "amazon": _oval("amazon", "2", "2023"),
    "alpine": _oval("alpine", "3.17", "3.18", "3.19", "3.20", "3.21", "3.22"),
    "gost_ubuntu": _gost("ubuntu"),
    "gost_debian": _gost("debian"),
    "gost_redhat": _gost("redhat"),
}

# Vuls' name for the section of its configuration that names each file.
SECTIONS = {"cveDict": "cve.sqlite3", "ovalDict": "oval.sqlite3", "gost": "gost.sqlite3"}

# Our own table inside each file: the tools remember one time for the whole file, and a time kept
# inside is replaced together with what it is about.
STAMPS = "executor_fetches"

Check = Callable[[], None]


class DatabaseFolder:
    """The live files, their locks, and the staging folder where new ones are made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.staging = folder / "staging"
        self.staging.mkdir(parents=True, exist_ok=True, mode=0o700)

    def live(self, file: str) -> Path:
        """Return where the file is that reports read, if it is there."""
        return self.folder / file

    def present(self) -> dict[DatabaseName, dict[str, Any]]:
        """Return what can be read now: rows, time of the fetch and size; empty ones are left out."""
        described = {name: self.describe(name) for name in CATALOGUE}
        return {name: description for name, description in described.items() if description}

    def describe(self, name: DatabaseName) -> dict[str, Any] | None:
        """Describe one database, or None if there is nothing in it or it cannot be read."""
        path = self.live(CATALOGUE[name].file)
        try:
            status = path.stat()
            rows, fetched_at = _read(name, path, status.st_mtime_ns, status.st_size)
        except (FileNotFoundError, sqlite3.Error):
            return None
        return {"rows": rows, "fetched_at": fetched_at, "size_bytes": status.st_size} if rows else None

    @contextlib.contextmanager
    def reading(self, check: Check) -> Iterator[dict[str, Path]]:
        """Keep the live files in place and yield those that exist, by their section in Vuls' words."""
        with contextlib.ExitStack() as stack:
            for file in SECTIONS.values():
                stack.enter_context(locks.held(self._lock(file, "swap"), check, shared=True))
            yield {section: self.live(file) for section, file in SECTIONS.items() if self.live(file).exists()}

    def update(
        self,
        name: DatabaseName,
        fetch: Callable[[Path], None],
        check: Check,
        *,
        workspace: Path | None = None,
        resumes: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        """Have `fetch` fill a copy of the live file and put it in place if it is sound.

        Whatever fails, the live file stays as it was. The copy is made in `workspace`, which may be on
        another disk; where `resumes` says that an earlier fetch goes on, it is the one that is there.
        """
        file = CATALOGUE[name].file
        staged = (workspace or self.staging) / file
        with locks.held(self._lock(file, "fetch"), check):
            try:
                if not resumes(staged):
                    self._copy(file, staged)
                elif not staged.exists():
                    # All was done but to say so.
                    return
                fetch(staged)
                self._verify(name, staged)
                self._put_in_place(file, staged, check)
            except ShutDownError:
                # It will be resumed: what is there stays.
                raise
            except BaseException:
                _remove(staged)
                raise
            _remove(staged)

    def _put_in_place(self, file: str, staged: Path, check: Check) -> None:
        # Beside the live file, since a reader must never meet half a file; and the staged one stays until
        # that is done, so that who is killed in between can do it again.
        beside = self.staging / f"{file}.new"
        beside.unlink(missing_ok=True)
        try:
            try:
                beside.hardlink_to(staged)
            except OSError:
                # On another disk, or on one without links.
                shutil.copyfile(staged, beside)
                _sync(beside)
            with locks.held(self._lock(file, "swap"), check):
                beside.replace(self.live(file))
        finally:
            beside.unlink(missing_ok=True)

    def _lock(self, file: str, purpose: str) -> Path:
        return self.folder / "locks" / f"{file}.{purpose}"

    def _copy(self, file: str, staged: Path) -> None:
        _remove(staged)
        if not _is_sound(self.live(file)):
            # Nothing there, or nothing that could be read: begin anew.
            return
        shutil.copyfile(self.live(file), staged)

    def _verify(self, name: DatabaseName, staged: Path) -> None:
        try:
            with contextlib.closing(sqlite3.connect(f"{staged.as_uri()}?mode=rw", uri=True)) as connection:
                # Anything but a single file would lose its other half in the swap.
                connection.execute("PRAGMA journal_mode = DELETE")
                if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                    raise StepError(f"The fetched {name} database is damaged; the last good one stays.")
                if connection.execute("SELECT max(schema_version) FROM fetch_meta").fetchone() == (None,):
                    raise StepError(f"The fetched {name} database is unfinished; the last good one stays.")
                self._compare(name, connection)
                _stamp(name, connection)
            _sync(staged)
        except sqlite3.Error as error:
            raise StepError(
                f"The fetched {name} database cannot be read ({error}); the last good one stays."
            ) from error

    def _compare(self, fetched: DatabaseName, connection: sqlite3.Connection) -> None:
        for name, database in CATALOGUE.items():
            if database.file != CATALOGUE[fetched].file:
                continue
            rows = _count(name, connection)
            before = (self.describe(name) or {"rows": 0})["rows"]
            if name == fetched and rows == 0:
                raise StepError(f"The {name} feed brought no rows; the last good database stays.")
            if rows * 2 < before:
                raise StepError(
                    f"The {name} database would shrink from {before} to {rows} rows; the last good one stays."
                )


def _is_sound(path: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        return False
    return True


@functools.lru_cache(maxsize=64)
def _read(name: DatabaseName, path: Path, _changed_at: int, _size: int) -> tuple[int, str | None]:
    # Counting a large file takes a while; its time and size say whether it is still the same one.
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return _count(name, connection), _fetched_at(name, connection)


def _count(name: DatabaseName, connection: sqlite3.Connection) -> int:
    try:
        return int(connection.execute(CATALOGUE[name].count).fetchone()[0])
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return 0
        raise


def _fetched_at(name: DatabaseName, connection: sqlite3.Connection) -> str | None:
    queries = (
        (f"SELECT fetched_at FROM {STAMPS} WHERE name = ?", (name,)),  # noqa: S608
        # A file that was put there by hand.
        ("SELECT max(last_fetched_at) FROM fetch_meta", ()),
    )
    for query, parameters in queries:
        with contextlib.suppress(sqlite3.OperationalError, ValueError, TypeError, OverflowError):
            text = connection.execute(query, parameters).fetchone()[0]
            fetched_at = datetime.fromisoformat(text).astimezone(UTC)
            # The tools write the year 1 for never.
            if fetched_at.year > 1:
                return fetched_at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return None


def _stamp(name: DatabaseName, connection: sqlite3.Connection) -> None:
    with connection:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {STAMPS} (name TEXT PRIMARY KEY, fetched_at TEXT)")
        connection.execute(
            f"INSERT OR REPLACE INTO {STAMPS} VALUES (?, ?)",  # noqa: S608
            (name, datetime.now(UTC).isoformat()),
        )


def _remove(database: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
