"""Reads the bbolt files that vuls2 databases are: what a key holds, and how many keys a bucket has.

The tools' own language has the library for it, and nothing here but Python runs where the executor does. A
file is a row of pages, copied on write; two of the first hold the roots of trees, the newer valid one counts.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

MAGIC, VERSION = 0xED0CDAED, 2
BRANCH, LEAF = 0x01, 0x02
BUCKET = 0x01
# A page's header, an element of a branch and one of a leaf.
PAGE, BRANCH_ELEMENT, LEAF_ELEMENT = struct.Struct("<QHHI"), struct.Struct("<IIQ"), struct.Struct("<IIII")
META_BODY = struct.Struct("<IIIIQQQQQQ")
BUCKET_BODY = struct.Struct("<QQ")
PAGE_SIZES = tuple(1 << bits for bits in range(9, 17))
# Each question looks at a page once at most, unless damaged ones lead in circles; some are asked of a file.
MOST_LOOKS = 8


class BoltError(Exception):
    """The file is not one of bbolt's, or is damaged; the message says what was found."""


@dataclass(frozen=True)
class _Node:
    """A page, or a small bucket that lies within its parent's page."""

    at: int
    flags: int
    count: int
    end: int  # no key or value of it lies beyond


class Bolt:
    """An open file. Every number in it is checked before it is followed: the file comes from outside."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            try:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:
                raise BoltError("it is empty") from error
        self._page_size, self._root, self._pages = self._meta()
        self._looks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._map.close()

    def get(self, *path: bytes) -> bytes | None:
        """Return the value of the last key of `path` in the buckets before it, if there is one."""
        bucket = self._bucket(path[:-1])
        if bucket is None:
            return None
        for key, value, is_bucket in self._items(bucket):
            if key == path[-1] and not is_bucket:
                return self._map[value.start : value.stop]
        return None

    def count(self, *path: bytes) -> int | None:
        """Return how many keys a bucket has, None where there is no such bucket."""
        bucket = self._bucket(path)
        return None if bucket is None else sum(leaf.count for leaf in self._leaves(bucket))

    def check(self) -> None:
        """Go through every page that is in use; raise BoltError for one that cannot be one."""
        waiting = [self._page(self._root)]
        while waiting:
            for leaf in self._leaves(waiting.pop()):
                for _, value, is_bucket in self._elements(leaf):
                    if is_bucket:
                        waiting.append(self._bucket_node(value))

    def _meta(self) -> tuple[int, int, int]:
        found = []
        for place in (0, *PAGE_SIZES):
            if place + PAGE.size + META_BODY.size > len(self._map):
                break
            body = self._map[place + PAGE.size : place + PAGE.size + META_BODY.size]
            magic, version, size, _, root, _, _, pages, number, checksum = META_BODY.unpack(body)
            if magic == MAGIC and version == VERSION and size in PAGE_SIZES and checksum == _fnv(body):
                found.append((number, size, root, pages))
        if not found:
            raise BoltError("it is no bbolt file")
        _, size, root, pages = max(found)
        if pages * size > len(self._map) or len(self._map) % size:
            raise BoltError(f"it did not come whole: {len(self._map):,} bytes")
        return size, root, pages

    def _bucket(self, path: tuple[bytes, ...]) -> _Node | None:
        node = self._page(self._root)
        for name in path:
            items = self._items(node)
            found = next((value for key, value, is_bucket in items if is_bucket and key == name), None)
            if found is None:
                return None
            node = self._bucket_node(found)
        return node

    def _bucket_node(self, value: range) -> _Node:
        if len(value) < BUCKET_BODY.size:
            raise BoltError("a bucket is too short")
        root, _ = BUCKET_BODY.unpack_from(self._map, value.start)
        return self._page(root) if root else self._node(value.start + BUCKET_BODY.size, value.stop)

    def _page(self, number: int) -> _Node:
        if not 1 < number < self._pages:
            raise BoltError(f"page {number} is not in it")
        self._looks += 1
        if self._looks > MOST_LOOKS * self._pages:
            raise BoltError("its pages lead in circles")
        at = number * self._page_size
        told, _, _, overflow = PAGE.unpack_from(self._map, at)
        end = at + (overflow + 1) * self._page_size
        if told != number or end > len(self._map):
            raise BoltError(f"page {number} is damaged")
        return self._node(at, end)

    def _node(self, at: int, end: int) -> _Node:
        if at + PAGE.size > end:
            raise BoltError("a page is too short")
        _, flags, count, _ = PAGE.unpack_from(self._map, at)
        # Elements of branches and leaves are of one size.
        if flags not in (BRANCH, LEAF) or at + PAGE.size + count * LEAF_ELEMENT.size > end:
            raise BoltError(f"the page at {at:,} is damaged")
        return _Node(at, flags, count, end)

    def _leaves(self, node: _Node) -> Iterator[_Node]:
        waiting = [node]
        while waiting:
            node = waiting.pop()
            if node.flags == LEAF:
                yield node
                continue
            for number in range(node.count):
                at = node.at + PAGE.size + number * BRANCH_ELEMENT.size
                waiting.append(self._page(BRANCH_ELEMENT.unpack_from(self._map, at)[2]))

    def _items(self, node: _Node) -> Iterator[tuple[bytes, range, bool]]:
        for leaf in self._leaves(node):
            yield from self._elements(leaf)

    def _elements(self, leaf: _Node) -> Iterator[tuple[bytes, range, bool]]:
        for number in range(leaf.count):
            at = leaf.at + PAGE.size + number * LEAF_ELEMENT.size
            flags, distance, key, value = LEAF_ELEMENT.unpack_from(self._map, at)
            start = at + distance
            if start + key + value > leaf.end:
                raise BoltError(f"the page at {leaf.at:,} is damaged")
            middle = start + key
            yield self._map[start:middle], range(middle, middle + value), flags == BUCKET


def _fnv(body: bytes) -> int:
    """Return the FNV-1a sum of a meta page's words but the last, which holds it."""
    sum_ = 0xCBF29CE484222325
    for byte in body[:-8]:
        sum_ = (sum_ ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return sum_
