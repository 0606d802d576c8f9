"""The formats of database files, and how to read them.

A format checks a file, and describes the content of its databases.
"""

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from executor.databases.bbolt import BboltError, BboltFile
from executor.databases.catalogue import CATALOGUE, DatabaseName

# The executor's own table inside each SQLite file. The tools store one time for the whole file; and a time
# inside the file is replaced together with the data it describes.
FETCH_TIMES = "executor_fetches"
DIGEST_LENGTH = 16


@dataclass(frozen=True)
class Content:
    """What is known of a database's content.

    Times are in the form of `_normal_time`. `made_at` is when the content was made: by its own metadata, else
    by its newest entry, else when a fetch first brought it. A feed that stands still is older by it than by
    `fetched_at`.
    """

    rows: int
    fetched_at: str | None = None
    made_at: str | None = None
    digest: str | None = None


class DamagedError(Exception):
    """The file is not usable.

    The message continues a sentence that begins with "The database".
    """


class Format(Protocol):
    """A file format."""

    # Whether a fetch adds to a copy of the existing file; otherwise it starts empty.
    is_incremental: bool

    def is_readable(self, path: Path) -> bool:
        """Return whether the file can be opened and read."""

    def is_locked(self, path: Path) -> bool:
        """Return whether another program has the file for itself."""

    def read(self, name: DatabaseName, path: Path) -> Content:
        """Describe a live database, without waiting."""

    def verify(self, path: Path) -> Mapping[DatabaseName, int]:
        """Check the whole file, and return the rows of each database.

        Raise DamagedError if the file is not usable.
        """

    def stamp(self, name: DatabaseName, path: Path) -> None:
        """Record in the file what was fetched just now."""


class SqliteFormat:
    """A file of go-cve-dictionary, goval-dictionary or gost."""

    is_incremental = True

    def is_readable(self, path: Path) -> bool:
        """Return whether SQLite can read the file."""
        try:
            with _connect(path, "ro") as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error:
            return False
        return True

    def is_locked(self, path: Path) -> bool:
        """Return whether SQLite would have to wait for the file."""
        try:
            with _connect(path, "ro", timeout=0) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            return "locked" in str(error)
        except sqlite3.Error:
            pass
        return False

    def read(self, name: DatabaseName, path: Path) -> Content:
        """Describe a live database.

        Live files are replaced, not written, so SQLite needs no lock, for which it might wait.
        """
        try:
            with _connect(path, "ro&immutable=1") as connection:
                rows = _count_rows(name, connection)
                stamp = _stamp_of(name, connection)
                if stamp.fetched_at is None:
                    # A file that someone copied there has only the tool's own time.
                    last = _first(connection, "SELECT max(last_fetched_at) FROM fetch_meta")
                    stamp = Content(0, _normal_time(last and last[0]))
                newest = _newest(name, connection)
                if newest and stamp.fetched_at:
                    newest = min(newest, stamp.fetched_at)  # an entry may have a day to come
                return Content(rows, stamp.fetched_at, newest or stamp.made_at, stamp.digest)
        except sqlite3.Error as error:
            raise DamagedError(f"cannot be read ({error})") from error

    def verify(self, path: Path) -> Mapping[DatabaseName, int]:
        """Check the whole file with SQLite, and merge its journal into it."""
        try:
            with _connect(path, "rw") as connection:
                # Only this one file is moved into place: a separate write-ahead log would be lost.
                connection.execute("PRAGMA journal_mode = DELETE")
                if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                    raise DamagedError("is damaged")
                if connection.execute("SELECT max(schema_version) FROM fetch_meta").fetchone() == (None,):
                    raise DamagedError("is unfinished")
                names = [name for name, database in CATALOGUE.items() if database.file == path.name]
                return {name: _count_rows(name, connection) for name in names}
        except sqlite3.Error as error:
            raise DamagedError(f"cannot be read ({error})") from error

    def stamp(self, name: DatabaseName, path: Path) -> None:
        """Write time and digest into the executor's own table.

        The time of content that was there before stays.
        """
        now = datetime.now(UTC).isoformat()
        with _connect(path, "rw") as connection, connection:
            before, digest = _stamp_of(name, connection), _digest(name, connection)
            made_at = before.made_at if before.digest == digest else now
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {FETCH_TIMES} (name TEXT PRIMARY KEY, fetched_at TEXT)"
            )
            for added in ("made_at", "digest"):
                # Files of earlier versions lack it.
                with contextlib.suppress(sqlite3.OperationalError):
                    connection.execute(f"ALTER TABLE {FETCH_TIMES} ADD COLUMN {added} TEXT")
            connection.execute(
                f"INSERT OR REPLACE INTO {FETCH_TIMES} (name, fetched_at, made_at, digest)"  # noqa: S608
                " VALUES (?, ?, ?, ?)",
                (name, now, digest and made_at, digest),
            )


