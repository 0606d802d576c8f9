"""Scheduled tasks: what runs, and when."""

import enum
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb import cron
from vulsweb.extensions import Base
from vulsweb.models.host import Host
from vulsweb.vuls.catalogue import DatabaseType
from vulsweb.vuls.results import ScanType

if TYPE_CHECKING:
    # The tables reference each other (runs.task_id and scheduled_tasks.last_run_id), so their classes do too.
    # SQLAlchemy resolves the name when it maps the classes; only the type checker needs this import.
    from vulsweb.models.run import Run


class TaskType(enum.StrEnum):
    """What a task does."""

    SCAN = "scan"
    DB_UPDATE = "db_update"
    DETECTION = "detection"  # the stored packages of all hosts, with the latest databases

    @property
    def label(self) -> str:
        """Return the label for pages."""
        return {
            "scan": "Vulnerability Scan",
            "db_update": "Database Update",
            "detection": "Repeated Detection",
        }[self.value]


class Overlap(enum.StrEnum):
    """What to do if the previous run is still active."""

    SKIP = "skip"  # the new run is skipped
    WAIT = "wait"  # the new run waits for the previous one to end; at most one run waits
    REPLACE = "replace"  # the previous run is stopped, then the new one starts

    @property
    def label(self) -> str:
        """Return the label for pages."""
        return {
            "skip": "Skip the new run",
            "wait": "Wait for it to end",
            "replace": "Stop the previous run",
        }[self.value]

    @property
    def meaning(self) -> str:
        """Return the explanation for pages."""
        return {
            "skip": "The previous run continues. The new run is recorded as skipped.",
            "wait": "The new run starts when the previous one ends. One run waits; others are skipped.",
            "replace": "The previous run is cancelled. The new run starts once it has stopped.",
        }[self.value]


class Absence(enum.StrEnum):
    """What to do with a run whose executor does not answer."""

    WAIT = "wait"  # the run continues when the executor is back
    FAIL = "fail"  # that executor's part of the run fails

    @property
    def label(self) -> str:
        """Return the label for pages."""
        return {"wait": "Wait for it", "fail": "Fail"}[self.value]

    @property
    def meaning(self) -> str:
        """Return the explanation for pages."""
        return {
            "wait": "The run continues when the executor is back, unless it times out first.",
            "fail": "The run fails: at once if it has not started, otherwise after five minutes.",
        }[self.value]


class OldDatabases(enum.StrEnum):
    """What a scan does if its databases are too old."""

    UPDATE = "update"  # they are updated first
    WAIT = "wait"  # until something else has updated them
    FAIL = "fail"

    @property
    def label(self) -> str:
        """Return the label for pages."""
        return {"update": "Update them first", "wait": "Wait for an update", "fail": "Fail"}[self.value]


# Ends the reason of a pause that only an edit ends; all others end when the host is back.
EDIT_TO_RESUME = "Edit the schedule to resume the task."


class ScheduledTask(Base):
    """A scheduled scan of a host or tag, or database update.

    Locks are taken in one order: tasks, by id, then their runs, by id. A task is locked with FOR NO KEY
    UPDATE. A worker that holds a run only needs its task's key, for the foreign key of the run, and that
    lock does not keep it waiting.
    """

    __tablename__ = "scheduled_tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    description: Mapped[str] = mapped_column(default="")
    task_type: Mapped[TaskType]
    scan_type: Mapped[ScanType | None]
    database_type: Mapped[DatabaseType | None]
    host_id: Mapped[int | None] = mapped_column(ForeignKey("hosts.id"), index=True)
    host_tag: Mapped[str | None] = mapped_column(
        String(32), index=True
    )  # each run resolves it to hosts when it starts
    cron_expression: Mapped[str] = mapped_column(String(cron.LENGTH))
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    active: Mapped[bool] = mapped_column(default=True)
    overlap: Mapped[Overlap] = mapped_column(default=Overlap.SKIP, server_default=Overlap.SKIP.value)
    absence: Mapped[Absence] = mapped_column(default=Absence.WAIT, server_default=Absence.WAIT.value)
    # How many hours ago a scan's databases may have been updated; None is any age.
    database_hours: Mapped[int | None]
    old_databases: Mapped[OldDatabases] = mapped_column(
        default=OldDatabases.UPDATE, server_default=OldDatabases.UPDATE.value
    )
    ping_url: Mapped[str | None]  # encrypted: see notifications.task_pings
    next_run_at: Mapped[datetime | None]  # None while the task is inactive or paused
    # Set while its host is retired, or its schedule cannot be read. `active` is the user's choice and does
    # not change.
    paused_at: Mapped[datetime | None]
    paused_reason: Mapped[str | None]
    # The newest run that is neither skipped nor waiting for another: the source of "last status".
    last_run_id: Mapped[int | None] = mapped_column(
        ForeignKey("runs.id", ondelete="SET NULL", use_alter=True), index=True
    )
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    host: Mapped[Host | None] = relationship(active_history=True)  # for the audit trail
    last_run: Mapped["Run | None"] = relationship(foreign_keys=[last_run_id], post_update=True)

    __table_args__ = (
        # Names that differ only in case would confuse readers.
        Index("uq_scheduled_tasks_lower_name", func.lower(name), unique=True),
        # For finding due tasks: active ones only, oldest slot first.
        Index("ix_scheduled_tasks_due", "next_run_at", postgresql_where=text("active")),
        CheckConstraint(
            "(task_type = 'scan' AND (host_id IS NULL) <> (host_tag IS NULL) AND scan_type IS NOT NULL"
            " AND database_type IS NULL)"
            " OR (task_type = 'db_update' AND host_id IS NULL AND host_tag IS NULL AND scan_type IS NULL"
            " AND database_type IS NOT NULL)"
            " OR (task_type = 'detection' AND host_id IS NULL AND host_tag IS NULL AND scan_type IS NULL"
            " AND database_type IS NULL)",
            name="target_fits_type",
        ),
        CheckConstraint("(paused_at IS NULL) = (paused_reason IS NULL)", name="pause_says_why"),
    )

    def plan(self, now: datetime) -> None:
        """Set the next slot, or pause the task if there is none.

        The schedule was valid when it was saved, but this machine may not know its zone, or no longer.
        """
        self.paused_at = self.paused_reason = self.next_run_at = None
        try:
            slot = cron.next_slot(self.cron_expression, self.timezone, now)
        except cron.CronError as error:
            self.paused_at, self.paused_reason = now, f"{error} {EDIT_TO_RESUME}"
        else:
            self.next_run_at = slot if self.active else None

    @property
    def target(self) -> str:
        """Return the target for pages: a host, a tag or a database."""
        if self.task_type is TaskType.SCAN:
            return self.host.name if self.host else f"tag: {self.host_tag}"
        if self.task_type is TaskType.DETECTION:
            return "All hosts"
        return self.database_type.label if self.database_type else ""
