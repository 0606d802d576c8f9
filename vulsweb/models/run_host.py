"""Run results per host."""

from typing import Any

from sqlalchemy import ForeignKey, Index, String, and_
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from vulsweb.extensions import Base
from vulsweb.models.host import Host
from vulsweb.models.result import Result
from vulsweb.models.run import Run
from vulsweb.vuls.results import Outcome


class RunHost(Base):
    """The result of one run on one host.

    `outcome` is None while the run is in progress, and if the run ended without a result for the host.
    """

    __tablename__ = "run_hosts"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(253), primary_key=True)
    host_id: Mapped[int | None] = mapped_column(
        ForeignKey("hosts.id")
    )  # None if the result is of an unknown host
    outcome: Mapped[Outcome | None]
    message: Mapped[str | None]
    severity_counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    packages: Mapped[int] = mapped_column(default=0)
    opened: Mapped[int] = mapped_column(default=0)
    fixed: Mapped[int] = mapped_column(default=0)
    warnings: Mapped[list[str]] = mapped_column(default=list)  # in Vuls' words

    run: Mapped[Run] = relationship()
    host: Mapped[Host | None] = relationship()
    # Its document. A repeated detection stores none if nothing changed.
    result: Mapped[Result | None] = relationship(
        primaryjoin=lambda: and_(
            foreign(RunHost.run_id) == Result.run_id, foreign(RunHost.host_id) == Result.host_id
        ),
        viewonly=True,
        lazy="raise",
    )

    __table_args__ = (
        # For a host's runs, newest first.
        Index("ix_run_hosts_history", "host_id", "run_id"),
    )
