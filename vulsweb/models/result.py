"""Scan results: one document per run and host."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb.extensions import Base
from vulsweb.models.host import Host


class Result(Base):
    """The JSON document of one scan of one host, and its counts."""

    __tablename__ = "results"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    host_id: Mapped[int] = mapped_column(ForeignKey("hosts.id"), index=True)
    scanned_at: Mapped[datetime]
    family: Mapped[str]
    release: Mapped[str]
    package_count: Mapped[int]
    severity_counts: Mapped[dict[str, Any]]
    # gzip of the JSON as received, without its config block, which has key paths and user names.
    document: Mapped[bytes] = mapped_column(deferred=True)
    # The findings in it as JSON (gzip), to show them without the document. None in rows of version 0.2.0.
    found: Mapped[bytes | None] = mapped_column(deferred=True)
    # The Vuls and the databases that looked for CVEs. None in rows of version 0.2.0, and if no report ran.
    detected_by: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), deferred=True)

    host: Mapped[Host] = relationship()

    __table_args__ = (UniqueConstraint("run_id", "host_id"),)
