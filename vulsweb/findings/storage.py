"""Findings stored from result documents and updated over time."""

import gzip
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import undefer

from vulsweb.extensions import db
from vulsweb.models import Finding, Host, Result
from vulsweb.vuls import results
from vulsweb.vuls.results import ParsedFinding, ScanResult, Severity

# Rows of one statement. They go as JSON, which is several times as fast as a statement for each row.
ROWS_AT_ONCE = 2000
_UPSERT = text("""
    INSERT INTO findings (host_id, cve_id, severity, severity_source, score, title, packages,
        first_seen_at, first_run_id, last_seen_at)
    SELECT :host_id, cve_id, severity, severity_source, score, title, packages, :now, :run_id, :now
    FROM jsonb_to_recordset(CAST(:found AS jsonb)) AS found (cve_id text, severity text, severity_source text,
        score double precision, title text, packages jsonb)
    ON CONFLICT (host_id, cve_id) DO UPDATE SET severity = excluded.severity,
        severity_source = excluded.severity_source, score = excluded.score, title = excluded.title,
        packages = excluded.packages, last_seen_at = excluded.last_seen_at, fixed_at = NULL
""")


# How such bytes begin (RFC 1952), and what zlib calls the format.
_GZIP, _GZIP_BITS = b"\x1f\x8b", 31


def _gzipped(pieces: Iterable[bytes | msgspec.Raw]) -> bytes:
    packer = zlib.compressobj(wbits=_GZIP_BITS)
    return b"".join([*(packer.compress(piece) for piece in pieces), packer.flush()])


@dataclass(frozen=True)
class Change:
    """How many findings a result opened (new or reopened) and closed (fixed)."""

    opened_counts: Mapping[str, int]  # by severity
    fixed: int

    @property
    def opened(self) -> int:
        """Return how many were opened."""
        return sum(self.opened_counts.values())


@dataclass(frozen=True)
class SeenFinding:
    """A finding as one run reported it."""

    host: Host
    finding: ParsedFinding
    new: bool  # no earlier run reported it


def store(
    *,
    run_id: int,
    host: Host,
    document: bytes,
    result: ScanResult,
    complete: bool,
    now: datetime,
    again: bool = False,
    detected_by: Mapping[str, Any] | None = None,
) -> Change:
    """Store a result document and update the host's findings.

    Findings that it does not contain are closed only if the scan was `complete`. With `again`, it is a
    document of an earlier scan, which is stored only if it changed the findings.
    """
    host.set_system(result.family, result.release)
    host.kernel, host.restart_required = result.kernel, result.restart_required
    opened_counts = _upsert(run_id, host.id, result.findings, now)
    # Neither open nor fixed: people chose not to see them.
    db.session.execute(
        delete(Finding).where(
            Finding.host_id == host.id, Finding.fixed_at.is_(None), Finding.cve_id.in_(result.hidden_ids)
        )
    )
    fixed = _fix_absent(host.id, result.findings, now) if complete else 0
    if opened_counts or fixed or not again:
        db.session.add(
            Result(
                run_id=run_id,
                host_id=host.id,
                scanned_at=result.scanned_at,
                family=result.family,
                release=result.release,
                package_count=result.package_count,
                severity_counts=result.severity_counts,
                document=_gzipped(results.without_config(document)),
                found=_gzipped([results.pack(result.findings)]),
                detected_by=detected_by,
            )
        )
    db.session.flush()
    return Change(opened_counts, fixed)


def _fix_absent(host_id: int, found: Sequence[ParsedFinding], now: datetime) -> int:
    """Mark the host's other open findings as fixed; return how many."""
    present = [finding.cve_id for finding in found]
    fixed = db.session.scalars(
        update(Finding)
        .where(Finding.host_id == host_id, Finding.fixed_at.is_(None), Finding.cve_id.not_in(present))
        .values(fixed_at=now)
        .returning(Finding.id)
    )
    return len(fixed.all())


def _upsert(run_id: int, host_id: int, found: Sequence[ParsedFinding], now: datetime) -> dict[str, int]:
    """Insert or update the host's findings.

    Return how many of each severity were not open before.
    """
    if not found:
        return {}
    already_open = set(
        db.session.scalars(
            select(Finding.cve_id).where(Finding.host_id == host_id, Finding.fixed_at.is_(None))
        )
    )
    for start in range(0, len(found), ROWS_AT_ONCE):
        packed = results.pack(found[start : start + ROWS_AT_ONCE]).decode()
        given = {"host_id": host_id, "run_id": run_id, "now": now, "found": packed}
        db.session.execute(_UPSERT, given)
    return Counter(finding.severity.value for finding in found if finding.cve_id not in already_open)


def of_run(run_id: int) -> list[SeenFinding]:
    """Return what the run found, worst first, as stored with its results.

    Later runs close and reopen findings, so the table does not show what this run found.
    """
    seen: list[SeenFinding] = []
    query = select(Result).where(Result.run_id == run_id).options(undefer(Result.found))
    for result in db.session.scalars(query).unique():
        first_seen = select(Finding.cve_id).where(
            Finding.host_id == result.host_id, Finding.first_run_id == run_id
        )
        new = set(db.session.scalars(first_seen))
        if result.found is None:
            findings: Sequence[ParsedFinding] = results.parse(gzip.decompress(result.document)).findings
        else:
            # Rows of version 0.2.0 and before are not compressed.
            is_gzip = result.found.startswith(_GZIP)
            findings = results.unpack(gzip.decompress(result.found) if is_gzip else result.found)
        seen += [SeenFinding(result.host, finding, finding.cve_id in new) for finding in findings]
    return sorted(seen, key=lambda s: (s.finding.severity.rank, -(s.finding.score or 0), s.finding.cve_id))


def open_counts() -> dict[Severity, int]:
    """Count the open findings on active hosts, for every severity."""
    rows = db.session.execute(
        select(Finding.severity, func.count())
        .join(Host)
        .where(Finding.fixed_at.is_(None), Host.retired_at.is_(None))
        .group_by(Finding.severity)
    )
    counted = {severity: count for severity, count in rows}  # noqa: C416 - dict() loses the types
    return {severity: counted.get(severity, 0) for severity in Severity}
