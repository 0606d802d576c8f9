"""Notifications: channels, their rules, and the outbox of what they are told."""

import enum
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb.extensions import Base
from vulsweb.models.host import Host
from vulsweb.models.task import ScheduledTask
from vulsweb.vuls.results import Severity


class EventKind(enum.StrEnum):
    """What people can be told of."""

    RUN_FAILED = "run_failed"
    RUN_TIMED_OUT = "run_timed_out"
    RUN_PARTIAL = "run_partial"
    RUN_RECOVERED = "run_recovered"
    RUN_SLOW = "run_slow"
    RUN_MISSED = "run_missed"
    NEW_FINDINGS = "new_findings"
    PART_FAILED = "part_failed"
    PART_WARNING = "part_warning"
    PART_RECOVERED = "part_recovered"
    NEW_ADDRESS = "new_address"
    ROLE_CHANGED = "role_changed"
    # Not for rules to choose: these are sent because a person or the clock says so.
    TEST = "test"
    DIGEST = "digest"

    @property
    def label(self) -> str:
        """Return the label for pages."""
        return _LABELS[self]


_LABELS = {
    EventKind.RUN_FAILED: "Run failed",
    EventKind.RUN_TIMED_OUT: "Run timed out",
    EventKind.RUN_PARTIAL: "Run partial",
    EventKind.RUN_RECOVERED: "Task recovered",
    EventKind.RUN_SLOW: "Run took much longer than usual",
    EventKind.RUN_MISSED: "Run skipped or missed",
    EventKind.NEW_FINDINGS: "New findings",
    EventKind.PART_FAILED: "Part of the system failed",
    EventKind.PART_WARNING: "Part of the system needs attention",
    EventKind.PART_RECOVERED: "Part of the system recovered",
    EventKind.NEW_ADDRESS: "Sign-in from a new address",
    EventKind.ROLE_CHANGED: "Role of a user changed",
    EventKind.TEST: "Test message",
    EventKind.DIGEST: "Digest",
}
CHOSEN_BY_RULES = tuple(kind for kind in EventKind if kind not in (EventKind.TEST, EventKind.DIGEST))
# Only these name a task, so only these can be narrowed to one.
ABOUT_TASKS = tuple(kind for kind in CHOSEN_BY_RULES if kind.startswith(("run_", "new_findings")))


class Rhythm(enum.StrEnum):
    """How often a channel gets a digest."""

    NEVER = "never"
    DAILY = "daily"
    WEEKLY = "weekly"

    @property
    def label(self) -> str:
        """Return the label for pages."""
        return {"never": "No digest", "daily": "Every day", "weekly": "Every week"}[self.value]


class Channel(Base):
    """Where messages go, and what the last attempt said."""

    __tablename__ = "channels"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    url: Mapped[str]  # encrypted: see notifications.addresses
    active: Mapped[bool] = mapped_column(default=True)
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    # Minutes of the day in its zone; messages wait from one to the other. Both or neither.
    quiet_from: Mapped[int | None]
    quiet_until: Mapped[int | None]
    digest: Mapped[Rhythm] = mapped_column(default=Rhythm.NEVER)
    digest_minute: Mapped[int] = mapped_column(default=450)  # of the day, in its zone
    digest_weekday: Mapped[int] = mapped_column(default=1)  # as in cron: 1 is Monday
    digest_when_empty: Mapped[bool] = mapped_column(default=True)
    digest_since: Mapped[datetime | None]  # the end of the last one
    next_digest_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    # Of the latest attempts. While they fail, the pauses between them grow.
    failures: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    last_sent_at: Mapped[datetime | None]

    rules: Mapped[list["Rule"]] = relationship(
        order_by="Rule.id", cascade="all, delete-orphan", passive_deletes=True, back_populates="channel"
    )


class Rule(Base):
    """What a channel is told of."""

    __tablename__ = "channel_rules"

    id: Mapped[int] = mapped_column(primary_key=True)
    channel_id: Mapped[int] = mapped_column(ForeignKey("channels.id", ondelete="CASCADE"), index=True)
    kinds: Mapped[list[str]]
    # Each narrows the rule; None is all.
    task_id: Mapped[int | None] = mapped_column(ForeignKey("scheduled_tasks.id", ondelete="CASCADE"))
    tag: Mapped[str | None] = mapped_column(String(32))
    host_id: Mapped[int | None] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"))
    severity: Mapped[Severity | None]  # of new findings: this one and worse
    repeat_hours: Mapped[int | None]  # None: what goes on is told once

    channel: Mapped[Channel] = relationship(back_populates="rules")
    # The audit trail needs the values before a change too.
    task: Mapped[ScheduledTask | None] = relationship(active_history=True)
    host: Mapped[Host | None] = relationship(active_history=True)

    @property
    def narrowing(self) -> list[str]:
        """Return what narrows the rule, for pages."""
        parts = (
            self.task and f"task {self.task.name}",
            self.tag and f"tag {self.tag}",
            self.host and f"host {self.host.name}",
            self.severity and f"findings from {self.severity.value} up",
            self.repeat_hours and f"repeated after {self.repeat_hours} hours",
        )
        return [part for part in parts if part]


class Event(Base):
    """Something that at least one channel is told of."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[EventKind]
    subject: Mapped[str]  # what it is about, such as "task 7": one state at a time
    at: Mapped[datetime] = mapped_column(index=True)
    title: Mapped[str]  # one line of plain text
    text: Mapped[str]  # plain text, and hostile: host names and titles of CVEs are in it
    path: Mapped[str]  # of the page that shows more


class Delivery(Base):
    """An event on its way to a channel."""

    __tablename__ = "deliveries"

    id: Mapped[int] = mapped_column(primary_key=True)
    channel_id: Mapped[int] = mapped_column(ForeignKey("channels.id", ondelete="CASCADE"))
    event_id: Mapped[int] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    # The id of the message that carries it. Deliveries of one message share it, and keep it until an attempt
    # has failed: a worker that dies meanwhile leaves it for the next, which sends the same message.
    message_id: Mapped[str | None] = mapped_column(String(36))
    sent_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]

    event: Mapped[Event] = relationship()

    __table_args__ = (
        UniqueConstraint("channel_id", "event_id"),
        # For the few that wait among the many that were sent.
        Index(
            "ix_deliveries_waiting",
            "channel_id",
            "id",
            postgresql_where=text("sent_at IS NULL AND given_up_at IS NULL"),
        ),
        Index("ix_deliveries_event_id", "event_id"),
    )


class Trouble(Base):
    """A part of the system that does not work now."""

    __tablename__ = "troubles"

    part: Mapped[str] = mapped_column(String(120), primary_key=True)
    since: Mapped[datetime]
    told: Mapped[bool] = mapped_column(default=False)


class KnownAddress(Base):
    """An address that a user has signed in from."""

    __tablename__ = "known_addresses"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    address: Mapped[str] = mapped_column(String(45), primary_key=True)
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]


class PingKind(enum.StrEnum):
    """What is reported of a run."""

    START = "start"
    SUCCESS = "success"
    FAIL = "fail"  # it failed, timed out, was cancelled or is not complete

    @property
    def path(self) -> str:
        """Return what the address gets at its end."""
        return "" if self is PingKind.SUCCESS else f"/{self.value}"


class TaskPing(Base):
    """A ping of a task that its service has not taken yet."""

    __tablename__ = "task_pings"

    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("scheduled_tasks.id", ondelete="CASCADE"), index=True)
    kind: Mapped[PingKind]
    text: Mapped[str]
    created_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime]
    problem: Mapped[str | None]  # of the last try

    task: Mapped[ScheduledTask] = relationship()
