"""A job and its steps, as they are stored and sent."""

import enum
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from executor.jobs.fair_queue import QueueEntry

PUT_BACK = "The executor was stopped during the first attempt, so the job began again."


class JobStatus(enum.StrEnum):
    """The state of a job."""

    QUEUED = "queued"  # waiting for a runner
    RUNNING = "running"  # a runner owns it
    COMPLETED = "completed"  # it left what was asked for
    FAILED = "failed"  # job.error says why
    CANCELLED = "cancelled"  # the caller stopped it
    LOST = "lost"  # its runner was stopped or killed before the end

    @property
    def has_ended(self) -> bool:
        """Return whether the state is final."""
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class StepStatus(enum.StrEnum):
    """The state of a step."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"  # step.message says why
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # the job ended before it started


@dataclass
class Step:
    """One step of a job."""

    name: str
    status: StepStatus = StepStatus.WAITING
    started_at: str | None = None
    ended_at: str | None = None
    message: str | None = None
    done: int | None = None
    total: int | None = None
    unit: str | None = None  # what is counted
    expected: int | None = None  # the last count, where the tool does not announce a total

    def end(self, status: StepStatus, message: str | None = None) -> None:
        """Close the step; without a message, an earlier one stays."""
        self.status = status
        self.message = message or self.message
        self.ended_at = now()


@dataclass
class Job:
    """A job of the executor.

    `request` is what the caller asked for, to compare with a repeated request.
    """

    id: str
    kind: str
    request: dict[str, Any]
    steps: list[Step]
    lane: str  # its queue, which has its own slots
    sequence: int  # nanoseconds
    created_at: str
    group: str | None = None  # the caller's name for jobs that belong together; groups take turns
    turn: int = 0
    status: JobStatus = JobStatus.QUEUED
    started_at: str | None = None
    ended_at: str | None = None
    error: str | None = None
    results: list[dict[str, Any]] = field(default_factory=list)
    databases: dict[str, dict[str, Any]] = field(default_factory=dict)
    tests: list[dict[str, Any]] = field(default_factory=list)
    before: dict[str, str | None] = field(default_factory=dict)  # digests of what an update replaces
    interrupted: bool = False  # once, by a stop of the executor; a second time, the job is lost

    @property
    def queue_entry(self) -> QueueEntry:
        """Return the job's entry in its queue."""
        return QueueEntry(self.turn, self.sequence, self.lane, self.group or self.id, self.id)

    def step(self, name: str) -> Step:
        """Return the step of that name."""
        return next(step for step in self.steps if step.name == name)

    def end(self, status: JobStatus, error: str | None = None) -> None:
        """Close the job and all steps that are still open."""
        open_step = StepStatus.CANCELLED if status is JobStatus.CANCELLED else StepStatus.FAILED
        for step in self.steps:
            if step.status is StepStatus.RUNNING:
                step.end(open_step, error)
            elif step.status is StepStatus.WAITING:
                step.status = StepStatus.SKIPPED
        self.status, self.error, self.ended_at = status, error, now()

    def put_back(self) -> None:
        """Queue the job again, as a stop of the executor interrupted it.

        It begins anew: of an unfinished attempt only its log is kept, and what was there before it.
        """
        self.status, self.started_at, self.interrupted = JobStatus.QUEUED, None, True
        self.steps = [Step(step.name) for step in self.steps]
        self.results, self.databases, self.tests = [], {}, []


def now() -> str:
    """Return the time in the wire format, such as 2026-01-01T12:00:00Z."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def new_job(
    job_id: str,
    kind: str,
    request: dict[str, Any],
    steps: list[str],
    *,
    lane: str | None = None,
    group: str | None = None,
) -> Job:
    """Return a queued job that has not been stored."""
    return Job(
        job_id, kind, request, [Step(name) for name in steps], lane or kind, time.time_ns(), now(), group
    )
