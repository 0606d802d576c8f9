"""Filter and sort order of the hosts page, as query string."""

from dataclasses import dataclass
from typing import Any

from werkzeug.datastructures import MultiDict

from vulsweb.hosts.inventory import Filter, Show, Sort
from vulsweb.views import list_query
from vulsweb.views.list_query import ListQuery, one_line
from vulsweb.vuls.connections import HostConnection


@dataclass(frozen=True)
class HostQuery(ListQuery[Filter, Sort]):
    """Which hosts a page shows, and in which order."""

    descending_first = frozenset(Sort) - {Sort.NAME}

    @property
    def filter_args(self) -> dict[str, Any]:
        """Return the filter as arguments of the URL."""
        args = {
            "show": "" if self.filter.show is Show.ALL else self.filter.show,
            "connection": self.filter.connection,
            "tag": self.filter.tag,
            **system_args(self.filter.family, self.filter.release),
            "search": self.filter.text,
        }
        return {name: str(value) for name, value in args.items() if value}

    def args_showing(self, show: Show) -> dict[str, Any]:
        """Return the arguments for all hosts of one tab."""
        return {} if show is Show.ALL else {"show": show.value}


def system_args(family: str, release: str) -> dict[str, str]:
    """Return the arguments for a family of systems or one release."""
    return {"system": f"{family} {release}"} if release else {"family": family}


def parse(args: MultiDict[str, str]) -> HostQuery:
    """Parse the query string of the hosts page; ignore invalid values."""
    show, connection = args.get("show", ""), args.get("connection", "")
    family, _, release = (one_line(args, "system") or one_line(args, "family")).partition(" ")
    filter_ = Filter(
        show=Show(show) if show in set(Show) else Show.ALL,
        text=one_line(args, "search"),
        tag=one_line(args, "tag"),
        family=family,
        release=release,
        connection=HostConnection(connection) if connection in set(HostConnection) else None,
    )
    return HostQuery(filter_, *list_query.order(args, Sort))
