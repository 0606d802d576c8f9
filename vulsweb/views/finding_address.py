"""Which findings in which order, and how an address says so."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from werkzeug.datastructures import MultiDict

from vulsweb.findings.lists import Filter, Sort
from vulsweb.views import forms
from vulsweb.vuls.results import Severity


@dataclass(frozen=True)
class FindingList:
    """Which findings in which order."""

    fixed: bool
    severities: tuple[Severity, ...]
    host: str
    since: date | None
    search: str
    sort: Sort
    zone: str
    fixed_by: int | None = None  # a run

    @property
    def filter(self) -> Filter:
        """Return what to look for; days are the reader's."""
        return Filter(
            fixed=self.fixed,
            severities=self.severities,
            host=self.host,
            first_seen_from=forms.midnight(self.since, self.zone) if self.since else None,
            text=self.search,
            fixed_by=self.fixed_by,
        )

    @property
    def chosen(self) -> dict[str, Any]:
        """Return the filter as it stands in addresses."""
        named = {
            "status": "fixed" if self.fixed else "",
            "severity": [severity.value for severity in self.severities],
            "host": self.host,
            "since": str(self.since or ""),
            "search": self.search,
            "fixed_by": self.fixed_by,
        }
        return {name: value for name, value in named.items() if value}

    @property
    def narrowed(self) -> bool:
        """Say whether anything but open or fixed is asked for."""
        return bool(self.chosen.keys() - {"status"})

    @property
    def address(self) -> dict[str, Any]:
        """Return filter and order as they stand in addresses."""
        return self.chosen | ({} if self.sort is Sort.SEVERITY else {"sort": self.sort.value})

    def sorted_by(self, sort: str) -> dict[str, Any]:
        """Return the address of the same findings by `sort`."""
        return self.chosen | ({} if sort == Sort.SEVERITY else {"sort": sort})

    def aria_sort(self, sort: str) -> str:
        """Return what a column's head says of the order; the worst and the newest come first."""
        if self.sort != sort:
            return "none"
        return "ascending" if self.sort is Sort.HOST else "descending"


def finding_list(query: MultiDict[str, str], zone: str) -> FindingList:
    """Read a list of findings out of an address; what makes no sense is left out."""
    asked, fixed_by = set(query.getlist("severity")), forms.number(query, "fixed_by") or None
    return FindingList(
        fixed=query.get("status") == "fixed" or fixed_by is not None,
        severities=tuple(severity for severity in Severity if severity.value in asked),
        host=_line(query.get("host", "")),
        since=forms.day(query.get("since", "")),
        search=_line(query.get("search", "")),
        sort=forms.member(Sort, query, "sort") or Sort.SEVERITY,
        zone=zone,
        fixed_by=fixed_by,
    )


def _line(text: str) -> str:
    return text.replace("\x00", "").strip()
