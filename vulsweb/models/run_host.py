"""What runs came to, host by host."""

from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb.extensions import Base
from vulsweb.models.host import Host
from vulsweb.models.run import Run
from vulsweb.vuls.results import Outcome


class RunHost(Base):
    """What one run came to on one host; no outcome while it goes on, or when it ended before it could say."""

    __tablename__ = "run_hosts"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(253), primary_key=True)
    host_id: Mapped[int | None] = mapped_column(ForeignKey("hosts.id"))  # None where a result names nobody
    outcome: Mapped[Outcome | None]
    message: Mapped[str | None]
    severity_counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    packages: Mapped[int] = mapped_column(default=0)
    opened: Mapped[int] = mapped_column(default=0)
    fixed: Mapped[int] = mapped_column(default=0)

    run: Mapped[Run] = relationship()
    host: Mapped[Host | None] = relationship()

    __table_args__ = (
        # For a host's runs, newest first.
        Index("ix_run_hosts_history", "host_id", "run_id"),
    )
