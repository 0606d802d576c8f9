"""Hosts: the machines that are scanned."""

from datetime import date, datetime
from typing import Any, Optional

from sqlalchemy import ForeignKey, Index, String, Text, false, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb.extensions import Base
from vulsweb.vuls import releases
from vulsweb.vuls.connections import HostConnection
from vulsweb.vuls.results import Outcome

SYSTEM_LENGTH = 100


class Host(Base):
    """A machine from config.toml, or a container found on one."""

    __tablename__ = "hosts"

    id: Mapped[int] = mapped_column(primary_key=True)
    # The name in Vuls' results: an entry of [servers], `entry(address)` or `container@host`.
    name: Mapped[str] = mapped_column(String(253), unique=True)
    # The name of its [servers] section, by which a scan selects it.
    entry: Mapped[str] = mapped_column(String(200), index=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("hosts.id"), index=True)  # of a container
    hostname: Mapped[str] = mapped_column(String(253))
    connection: Mapped[HostConnection]
    scan_modes: Mapped[list[str]]
    vuls_config: Mapped[dict[str, Any]]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)
    notes: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime]
    synced_at: Mapped[datetime]
    # Set while the host is missing from config.toml; its history is kept.
    retired_at: Mapped[datetime | None]
    # Why its section is invalid; until it is fixed the host keeps its last valid settings.
    problem: Mapped[str | None]
    # The system as its latest result or connection test says, written as Vuls does; empty: not known yet.
    family: Mapped[str] = mapped_column(default="", server_default="")
    release: Mapped[str] = mapped_column(default="", server_default="")
    kernel: Mapped[str] = mapped_column(default="", server_default="")  # that runs
    restart_required: Mapped[bool] = mapped_column(
        default=False, server_default=false()
    )  # for the newest installed kernel
    support_ends: Mapped[date | None]  # the last day; None: not known
    # The latest scan, copied here so that a list of all hosts reads no history.
    last_run_id: Mapped[int | None] = mapped_column(
        ForeignKey("runs.id", ondelete="SET NULL", use_alter=True), index=True
    )
    last_scan_at: Mapped[datetime | None]
    last_outcome: Mapped[Outcome | None]
    warned: Mapped[bool] = mapped_column(default=False, server_default=false())  # by Vuls, in that scan

    parent: Mapped[Optional["Host"]] = relationship(remote_side="Host.id")

    @property
    def system(self) -> str:
        """Return the system for pages, such as "Debian 12.4"; empty if unknown."""
        return releases.label(self.family, self.release) if self.family else ""

    def set_system(self, family: str, release: str) -> None:
        """Store the system, and when its support ends."""
        # The host itself says both.
        self.family, self.release = family[:SYSTEM_LENGTH], release[:SYSTEM_LENGTH]
        found = releases.find(family, release)
        self.support_ends = (found.extended or found.support_ends) if found else None

    __table_args__ = (
        # For the hosts with a tag: when a run starts, and in the list.
        Index("ix_hosts_tags", "tags", postgresql_using="gin"),
        # For the two sort orders of the list.
        Index("ix_hosts_lower_name", func.lower(name)),
        Index("ix_hosts_last_scan_at", "last_scan_at"),
        # For the filter and the counts by system.
        Index("ix_hosts_family", "family", "release"),
    )
