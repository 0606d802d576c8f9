"""Scheduled tasks: what a person asked to have done, and when."""

import enum
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

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

    @property
    def label(self) -> str:
        """Return the words that people read."""
        return {"scan": "Vulnerability Scan", "db_update": "Database Update"}[self.value]


class Overlap(enum.StrEnum):
    """What happens when a task is to run while an earlier run of it is not over."""

    SKIP = "skip"  # the new run is left out
    WAIT = "wait"  # the new run waits for the earlier one to end; one waits at most
    REPLACE = "replace"  # the earlier run is stopped, and the new one starts when it has stopped

    @property
    def label(self) -> str:
        """Return the words that people read."""
        return {"skip": "Skip the new run", "wait": "Let it wait", "replace": "Stop the earlier run"}[
            self.value
        ]

    @property
    def meaning(self) -> str:
        """Return the sentence that explains it."""
        return {
            "skip": "The earlier run goes on, and the history says that this one was left out.",
            "wait": "The new run starts when the earlier one is over. One waits; any more are skipped.",
            "replace": "The earlier run is cancelled. The new one starts when it has really stopped.",
        }[self.value]


class Absence(enum.StrEnum):
    """What becomes of a run whose executor does not answer."""

    WAIT = "wait"  # it goes on when the executor is back
    FAIL = "fail"  # what that executor was to do fails

    @property
    def label(self) -> str:
        """Return the words that people read."""
        return {"wait": "Wait for it", "fail": "Fail"}[self.value]

    @property
    def meaning(self) -> str:
        """Return the sentence that explains it."""
        return {
            "wait": "The run goes on when the executor is back, within the time that a run may take.",
            "fail": "The run fails at once if it has not begun, else after five minutes without a word.",
        }[self.value]


class ScheduledTask(Base):
    """A scan of one host or of all with a tag, or a database update: by a cron line, and on demand."""

    __tablename__ = "scheduled_tasks"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    description: Mapped[str] = mapped_column(default="")
    task_type: Mapped[TaskType]
    scan_type: Mapped[ScanType | None]
    database_type: Mapped[DatabaseType | None]
    host_id: Mapped[int | None] = mapped_column(ForeignKey("hosts.id"), index=True)
    host_tag: Mapped[str | None] = mapped_column(String(32), index=True)  # which hosts: seen at each start
    cron_expression: Mapped[str] = mapped_column(String(120))
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    active: Mapped[bool] = mapped_column(default=True)
    overlap: Mapped[Overlap] = mapped_column(default=Overlap.SKIP, server_default=Overlap.SKIP.value)
    absence: Mapped[Absence] = mapped_column(default=Absence.WAIT, server_default=Absence.WAIT.value)
    next_run_at: Mapped[datetime | None]  # None while the task is inactive or paused
    # Set while its host is retired; `active` is what a person wants and stays as it was.
    paused_at: Mapped[datetime | None]
    paused_reason: Mapped[str | None]
    # The newest run that was not skipped and does not merely wait: what "last status" is about.
    last_run_id: Mapped[int | None] = mapped_column(
        ForeignKey("runs.id", ondelete="SET NULL", use_alter=True), index=True
    )
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    host: Mapped[Host | None] = relationship()
    last_run: Mapped["Run | None"] = relationship(foreign_keys=[last_run_id], post_update=True)

    __table_args__ = (
        # Two names that differ only in case would be one name to a reader.
        Index("uq_scheduled_tasks_lower_name", func.lower(name), unique=True),
        # For schedules.start_due_tasks: looks only at active tasks, oldest slot first.
        Index("ix_scheduled_tasks_due", "next_run_at", postgresql_where=text("active")),
        CheckConstraint(
            "(task_type = 'scan' AND (host_id IS NULL) <> (host_tag IS NULL) AND scan_type IS NOT NULL"
            " AND database_type IS NULL)"
            " OR (task_type = 'db_update' AND host_id IS NULL AND host_tag IS NULL AND scan_type IS NULL"
            " AND database_type IS NOT NULL)",
            name="target_fits_type",
        ),
        CheckConstraint("(paused_at IS NULL) = (paused_reason IS NULL)", name="pause_says_why"),
    )

    @property
    def target(self) -> str:
        """Return what the task is about, in words."""
        if self.task_type is TaskType.SCAN:
            return self.host.name if self.host else f"tag: {self.host_tag}"
        return self.database_type.label if self.database_type else ""