class Vuls2Format:
    """The file of vuls2.

    Each fetch downloads the whole file, and Vuls writes the time into it.
    """

    is_incremental = False

    def is_readable(self, path: Path) -> bool:
        """Return whether it is a bbolt file."""
        try:
            with BboltFile(path):
                return True
        except (BboltError, OSError):
            return False

    def is_locked(self, path: Path) -> bool:  # noqa: ARG002 (the format of the other has it)
        """Return that it is not: reading takes no lock."""
        return False

    def read(self, name: DatabaseName, path: Path) -> Content:  # noqa: ARG002 (it has one)
        """Describe the database, by the metadata that its builder wrote.

        Without a time of the fetch, that is when the database was built.
        """
        try:
            with BboltFile(path) as file:
                rows, metadata = file.count(b"vulnerability", b"root") or 0, _metadata(file)
        except BboltError as error:
            raise DamagedError(f"cannot be read ({error})") from error
        fetched_at, made_at = (_normal_time(metadata.get(key)) for key in ("downloaded", "last_modified"))
        digest = metadata.get("digest")
        shown = digest.removeprefix("sha256:")[:DIGEST_LENGTH] if isinstance(digest, str) else None
        return Content(rows, fetched_at or made_at, made_at, shown or None)

    def verify(self, path: Path) -> Mapping[DatabaseName, int]:
        """Check every page of the file."""
        try:
            with BboltFile(path) as file:
                file.check()
                schema = _metadata(file).get("schema_version")
                if not isinstance(schema, int) or file.count(b"datasource") is None:
                    raise DamagedError("is incomplete or not a vuls2 database")
                rows = file.count(b"vulnerability", b"root") or 0
        except BboltError as error:
            raise DamagedError(f"is damaged ({error})") from error
        return {name: rows for name, database in CATALOGUE.items() if database.file == path.name}

    def stamp(self, name: DatabaseName, path: Path) -> None:
        """Do nothing: Vuls writes the time."""


def format_of(file: str) -> Format:
    """Return the format of a file of the catalogue, by its name."""
    return SqliteFormat() if file.endswith(".sqlite3") else Vuls2Format()


def _connect(path: Path, mode: str, timeout: float = 5) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, timeout=timeout))


def _count_rows(name: DatabaseName, connection: sqlite3.Connection) -> int:
    try:
        return int(connection.execute(CATALOGUE[name].count).fetchone()[0])
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return 0
        raise


def _first(connection: sqlite3.Connection, query: str, *parameters: str) -> tuple[Any, ...] | None:
    """Return a query's first row.

    Return None also if the file lacks the table or column.
    """
    with contextlib.suppress(sqlite3.OperationalError):
        row: tuple[Any, ...] | None = connection.execute(query, parameters).fetchone()
        return row
    return None


def _stamp_of(name: DatabaseName, connection: sqlite3.Connection) -> Content:
    """Return what the last fetch recorded."""
    for columns in ("fetched_at, made_at, digest", "fetched_at, NULL, NULL"):
        if row := _first(connection, f"SELECT {columns} FROM {FETCH_TIMES} WHERE name = ?", name):  # noqa: S608
            return Content(0, _normal_time(row[0]), _normal_time(row[1]), row[2])
    return Content(0)


def _newest(name: DatabaseName, connection: sqlite3.Connection) -> str | None:
    query = CATALOGUE[name].newest
    row = _first(connection, query) if query else None
    return _normal_time(row and row[0])


def _digest(name: DatabaseName, connection: sqlite3.Connection) -> str | None:
    """Return a digest of the content; None without its tables."""
    digest = hashlib.sha256()
    try:
        for query in CATALOGUE[name].content:
            for row in connection.execute(query):
                digest.update(repr(row).encode())
    except sqlite3.OperationalError:
        return None
    return digest.hexdigest()[:DIGEST_LENGTH]


def _metadata(file: BboltFile) -> Mapping[str, object]:
    try:
        metadata = json.loads(file.get(b"metadata", b"db") or b"null")
    except (ValueError, RecursionError) as error:
        raise DamagedError("has unreadable metadata") from error
    return metadata if isinstance(metadata, dict) else {}


def _normal_time(text: object) -> str | None:
    """Return a time in the executor's form.

    Return None for an invalid time, and for the year 1, which the tools write for never.
    """
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        moment = datetime.fromisoformat(str(text)).astimezone(UTC)
        if moment.year > 1:
            return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return None
