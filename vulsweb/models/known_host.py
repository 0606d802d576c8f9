"""Host keys, before and after a user accepts them."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb.extensions import Base
from vulsweb.models.user import User


class KeySource(enum.StrEnum):
    """Where the keys of a host come from."""

    FETCHED = "fetched"  # by ssh-keyscan, from the host
    PASTED = "pasted"  # by a user


class HostKeyOffer(Base):
    """The keys of one host that a user sees before accepting them."""

    __tablename__ = "host_key_offers"

    id: Mapped[int] = mapped_column(primary_key=True)
    hostname: Mapped[str] = mapped_column(String(253))
    port: Mapped[int]
    source: Mapped[KeySource]
    requested_at: Mapped[datetime] = mapped_column(index=True)
    requested_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    finished_at: Mapped[datetime | None]  # None while ssh-keyscan is running
    keys: Mapped[list[dict[str, Any]]]
    error: Mapped[str | None]
    accepted_at: Mapped[datetime | None]

    requested_by: Mapped[User | None] = relationship()


class KnownHost(Base):
    """A host key that a user accepted; never deleted, only marked removed."""

    __tablename__ = "known_hosts"

    id: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[str] = mapped_column(String(262))  # as written in known_hosts: host, or [host]:port
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
        # At most one key per host and type: Vuls compares with the first one only.
        Index(
            "uq_known_hosts_place",
            "place",
            "key_type",
            unique=True,
            postgresql_where=text("removed_at IS NULL"),
        ),
    )
