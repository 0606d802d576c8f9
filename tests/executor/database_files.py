"""Database files as a fetch leaves them, and ways to damage one."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path


def keep_waiting() -> None:
    """A check that never gives up waiting for a lock."""


def filled(rows: int, table: str = "debian_cves") -> Callable[[Path], None]:
    """Return a fetch that leaves that many rows, as gost does."""

    def fetch(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS fetch_meta (schema_version integer, last_fetched_at text)"
            )
            connection.execute("INSERT INTO fetch_meta VALUES (3, '2025-05-05 01:02:03.123456789+00:00')")
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (id integer)")
            connection.execute(f"DELETE FROM {table}")  # noqa: S608
            connection.executemany(f"INSERT INTO {table} VALUES (?)", [(n,) for n in range(rows)])  # noqa: S608

    return fetch


def cut(path: Path, part: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])


def overwrite(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8192] = os.urandom(8192)
    path.write_bytes(content)
