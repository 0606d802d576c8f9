"""Runs: one execution of a task each."""

import enum
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Computed, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from vulsweb.extensions import Base
from vulsweb.models.run_job import RunJob
from vulsweb.models.task import ScheduledTask
from vulsweb.models.user import User


class RunStatus(enum.StrEnum):
    """The status of a run; a final status never changes."""

    QUEUED = "queued"  # waiting for a worker
    STARTING = "starting"  # a worker is asking the executor
    RUNNING = "running"  # the executor has accepted the job
    SUCCESS = "success"  # everything requested was done and stored
    PARTIAL = "partial"  # only some of it; run.reason says what is missing
    FAILED = "failed"  # run.reason says why
    TIMEOUT = "timeout"  # past its deadline
    CANCELLED = "cancelled"  # by a user, or by a later run that replaces it
    SKIPPED = "skipped"  # never started; run.reason says why

    @property
    def is_active(self) -> bool:
        """Return whether the run has not ended yet."""
        return self in ACTIVE

    @property
    def label(self) -> str:
        """Return the label for pages."""
        return "Timed out" if self is RunStatus.TIMEOUT else self.value.capitalize()


# While beat and a worker are running, a due slot is noticed within a minute.
LATE = timedelta(minutes=3)
IN_PROGRESS = (RunStatus.STARTING, RunStatus.RUNNING)
ACTIVE = (RunStatus.QUEUED, *IN_PROGRESS)
DONE = (RunStatus.SUCCESS, RunStatus.PARTIAL)
_DONE_SQL = text("status IN ('success', 'partial')")
_QUEUED_SQL = text("status = 'queued'")
_IN_PROGRESS_SQL = text("status IN ('starting', 'running')")
_ACTIVE_SQL = text("status IN ('queued', 'starting', 'running')")


class Trigger(enum.StrEnum):
    """What started a run."""

    SCHEDULE = "schedule"
    PERSON = "person"
    API = "api"
    UPDATE = "update"  # of a database, which a detection follows
    DEMAND = "demand"  # of a scan, for newer databases

    @property
    def label(self) -> str:
        """Return the label for pages."""
        named = {
            Trigger.API: "API",
            Trigger.UPDATE: "Database update",
            Trigger.DEMAND: "Scan that needs new databases",
        }
        return named.get(self, self.value.capitalize())


class Run(Base):
    """One execution of a task."""

    __tablename__ = "runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("scheduled_tasks.id", ondelete="CASCADE"))
    status: Mapped[RunStatus]
    trigger: Mapped[Trigger]
    requested_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    scheduled_for: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(index=True)
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]  # when a worker last processed it
    cancel_requested_at: Mapped[datetime | None]
    cancel_reason: Mapped[str | None]  # becomes `reason` once the run has stopped
    # The task's settings when the run was created; later edits of the task do not change them.
    request: Mapped[dict[str, Any]]
    # Random, from the form that started the run: the same form sent twice returns the same run.
    request_key: Mapped[str | None] = mapped_column(String(64))
    log_offset: Mapped[int] = mapped_column(default=0)  # the length of its log, in bytes
    reason: Mapped[str | None]
    result_data: Mapped[dict[str, Any] | None]

    task: Mapped[ScheduledTask] = relationship(foreign_keys=[task_id])
    requested_by: Mapped[User | None] = relationship()
    jobs: Mapped[list[RunJob]] = relationship(order_by=RunJob.number, passive_deletes=True)

    __table_args__ = (
        # One run per slot, even if two workers handle the same tick.
        UniqueConstraint("task_id", "scheduled_for"),
        # Whatever its overlap rule, a task has at most one queued run and one run in progress. So a second
        # click or tick creates no second run, and two runs of a task are never in progress at once.
        Index("uq_runs_queued_task", "task_id", unique=True, postgresql_where=_QUEUED_SQL),
        Index("uq_runs_going_task", "task_id", unique=True, postgresql_where=_IN_PROGRESS_SQL),
        # One run per form, however often it is sent.
        Index(
            "uq_runs_request_key",
            "task_id",
            "request_key",
            unique=True,
            postgresql_where=text("request_key IS NOT NULL"),
        ),
        # For a task's history, newest first.
        Index("ix_runs_history", "task_id", "id"),
        # For history.usual_duration, which must not read a year of failed runs.
        Index("ix_runs_usual", "task_id", "id", postgresql_where=_DONE_SQL),
        # For history.page: the few runs with a status or trigger among very many, newest first.
        Index("ix_runs_status_id", "status", "id"),
        Index("ix_runs_trigger_id", "trigger", "id"),
        # For the active runs: of some tasks (the overlap rule), and of all.
        Index("ix_runs_active", "task_id", postgresql_where=_ACTIVE_SQL),
    )

    @property
    def is_detection(self) -> bool:
        """Return whether it checks stored packages, and contacts no host."""
        return bool(self.request.get("detection"))

    @property
    def late(self) -> timedelta | None:
        """Return the delay after the slot if the scheduler was down."""
        late = self.created_at - self.scheduled_for if self.scheduled_for else timedelta()
        return late if late > LATE and self.status is not RunStatus.SKIPPED else None

    @property
    def steps(self) -> list[dict[str, Any]]:
        """Return the steps of all jobs with their executors' names."""
        return [{**step, "executor": job.executor} for job in self.jobs for step in job.steps]

    @property
    def duration(self) -> timedelta | None:
        """Return how long the run took; None if it has not ended."""
        if self.started_at is None or self.completed_at is None:
            return None
        return self.completed_at - self.started_at


class LogChunk(Base):
    """A piece of a run's log; `start` is its byte offset."""

    __tablename__ = "log_chunks"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    start: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    # Finds a line of a long log without reading the whole log.
    newlines: Mapped[int] = mapped_column(
        Computed("length(text) - length(replace(text, E'\\n', ''))", persisted=True)
    )
