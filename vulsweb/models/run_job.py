"""Run jobs: the part of a run that one executor does."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from vulsweb.extensions import Base


class JobStatus(enum.StrEnum):
    """The status of a job: the executor's own values, except the first."""

    WAITING = "waiting"  # not accepted by its executor yet
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_with_executor(self) -> bool:
        """Return whether its executor has accepted the job and not finished it."""
        return self in WITH_EXECUTOR

    @property
    def has_ended(self) -> bool:
        """Return whether the status is final."""
        return self is not JobStatus.WAITING and not self.is_with_executor


WITH_EXECUTOR = (JobStatus.QUEUED, JobStatus.RUNNING)


class RunJob(Base):
    """One executor's part of a run.

    The results are stored in the same transaction as the final status.
    """

    __tablename__ = "run_jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)  # the executor's id of the job too
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    number: Mapped[int]  # among the run's jobs, from 1
    executor: Mapped[str] = mapped_column(String(32))
    status: Mapped[JobStatus]
    request: Mapped[dict[str, Any]]  # the body of the request to the executor
    steps: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    log_offset: Mapped[int] = mapped_column(default=0)  # bytes of its log that have been stored
    heartbeat_at: Mapped[datetime | None]  # when the executor last reported on it
    reason: Mapped[str | None]  # why it waits, or why it did not complete

    __table_args__ = (
        Index("ix_run_jobs_run_id", "run_id", "number", unique=True),
        # For polling: the running jobs, then those polled longest ago.
        Index(
            "ix_run_jobs_open",
            "executor",
            "heartbeat_at",
            postgresql_where=text("status IN ('waiting', 'queued', 'running')"),
        ),
    )
