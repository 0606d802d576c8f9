"""Findings: one CVE on one host, over time."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb.extensions import Base
from vulsweb.models.host import Host
from vulsweb.vuls.results import Severity


class Finding(Base):
    """One CVE on one host: when it was first seen, last seen and fixed."""

    __tablename__ = "findings"

    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("hosts.id"))
    cve_id: Mapped[str] = mapped_column(index=True)
    severity: Mapped[Severity]
    score: Mapped[float | None]  # CVSS, 0.0 to 10.0; None where a source gave words alone
    title: Mapped[str]
    packages: Mapped[list[dict[str, Any]]]
    first_seen_at: Mapped[datetime]
    first_run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id", ondelete="SET NULL"), index=True)
    last_seen_at: Mapped[datetime]
    fixed_at: Mapped[datetime | None]

    host: Mapped[Host] = relationship()

    __table_args__ = (
        UniqueConstraint("host_id", "cve_id"),
        # For the counts of open findings by severity.
        Index("ix_findings_open", "severity", "host_id", postgresql_where=text("fixed_at IS NULL")),
    )
