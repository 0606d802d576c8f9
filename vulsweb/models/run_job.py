"""The jobs of runs: what the executors do of them."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from vulsweb.extensions import Base


class JobStatus(enum.StrEnum):
    """Where a job stands: in the executor's words, but for the first."""

    WAITING = "waiting"  # its executor does not have it yet
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_with_executor(self) -> bool:
        """Say whether its executor has it and is not done with it."""
        return self in WITH_EXECUTOR

    @property
    def has_ended(self) -> bool:
        """Say whether it will not change any more."""
        return self is not JobStatus.WAITING and not self.is_with_executor


WITH_EXECUTOR = (JobStatus.QUEUED, JobStatus.RUNNING)


class RunJob(Base):
    """What one executor does of a run; a job that has ended here is stored with all that it left."""

    __tablename__ = "run_jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)  # the key under which the executor knows it
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    number: Mapped[int]  # among the run's jobs, from 1
    executor: Mapped[str] = mapped_column(String(32))
    status: Mapped[JobStatus]
    request: Mapped[dict[str, Any]]  # what the executor is asked for
    steps: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    log_offset: Mapped[int] = mapped_column(default=0)  # bytes of its log that are stored
    heartbeat_at: Mapped[datetime | None]  # when the executor last spoke of it
    reason: Mapped[str | None]  # why it waits, or why it did not come to its end

    __table_args__ = (
        Index("ix_run_jobs_run_id", "run_id", "number", unique=True),
        # For the jobs that are followed: those that run, then those that were asked about longest ago.
        Index(
            "ix_run_jobs_open",
            "executor",
            "heartbeat_at",
            postgresql_where=text("status IN ('waiting', 'queued', 'running')"),
        ),
    )
