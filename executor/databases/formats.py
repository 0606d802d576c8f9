"""How a file of databases is judged, counted and dated: those of the classic tools, and Vuls' own."""

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from executor.databases.bbolt import Bolt, BoltError
from executor.databases.catalogue import CATALOGUE, DatabaseName

# Our own table inside each file: the tools remember one time for the whole file, and a time kept
# inside is replaced together with what it is about.
STAMPS = "executor_fetches"


class DamagedError(Exception):
    """The file is not what it should be; the message goes on from "The database"."""


class Format(Protocol):
    """A kind of file."""

    grows: bool  # whether a fetch goes on from what is there, else it begins anew

    def is_sound(self, path: Path) -> bool:
        """Say whether it can be read at all."""

    def read(self, name: DatabaseName, path: Path) -> tuple[int, str | None]:
        """Return how many rows it has of a database, and when that was fetched."""

    def verify(self, path: Path) -> Mapping[DatabaseName, int]:
        """Look at all of it; return the rows of each of its databases, or raise DamagedError."""

    def stamp(self, name: DatabaseName, path: Path) -> None:
        """Note in it that a database was fetched just now."""


class Sqlite:
    """A file of go-cve-dictionary's, goval-dictionary's or gost's."""

    grows = True

    def is_sound(self, path: Path) -> bool:
        """Say whether SQLite can read it."""
        try:
            with _readable(path) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error:
            return False
        return True

    def read(self, name: DatabaseName, path: Path) -> tuple[int, str | None]:
        """Return the rows of a database and the time of its fetch."""
        try:
            with _readable(path) as connection:
                return _count(name, connection), _fetched_at(name, connection)
        except sqlite3.Error as error:
            raise DamagedError(f"cannot be read ({error})") from error

    def verify(self, path: Path) -> Mapping[DatabaseName, int]:
        """Have SQLite look at all of it, and leave it in a single file."""
        try:
            with _writable(path) as connection:
                # Anything but a single file would lose its other half in the swap.
                connection.execute("PRAGMA journal_mode = DELETE")
                if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                    raise DamagedError("is damaged")
                if connection.execute("SELECT max(schema_version) FROM fetch_meta").fetchone() == (None,):
                    raise DamagedError("is unfinished")
                inside = [name for name, each in CATALOGUE.items() if each.file == path.name]
                return {name: _count(name, connection) for name in inside}
        except sqlite3.Error as error:
            raise DamagedError(f"cannot be read ({error})") from error

    def stamp(self, name: DatabaseName, path: Path) -> None:
        """Write the time into our own table."""
        with _writable(path) as connection, connection:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {STAMPS} (name TEXT PRIMARY KEY, fetched_at TEXT)"
            )
            connection.execute(
                f"INSERT OR REPLACE INTO {STAMPS} VALUES (?, ?)",  # noqa: S608
                (name, datetime.now(UTC).isoformat()),
            )


class Vuls2:
    """The one file of Vuls' own, which its fetch brings whole and dates itself."""

    grows = False

    def is_sound(self, path: Path) -> bool:
        """Say whether it is a bbolt file."""
        try:
            with Bolt(path):
                return True
        except (BoltError, OSError):
            return False

    def read(self, name: DatabaseName, path: Path) -> tuple[int, str | None]:  # noqa: ARG002 (it has one)
        """Return how many vulnerabilities it tells of, and when it was fetched, else made."""
        try:
            with Bolt(path) as file:
                return file.count(b"vulnerability", b"root") or 0, _dated(_metadata(file))
        except BoltError as error:
            raise DamagedError(f"cannot be read ({error})") from error

    def verify(self, path: Path) -> Mapping[DatabaseName, int]:
        """Go through all its pages."""
        try:
            with Bolt(path) as file:
                file.check()
                schema = _metadata(file).get("schema_version")
                if not isinstance(schema, int) or file.count(b"datasource") is None:
                    raise DamagedError("is unfinished, or not of vuls2")
                rows = file.count(b"vulnerability", b"root") or 0
        except BoltError as error:
            raise DamagedError(f"is damaged ({error})") from error
        return {name: rows for name, each in CATALOGUE.items() if each.file == path.name}

    def stamp(self, name: DatabaseName, path: Path) -> None:
        """Do nothing: Vuls has."""


def format_of(file: str) -> Format:
    """Return what kind of file a name of the catalogue stands for."""
    return Sqlite() if file.endswith(".sqlite3") else Vuls2()


def _readable(path: Path) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True))


def _writable(path: Path) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True))


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
        with contextlib.suppress(sqlite3.OperationalError, TypeError):
            if found := _time(connection.execute(query, parameters).fetchone()[0]):
                return found
    return None


def _metadata(file: Bolt) -> Mapping[str, object]:
    try:
        told = json.loads(file.get(b"metadata", b"db") or b"null")
    except (ValueError, RecursionError) as error:
        raise DamagedError("does not say what it is") from error
    return told if isinstance(told, dict) else {}


def _dated(metadata: Mapping[str, object]) -> str | None:
    return _time(metadata.get("downloaded")) or _time(metadata.get("last_modified"))


def _time(text: object) -> str | None:
    """Return a time as the executor writes it; the tools write the year 1 for never."""
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        moment = datetime.fromisoformat(str(text)).astimezone(UTC)
        if moment.year > 1:
            return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return None
