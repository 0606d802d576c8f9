"""Idempotency keys: a repeated request is carried out once."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from vulsweb.extensions import Base


class IdempotencyKey(Base):
    """One key of one user, with its request and response."""

    __tablename__ = "idempotency_keys"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(index=True)
    status: Mapped[int | None]  # None until there is a response
    body: Mapped[str | None]
    content_type: Mapped[str | None]
    location: Mapped[str | None]
