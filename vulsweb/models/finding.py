"""Findings: one CVE on one host, over time."""

from datetime import datetime
from typing import Any

from sqlalchemy import Computed, Double, ForeignKey, Index, TextClause, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb.extensions import Base
from vulsweb.models.host import Host
from vulsweb.vuls.results import Severity

_ORDER = (
    "CASE severity WHEN 'critical' THEN 0 WHEN 'high' THEN 100 WHEN 'medium' THEN 200"
    " WHEN 'low' THEN 300 ELSE 400 END - coalesce(score, 0)"
)
_WORDS = "lower(cve_id || ' ' || title || ' ' || jsonb_path_query_array(packages, '$[*].name')::text)"

_OPEN = text("fixed_at IS NULL")


def _in_order(state: str, where: TextClause) -> list[Index]:
    orders = {
        "severity": ("severity_order", "id"),
        "first_seen": ("first_seen_at", "id"),
        "host": ("host_id", "severity_order", "id"),
    }
    return [
        Index(f"ix_findings_{state}_{name}", *columns, postgresql_where=where)
        for name, columns in orders.items()
    ]


class Finding(Base):
    """One CVE on one host, with its history."""

    __tablename__ = "findings"

    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("hosts.id"))
    cve_id: Mapped[str] = mapped_column(index=True)
    severity: Mapped[Severity]
    # Whose score or word the severity is, in Vuls' names; empty if unknown.
    severity_source: Mapped[str] = mapped_column(default="")
    score: Mapped[float | None]  # CVSS, 0.0 to 10.0; None if the source gives no number
    title: Mapped[str]
    packages: Mapped[list[dict[str, Any]]]
    first_seen_at: Mapped[datetime]
    first_run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id", ondelete="SET NULL"), index=True)
    last_seen_at: Mapped[datetime]
    fixed_at: Mapped[datetime | None]
    # Sort key, worst first: by severity, then by score. Severities are 100 apart, so scores never mix them.
    severity_order: Mapped[float] = mapped_column(Double, Computed(_ORDER, persisted=True), deferred=True)
    # The text that a search looks in, in lower case.
    words: Mapped[str] = mapped_column(Computed(_WORDS, persisted=True), deferred=True)

    host: Mapped[Host] = relationship()

    __table_args__ = (
        UniqueConstraint("host_id", "cve_id"),
        # For the counts of open findings by severity.
        Index("ix_findings_open", "severity", "host_id", postgresql_where=_OPEN),
        # For findings.lists.page, in each sort order. Partial: in the end most findings are fixed.
        *_in_order("open", _OPEN),
        *_in_order("fixed", text("fixed_at IS NOT NULL")),
        # For the search in findings.lists. Missing if PostgreSQL lacks pg_trgm.
        Index(
            "ix_findings_words",
            "words",
            postgresql_using="gin",
            postgresql_ops={"words": "gin_trgm_ops"},
        ),
    )
