"""The reserve of disk space, below which nothing new is begun."""

import shutil
from collections.abc import Iterable
from pathlib import Path

RESERVE_SHARE, MAX_RESERVE_BYTES = 0.02, 500 * 10**6


def reserve(total_bytes: int) -> int:
    """Return the bytes kept free: 2%, at most 500 MB."""
    return min(int(total_bytes * RESERVE_SHARE), MAX_RESERVE_BYTES)


def shortage(folders: Iterable[Path]) -> str | None:
    """Return which folder's disk has less free than its reserve, or None."""
    for folder in filter(Path.exists, folders):
        disk = shutil.disk_usage(folder)
        if disk.free < reserve(disk.total):
            free, least = disk.free // 10**6, max(reserve(disk.total) // 10**6, 1)
            return (
                f"The disk of {folder} is full: {free:,} MB are free, and nothing begins below {least:,} MB."
            )
    return None
