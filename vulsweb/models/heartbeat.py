"""Heartbeats: when something that must happen again and again last happened."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from vulsweb.extensions import Base


class Heartbeat(Base):
    """The last sign of life of one thing, by its name."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    at: Mapped[datetime]
