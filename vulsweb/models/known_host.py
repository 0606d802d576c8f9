"""Host keys: those that were offered to a person, and those that a person accepted."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb.extensions import Base
from vulsweb.models.user import User


class KeySource(enum.StrEnum):
    """How the keys of a host came to us."""

    FETCHED = "fetched"  # ssh-keyscan asked the host
    PASTED = "pasted"  # a person had them


class HostKeyOffer(Base):
    """The keys of one host, laid before a person; what is shown is what is accepted."""

    __tablename__ = "host_key_offers"

    id: Mapped[int] = mapped_column(primary_key=True)
    hostname: Mapped[str] = mapped_column(String(253))
    port: Mapped[int]
    source: Mapped[KeySource]
    requested_at: Mapped[datetime] = mapped_column(index=True)
    requested_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    finished_at: Mapped[datetime | None]  # None while the host is being asked
    keys: Mapped[list[dict[str, Any]]]
    error: Mapped[str | None]
    accepted_at: Mapped[datetime | None]

    requested_by: Mapped[User | None] = relationship()


class KnownHost(Base):
    """A key that a person accepted for a host; one that was removed or replaced stays, for the record."""

    __tablename__ = "known_hosts"

    id: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[str] = mapped_column(String(262))  # as known_hosts names it: host, or [host]:port
    hostname: Mapped[str] = mapped_column(String(253))
    port: Mapped[int]
    key_type: Mapped[str] = mapped_column(String(40))
    key: Mapped[str]
    source: Mapped[KeySource]
    accepted_at: Mapped[datetime]
    accepted_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    removed_at: Mapped[datetime | None]
    removed_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    accepted_by: Mapped[User | None] = relationship(foreign_keys=[accepted_by_id])

    __table_args__ = (
        # One key of a type for a host: Vuls compares with the first that it finds.
        Index(
            "uq_known_hosts_place",
            "place",
            "key_type",
            unique=True,
            postgresql_where=text("removed_at IS NULL"),
        ),
    )
