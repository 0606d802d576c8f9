"""Which hosts in which order, and how an address says so."""

from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MultiDict

from vulsweb.hosts.inventory import Filter, Show, Sort
from vulsweb.vuls.connections import HostConnection


@dataclass(frozen=True)
class HostList:
    """Which hosts in which order."""

    filter: Filter
    sort: Sort
    descending: bool

    @property
    def chosen(self) -> dict[str, Any]:
        """Return the filter as it stands in addresses."""
        wanted = self.filter
        named = {
            "show": "" if wanted.show is Show.ALL else wanted.show,
            "connection": wanted.connection,
            "tag": wanted.tag,
            "family": wanted.family,
            "search": wanted.text,
        }
        return {name: str(value) for name, value in named.items() if value}

    @property
    def address(self) -> dict[str, Any]:
        """Return filter and order as they stand in addresses."""
        order = f"{'-' if self.descending else ''}{self.sort}"
        return self.chosen | ({} if order == Sort.NAME else {"sort": order})

    def showing(self, show: Show) -> dict[str, Any]:
        """Return the address of the hosts of a sort, whatever else is asked for now."""
        return {} if show is Show.ALL else {"show": show.value}

    def sorted_by(self, sort: str) -> dict[str, Any]:
        """Return the address of the same hosts by `sort`, turned round if that is their order now."""
        turned = self.sort == sort and not self.descending
        # People who go by the last scan or by findings look for the latest and the worst.
        descending = turned if self.sort == sort else sort != Sort.NAME
        return HostList(self.filter, Sort(sort), descending).address

    def aria_sort(self, sort: str) -> str:
        """Return what a column's head says of the order."""
        if self.sort != sort:
            return "none"
        return "descending" if self.descending else "ascending"


def host_list(query: MultiDict[str, str]) -> HostList:
    """Read a list of hosts out of an address; what makes no sense is left out."""
    order, show, connection = (query.get(name, "") for name in ("sort", "show", "connection"))
    name = order.removeprefix("-")
    known = name in set(Sort)
    return HostList(
        Filter(
            show=Show(show) if show in set(Show) else Show.ALL,
            text=_line(query.get("search", "")),
            tag=_line(query.get("tag", "")),
            family=_line(query.get("family", "")),
            connection=HostConnection(connection) if connection in set(HostConnection) else None,
        ),
        sort=Sort(name) if known else Sort.NAME,
        descending=known and order != name,
    )


def _line(text: str) -> str:
    return text.replace("\x00", "").strip()
