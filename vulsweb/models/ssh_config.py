"""The SSH configuration, version by version, and what became of the hosts after each save."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb.extensions import Base
from vulsweb.models.run import Trigger
from vulsweb.models.user import User


class SshConfigVersion(Base):
    """The SSH configuration as somebody saved it; the one with the largest number is in force."""

    __tablename__ = "ssh_config_versions"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[str]
    note: Mapped[str]
    created_at: Mapped[datetime]
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    created_by: Mapped[User | None] = relationship()


class HostSync(Base):
    """One synchronization of the hosts with config.toml: asked for, and what it came to."""

    __tablename__ = "host_syncs"

    id: Mapped[int] = mapped_column(primary_key=True)
    trigger: Mapped[Trigger]
    requested_at: Mapped[datetime]
    requested_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    version_number: Mapped[int | None]  # of the SSH configuration that was saved
    finished_at: Mapped[datetime | None]
    outcome: Mapped[dict[str, Any] | None]  # names of hosts by what became of them
    error: Mapped[str | None]

    requested_by: Mapped[User | None] = relationship()

    __table_args__ = (
        # For host_syncs.waiting: those that no worker has done yet.
        Index("ix_host_syncs_waiting", "requested_at", postgresql_where=text("finished_at IS NULL")),
    )
