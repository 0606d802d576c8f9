"""Filter and sort order of a list page, as query string."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

from werkzeug.datastructures import MultiDict

FilterT = TypeVar("FilterT")
SortT = TypeVar("SortT", bound=StrEnum)


@dataclass(frozen=True)
class ListQuery(ABC, Generic[FilterT, SortT]):
    """Which rows a list shows, and in which order.

    The default order is by name.
    """

    filter: FilterT
    sort: SortT
    descending: bool

    # Columns where the first click sorts in descending order, because people look for the latest or the most.
    descending_first: ClassVar[Collection[str]] = ()

    @property
    @abstractmethod
    def filter_args(self) -> dict[str, Any]:
        """Return the filter as arguments of the URL."""

    @property
    def args(self) -> dict[str, Any]:
        """Return filter and order as arguments of the URL."""
        order = f"{'-' if self.descending else ''}{self.sort}"
        return self.filter_args | ({} if order == "name" else {"sort": order})

    def args_sorted_by(self, sort: str) -> dict[str, Any]:
        """Return the arguments for the same rows by `sort`.

        If that is the current order, reverse it.
        """
        descending = not self.descending if self.sort == sort else sort in self.descending_first
        return replace(self, sort=type(self.sort)(sort), descending=descending).args

    def aria_sort(self, sort: str) -> str:
        """Return the value of aria-sort for a column's header."""
        if self.sort != sort:
            return "none"
        return "descending" if self.descending else "ascending"


def order(args: MultiDict[str, str], members: type[SortT]) -> tuple[SortT, bool]:
    """Parse `sort=name` or `sort=-name` into the order and whether it is descending."""
    text = args.get("sort", "")
    name = text.removeprefix("-")
    return (members(name), text != name) if name in set(members) else (members("name"), False)


def one_line(args: MultiDict[str, str], name: str) -> str:
    """Return a text argument without outer spaces and NUL characters.

    PostgreSQL rejects NUL.
    """
    return args.get(name, "").replace("\x00", "").strip()
