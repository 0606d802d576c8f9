"""Filter and sort order of the findings page, as query string."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from werkzeug.datastructures import MultiDict

from vulsweb.findings.lists import Filter, Sort
from vulsweb.views import forms
from vulsweb.views.list_query import one_line
from vulsweb.vuls.results import Severity


@dataclass(frozen=True)
class FindingQuery:
    """Which findings a page shows, and in which order."""

    fixed: bool
    severities: tuple[Severity, ...]
    host: str
    since: date | None
    search: str
    sort: Sort
    zone: str
    fixed_by: int | None = None  # id of a run

    @property
    def filter(self) -> Filter:
        """Return the filter for the database query."""
        return Filter(
            fixed=self.fixed,
            severities=self.severities,
            host=self.host,
            first_seen_from=forms.midnight(self.since, self.zone) if self.since else None,
            text=self.search,
            fixed_by=self.fixed_by,
        )

    @property
    def filter_args(self) -> dict[str, Any]:
        """Return the filter as arguments of the URL."""
        args = {
            "status": "fixed" if self.fixed else "",
            "severity": [severity.value for severity in self.severities],
            "host": self.host,
            "since": str(self.since or ""),
            "search": self.search,
            "fixed_by": self.fixed_by,
        }
        return {name: value for name, value in args.items() if value}

    @property
    def is_narrowed(self) -> bool:
        """Return whether the filter has more than the status."""
        return bool(self.filter_args.keys() - {"status"})

    @property
    def args(self) -> dict[str, Any]:
        """Return filter and order as arguments of the URL."""
        return self.args_sorted_by(self.sort)

    def args_sorted_by(self, sort: str) -> dict[str, Any]:
        """Return the arguments for the same findings by `sort`."""
        return self.filter_args | ({} if sort == Sort.SEVERITY else {"sort": sort})

    def aria_sort(self, sort: str) -> str:
        """Return the value of aria-sort for a column's header.

        Worst and newest come first.
        """
        if self.sort != sort:
            return "none"
        return "ascending" if self.sort is Sort.HOST else "descending"


def parse(args: MultiDict[str, str], zone: str) -> FindingQuery:
    """Parse the query string of the findings page; ignore invalid values."""
    severities, fixed_by = set(args.getlist("severity")), forms.number(args, "fixed_by") or None
    return FindingQuery(
        fixed=args.get("status") == "fixed" or fixed_by is not None,
        severities=tuple(severity for severity in Severity if severity.value in severities),
        host=one_line(args, "host"),
        since=forms.day(args.get("since", "")),
        search=one_line(args, "search"),
        sort=forms.member(Sort, args, "sort") or Sort.SEVERITY,
        zone=zone,
        fixed_by=fixed_by,
    )
