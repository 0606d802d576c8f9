"""The audit trail: who did what, and when."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from vulsweb.extensions import Base


class AuditWay(enum.StrEnum):
    """How a change came in."""

    PAGE = "page"
    API = "api"
    COMMAND = "command"
    SYSTEM = "system"  # the scheduler or a worker

    @property
    def label(self) -> str:
        """Return the label for pages."""
        labels = {"api": "API", "command": "Command line"}
        return labels.get(self.value, self.value.capitalize())


class AuditAction(enum.StrEnum):
    """What was done."""

    ADDED = "added"
    CHANGED = "changed"
    DELETED = "deleted"
    STARTED = "started"
    CANCELLED = "cancelled"
    TESTED = "tested"
    SENT_AGAIN = "sent_again"
    SYNCED = "synced"
    SIGNED_IN = "signed_in"
    SIGNED_OUT = "signed_out"
    SIGN_IN_REFUSED = "sign_in_refused"

    @property
    def label(self) -> str:
        """Return the label for pages."""
        labels = {"sent_again": "Sent again", "signed_in": "Signed in", "signed_out": "Signed out"}
        labels["sign_in_refused"] = "Sign-in refused"
        return labels.get(self.value, self.value.capitalize())


class AuditKind(enum.StrEnum):
    """The kinds of what was changed."""

    TASK = "task"
    RUN = "run"
    HOST = "host"
    HOSTS = "hosts"  # all of them, by a sync
    SSH_CONFIG = "ssh_config"
    SSH_KEY = "ssh_key"
    KNOWN_HOST = "known_host"
    USER = "user"
    PASSKEY = "passkey"
    TOKEN = "token"  # noqa: S105 - the kind of thing, not a token
    CHANNEL = "channel"
    RULE = "rule"

    @property
    def label(self) -> str:
        """Return the label for pages."""
        labels = {
            "ssh_config": "SSH configuration",
            "ssh_key": "SSH key",
            "known_host": "Host key",
            "token": "API token",
            "rule": "Notification rule",
        }
        return labels.get(self.value, self.value.capitalize())


class AuditEntry(Base):
    """One change, or one attempt to sign in.

    A trigger of the table forbids changing and deleting sealed entries. `audit.chain` seals them.
    """

    __tablename__ = "audit_entries"

    id: Mapped[int] = mapped_column(primary_key=True)
    # The place in the chain, from 1 without gaps; None until the transaction ends.
    number: Mapped[int | None] = mapped_column(unique=True)
    at: Mapped[datetime] = mapped_column(index=True)
    way: Mapped[AuditWay]
    # Without a foreign key: users are never deleted, and an entry locks no user.
    actor_id: Mapped[int | None]
    actor: Mapped[str] = mapped_column(String(80))  # the name at that time; empty: nobody who is known
    token: Mapped[str] = mapped_column(String(80))  # the name of the API token; empty: none
    address: Mapped[str] = mapped_column(String(45))
    action: Mapped[AuditAction]
    kind: Mapped[AuditKind]
    object_id: Mapped[str] = mapped_column(String(64))
    object_name: Mapped[str]
    # Field names with their values, of what changed.
    before: Mapped[dict[str, Any]]
    after: Mapped[dict[str, Any]]
    previous: Mapped[str | None] = mapped_column(String(64))  # the hash of the entry before; "": the first
    hash: Mapped[str | None] = mapped_column(String(64))

    __table_args__ = (
        # For the part of one object, newest first.
        Index("ix_audit_entries_object", "kind", "object_id", "number"),
        Index("ix_audit_entries_actor", "actor", "number"),
        # For sealing: the entries of the transaction.
        Index("ix_audit_entries_unsealed", "id", postgresql_where=text("hash IS NULL")),
    )
