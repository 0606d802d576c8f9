"""Entries as files: JSON lines, which can be verified elsewhere, and CSV."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from vulsweb.audit import chain
from vulsweb.models import AuditEntry

# A spreadsheet takes such a cell for a formula (OWASP, CSV injection).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_fields(entry: AuditEntry) -> dict[str, Any]:
    """Return the fields that the hash covers, and the hash."""
    return chain.content({name: getattr(entry, name) for name in chain.FIELDS}) | {"hash": entry.hash}


def as_json_lines(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """Yield each entry as a line of JSON."""
    for entry in entries:
        yield json.dumps(as_fields(entry), ensure_ascii=False) + "\n"


def as_csv(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """Yield a header line, then a line for each entry."""
    yield _line([*chain.FIELDS, "hash"])
    for entry in entries:
        yield _line([_cell(value) for value in as_fields(entry).values()])


def _cell(value: Any) -> str:
    text = (
        json.dumps(value, ensure_ascii=False)
        if isinstance(value, dict)
        else str("" if value is None else value)
    )
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
