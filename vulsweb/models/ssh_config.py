"""Versions of the SSH configuration, and the host sync after each save."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb.extensions import Base
from vulsweb.models.run import Trigger
from vulsweb.models.user import User


class SshConfigVersion(Base):
    """A version of the SSH configuration; the highest number is in force."""

    __tablename__ = "ssh_config_versions"

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[str]
    note: Mapped[str]
    created_at: Mapped[datetime]
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    created_by: Mapped[User | None] = relationship()


class HostSync(Base):
    """One sync of the hosts with config.toml: the request and its result."""

    __tablename__ = "host_syncs"

    id: Mapped[int] = mapped_column(primary_key=True)
    trigger: Mapped[Trigger]
    requested_at: Mapped[datetime]
    requested_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    version_number: Mapped[int | None]  # of the SSH configuration, if a save started the sync
    finished_at: Mapped[datetime | None]
    outcome: Mapped[dict[str, Any] | None]  # host names by what the sync did with them
    error: Mapped[str | None]

    requested_by: Mapped[User | None] = relationship()

    __table_args__ = (
        # For the syncs that no worker has done yet.
        Index("ix_host_syncs_waiting", "requested_at", postgresql_where=text("finished_at IS NULL")),
    )
