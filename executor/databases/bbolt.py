"""Reads bbolt files, the format of vuls2 databases.

It returns values by key, and the key count of a bucket.

The bbolt library is written in Go, and the executor runs Python only. A file is a sequence of pages that are
copied on write. Two of the first pages are meta pages with the root of the tree; the newer valid one counts.
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from types import TracebackType
from typing import Self

MAGIC, VERSION = 0xED0CDAED, 2
BRANCH, LEAF = 0x01, 0x02
BUCKET = 0x01
FNV_BASIS, FNV_PRIME, FNV_MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1
# A page's header, a branch element and a leaf element.
PAGE, BRANCH_ELEMENT, LEAF_ELEMENT = struct.Struct("<QHHI"), struct.Struct("<IIQ"), struct.Struct("<IIII")
META_BODY = struct.Struct("<IIIIQQQQQQ")
BUCKET_BODY = struct.Struct("<QQ")
PAGE_SIZES = tuple(1 << bits for bits in range(9, 17))
# One call visits each page at most once, unless damaged pages form a loop. A file gets a few calls.
MAX_VISITS_PER_PAGE = 8


class BboltError(Exception):
    """The file is not a bbolt file, or it is damaged.

    The message says what was found.
    """


@dataclass(frozen=True)
class _Node:
    """A page, or a small bucket stored inside its parent's page."""

    at: int
    flags: int
    count: int
    end: int  # its keys and values end before this


class BboltFile:
    """An open bbolt file.

    The file comes from outside, so every number in it is checked before use.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            try:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:
                raise BboltError("it is empty") from error
        self._visits = 0
        metas = []
        for at in (0, *PAGE_SIZES):
            if at + PAGE.size + META_BODY.size > len(self._map):
                break
            body = self._map[at + PAGE.size : at + PAGE.size + META_BODY.size]
            magic, version, size, _, root, _, _, pages, transaction, checksum = META_BODY.unpack(body)
            # The checksum of a meta page is the 64-bit FNV-1a hash of what precedes it.
            computed = reduce(lambda hash_, byte: (hash_ ^ byte) * FNV_PRIME & FNV_MASK, body[:-8], FNV_BASIS)
            if magic == MAGIC and version == VERSION and size in PAGE_SIZES and checksum == computed:
                metas.append((transaction, size, root, pages))
        if not metas:
            raise BboltError("it is not a bbolt file")
        _, self._page_size, self._root, self._page_count = max(metas)
        if self._page_count * self._page_size > len(self._map) or len(self._map) % self._page_size:
            raise BboltError(f"it is incomplete: {len(self._map):,} bytes")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._map.close()

    def get(self, *path: bytes) -> bytes | None:
        """Return the value at `path`, or None if it is missing.

        The path is the names of nested buckets, then a key.
        """
        bucket = self._bucket(path[:-1])
        if bucket is None:
            return None
        for key, value, is_bucket in self._items(bucket):
            if key == path[-1] and not is_bucket:
                return self._map[value.start : value.stop]
        return None

    def count(self, *path: bytes) -> int | None:
        """Return the number of keys in a bucket.

        Return None if there is no such bucket.
        """
        bucket = self._bucket(path)
        return None if bucket is None else sum(leaf.count for leaf in self._leaves(bucket))

    def check(self) -> None:
        """Visit every page in use; raise BboltError for an invalid one."""
        pending = [self._page(self._root)]
        while pending:
            for _, value, is_bucket in self._items(pending.pop()):
                if is_bucket:
                    pending.append(self._bucket_node(value))

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
            raise BboltError("a bucket is too short")
        root, _ = BUCKET_BODY.unpack_from(self._map, value.start)
        return self._page(root) if root else self._node(value.start + BUCKET_BODY.size, value.stop)

    def _page(self, number: int) -> _Node:
        if not 1 < number < self._page_count:
            raise BboltError(f"page {number} does not exist")
        self._visits += 1
        if self._visits > MAX_VISITS_PER_PAGE * self._page_count:
            raise BboltError("its pages form a loop")
        at = number * self._page_size
        own_number, _, _, overflow = PAGE.unpack_from(self._map, at)
        end = at + (overflow + 1) * self._page_size
        if own_number != number or end > len(self._map):
            raise BboltError(f"page {number} is damaged")
        return self._node(at, end)

    def _node(self, at: int, end: int) -> _Node:
        if at + PAGE.size > end:
            raise BboltError("a page is too short")
        _, flags, count, _ = PAGE.unpack_from(self._map, at)
        # Branch and leaf elements have the same size.
        if flags not in (BRANCH, LEAF) or at + PAGE.size + count * LEAF_ELEMENT.size > end:
            raise BboltError(f"the page at {at:,} is damaged")
        return _Node(at, flags, count, end)

    def _leaves(self, node: _Node) -> Iterator[_Node]:
        pending = [node]
        while pending:
            node = pending.pop()
            if node.flags == LEAF:
                yield node
                continue
            for number in range(node.count):
                at = node.at + PAGE.size + number * BRANCH_ELEMENT.size
                pending.append(self._page(BRANCH_ELEMENT.unpack_from(self._map, at)[2]))

    def _items(self, node: _Node) -> Iterator[tuple[bytes, range, bool]]:
        """Yield each key with its value's place and kind.

        The place is where the value is in the file. The kind is whether the value is a bucket.
        """
        for leaf in self._leaves(node):
            for number in range(leaf.count):
                at = leaf.at + PAGE.size + number * LEAF_ELEMENT.size
                flags, distance, key_size, value_size = LEAF_ELEMENT.unpack_from(self._map, at)
                start = at + distance
                if start + key_size + value_size > leaf.end:
                    raise BboltError(f"the page at {leaf.at:,} is damaged")
                middle = start + key_size
                yield self._map[start:middle], range(middle, middle + value_size), flags == BUCKET
