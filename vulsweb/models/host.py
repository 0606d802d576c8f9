"""Hosts: the machines that are scanned."""

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from vulsweb.extensions import Base


class Host(Base):
    """A machine that is scanned, as config.toml describes it."""

    __tablename__ = "hosts"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(253), unique=True)
    hostname: Mapped[str] = mapped_column(String(253))
    scan_modes: Mapped[list[str]]
    vuls_config: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    synced_at: Mapped[datetime]
    # Set while the host is absent from config.toml; its history stays.
    retired_at: Mapped[datetime | None]
