"""Heartbeats: when each periodic job last ran."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from vulsweb.extensions import Base

TICK = "tick"  # written by each tick: proves that beat and a worker are alive


class Heartbeat(Base):
    """When one periodic job last ran."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    at: Mapped[datetime]
