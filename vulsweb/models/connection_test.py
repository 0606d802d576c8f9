"""Connection tests: whether Vuls can scan a host."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb.extensions import Base
from vulsweb.models.host import Host
from vulsweb.models.run import RunStatus


class ConnectionTest(Base):
    """One `vuls configtest` of one host."""

    __tablename__ = "connection_tests"

    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"))
    status: Mapped[RunStatus]  # never partial, cancelled or skipped
    created_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    job_id: Mapped[str] = mapped_column(String(32), unique=True)
    # The executor's result for each server; a host that is a network has several.
    tests: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    reason: Mapped[str | None]
    log: Mapped[str] = mapped_column(default="")

    host: Mapped[Host] = relationship()

    __table_args__ = (
        # At most one active test per host: a second click returns the first test.
        Index(
            "uq_connection_tests_active",
            "host_id",
            unique=True,
            postgresql_where=text("status IN ('queued', 'starting', 'running')"),
        ),
        # For hosts.connection_tests.latest.
        Index("ix_connection_tests_latest", "host_id", "id"),
    )
