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
    """Where a run stands; a terminal state never changes."""

    QUEUED = "queued"  # waiting for a worker
    STARTING = "starting"  # a worker is asking the executor
    RUNNING = "running"  # the executor has accepted the job
    SUCCESS = "success"  # everything asked for was done and stored
    PARTIAL = "partial"  # some of it; run.reason says what is missing
    FAILED = "failed"  # run.reason says why
    TIMEOUT = "timeout"  # past its deadline
    CANCELLED = "cancelled"  # a person stopped it, or a later run that replaces it
    SKIPPED = "skipped"  # never started; run.reason says why

    @property
    def is_active(self) -> bool:
        """Say whether somebody still moves the run."""
        return self in ACTIVE

    @property
    def label(self) -> str:
        """Return the word that people read."""
        return "Timed out" if self is RunStatus.TIMEOUT else self.value.capitalize()


# A slot is seen within a minute while beat and a worker live.
LATE = timedelta(minutes=3)
IN_PROGRESS = (RunStatus.STARTING, RunStatus.RUNNING)
ACTIVE = (RunStatus.QUEUED, *IN_PROGRESS)
DONE = (RunStatus.SUCCESS, RunStatus.PARTIAL)
_DONE_SQL = text("status IN ('success', 'partial')")
_QUEUED_SQL = text("status = 'queued'")
_IN_PROGRESS_SQL = text("status IN ('starting', 'running')")
_ACTIVE_SQL = text("status IN ('queued', 'starting', 'running')")


class Trigger(enum.StrEnum):
    """Who asked for a run."""

    SCHEDULE = "schedule"
    PERSON = "person"
    API = "api"

    @property
    def label(self) -> str:
        """Return the word that people read."""
        return "API" if self is Trigger.API else self.value.capitalize()


class Run(Base):
    """One execution of a task, from queued to its end."""

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
    heartbeat_at: Mapped[datetime | None]  # when a worker last took it up
    cancel_requested_at: Mapped[datetime | None]
    cancel_reason: Mapped[str | None]  # what `reason` is to say once the run has been stopped
    # What is asked for, as it stood when the run was made; later edits of its task leave it alone.
    request: Mapped[dict[str, Any]]
    # Random, out of the form that asked for the run: the form sent twice finds the run that it made.
    request_key: Mapped[str | None] = mapped_column(String(64))
    log_offset: Mapped[int] = mapped_column(default=0)  # the length of its log, in bytes
    reason: Mapped[str | None]
    result_data: Mapped[dict[str, Any] | None]

    task: Mapped[ScheduledTask] = relationship(foreign_keys=[task_id])
    requested_by: Mapped[User | None] = relationship()
    jobs: Mapped[list[RunJob]] = relationship(order_by=RunJob.number, passive_deletes=True)

    __table_args__ = (
        # One run a slot, whoever ticks.
        UniqueConstraint("task_id", "scheduled_for"),
        # Whatever a task's overlap rule, one run of it is queued and one is with the executor, at most:
        # so a second click or tick makes no second run, and no two runs of a task ever go at once.
        Index("uq_runs_queued_task", "task_id", unique=True, postgresql_where=_QUEUED_SQL),
        Index("uq_runs_going_task", "task_id", unique=True, postgresql_where=_IN_PROGRESS_SQL),
        # One run a form, however often it is sent.
        Index(
            "uq_runs_request_key",
            "task_id",
            "request_key",
            unique=True,
            postgresql_where=text("request_key IS NOT NULL"),
        ),
        # For a task's history, newest first.
        Index("ix_runs_history", "task_id", "id"),
        # For history.usual_duration, which must not read through a year of failures.
        Index("ix_runs_usual", "task_id", "id", postgresql_where=_DONE_SQL),
        # For history.stretch: the few runs of a state or trigger among very many, newest first.
        Index("ix_runs_status_id", "status", "id"),
        Index("ix_runs_trigger_id", "trigger", "id"),
        # For the runs that are not over: of some tasks (overlap.standings), and of all.
        Index("ix_runs_active", "task_id", postgresql_where=_ACTIVE_SQL),
    )

    @property
    def late(self) -> timedelta | None:
        """Return how long after its slot the run was made, if nobody can have been there to make it."""
        late = self.created_at - self.scheduled_for if self.scheduled_for else timedelta()
        return late if late > LATE and self.status is not RunStatus.SKIPPED else None

    @property
    def steps(self) -> list[dict[str, Any]]:
        """Return the steps of all its jobs, each with the name of the executor."""
        return [{**step, "executor": job.executor} for job in self.jobs for step in job.steps]

    @property
    def duration(self) -> timedelta | None:
        """Return how long the run took, or None while it has not both started and ended."""
        if self.started_at is None or self.completed_at is None:
            return None
        return self.completed_at - self.started_at


class LogChunk(Base):
    """A piece of a run's log, in the order of `start` (a byte offset)."""

    __tablename__ = "log_chunks"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    start: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    # So that a line of a long log is found without reading the log.
    newlines: Mapped[int] = mapped_column(
        Computed("length(text) - length(replace(text, E'\\n', ''))", persisted=True)
    )
