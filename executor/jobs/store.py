"""Jobs as folders on disk, so that they outlive the processes that made and ran them.

A job has one owner at a time: whoever holds the lock on its `owner.lock` may write `job.json`.
"""

import codecs
import contextlib
import dataclasses
import enum
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from executor import locks, turns
from executor.jobs.fair_queue import Place
from executor.jobs.workfolders import WorkFolders

LOG_LIMIT_BYTES = 10 * 1024 * 1024
LOG_CUT = b"\n[The log is cut here: it reached its limit.]\n"
LOG_REPLY_BYTES = 256 * 1024
PRUNE_EVERY_SECONDS = 60 * 60
# More than ever run at once.
MOST_RUNNING = 64


class JobStatus(enum.StrEnum):
    """Where a job stands."""

    QUEUED = "queued"  # waiting for a runner
    RUNNING = "running"  # a runner owns it
    COMPLETED = "completed"  # it left what was asked for
    FAILED = "failed"  # job.error says why
    CANCELLED = "cancelled"  # the caller stopped it
    LOST = "lost"  # its runner was stopped or killed in the middle

    @property
    def has_ended(self) -> bool:
        """Say whether nothing will change any more."""
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class StepStatus(enum.StrEnum):
    """Where one step of a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"  # step.message says why
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # the job ended before its turn


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
    expected: int | None = None  # as many as last time, where the tool does not say how many

    def end(self, status: StepStatus, message: str | None = None) -> None:
        """Close the step; a message given earlier stays where none is given now."""
        self.status = status
        self.message = message or self.message
        self.ended_at = now()


@dataclass
class Job:
    """What is known about a job; `request` is what the caller asked for, for comparison."""

    id: str
    kind: str
    request: dict[str, Any]
    steps: list[Step]
    lane: str  # the queue that it stands in, which has slots of its own
    sequence: int  # nanoseconds
    created_at: str
    group: str | None = None  # what it belongs to for its caller: groups get their turns one after the other
    turn: int = 0
    status: JobStatus = JobStatus.QUEUED
    started_at: str | None = None
    ended_at: str | None = None
    error: str | None = None
    results: list[dict[str, Any]] = field(default_factory=list)
    databases: dict[str, dict[str, Any]] = field(default_factory=dict)
    tests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def place(self) -> Place:
        """Return the job's place in the queue."""
        return Place(self.turn, self.sequence, self.lane, self.group or self.id, self.id)

    def step(self, name: str) -> Step:
        """Return the step of that name."""
        return next(step for step in self.steps if step.name == name)

    def end(self, status: JobStatus, error: str | None = None) -> None:
        """Close the job and every step that is still open."""
        open_step = StepStatus.CANCELLED if status is JobStatus.CANCELLED else StepStatus.FAILED
        for step in self.steps:
            if step.status is StepStatus.RUNNING:
                step.end(open_step, error)
            elif step.status is StepStatus.WAITING:
                step.status = StepStatus.SKIPPED
        self.status, self.error, self.ended_at = status, error, now()


def now() -> str:
    """Return the time as the wire has it."""
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
    """Return a queued job that is not on disk yet."""
    every = [Step(name) for name in steps]
    return Job(job_id, kind, request, every, lane or kind, time.time_ns(), now(), group)


class JobStore:
    """The jobs under one folder: `jobs/` holds them all, `open/` names those that have not ended."""

    def __init__(self, data_dir: Path, work_dir: Path | None = None) -> None:
        self.jobs_dir = data_dir / "jobs"
        self.open_dir = data_dir / "open"
        self._work = WorkFolders(work_dir, data_dir / "work.key") if work_dir else None
        for folder in (self.jobs_dir, self.open_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def folder(self, job_id: str) -> Path:
        """Return the folder of a job."""
        return self.jobs_dir / job_id

    def work_folder(self, job_id: str) -> Path:
        """Return where a job's tools run; it goes when the job ends."""
        return self._work.of(job_id) if self._work else self.folder(job_id) / "work"

    def sweep_work(self) -> None:
        """Remove the work folders of jobs that are over."""
        if self._work:
            self._work.sweep(lambda: {job.id for job in self.open_jobs()})

    def result(self, job_id: str, number: int) -> Path:
        """Return the file of a job's n-th result document."""
        return self.folder(job_id) / "results" / f"{number}.json"

    def create(self, job: Job) -> bool:
        """Put a new job on disk, with its turn; False if there is one with its id already."""
        job.turn = self._turn(job)
        making = self.jobs_dir / f".new-{job.id}-{secrets.token_hex(4)}"
        making.mkdir(mode=0o700)
        try:
            (making / "results").mkdir()
            (making / "log").touch()
            _write(making / "job.json", job)
            # Of two that come at once, one rename succeeds: a folder that is not empty stays.
            making.rename(self.folder(job.id))
        except OSError:
            shutil.rmtree(making, ignore_errors=True)
            if self.folder(job.id).is_dir():
                return False
            raise
        _sync(self.jobs_dir)
        self._entry(job).touch()
        return True

    def load(self, job_id: str) -> Job | None:
        """Read a job; None if there is none, or no longer."""
        try:
            document = json.loads((self.folder(job_id) / "job.json").read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        steps = [Step(**{**step, "status": StepStatus(step["status"])}) for step in document["steps"]]
        known = {"lane": document["kind"], **document}
        return Job(**{**known, "steps": steps, "status": JobStatus(document["status"])})

    def save(self, job: Job) -> None:
        """Write a job that this process owns."""
        _write(self.folder(job.id) / "job.json", job)
        if job.status.has_ended:
            self._entry(job).unlink(missing_ok=True)

    def enlist(self, job: Job) -> None:
        """Name a job among those that have not ended; its creator may have died before it did."""
        if not self._entry(job).exists():
            with self.owned(job.id) as mine:
                # As its owner, or it might end between the look and the naming.
                if mine is not None and not mine.status.has_ended:
                    self._entry(mine).touch()

    def rename_old(self) -> None:
        """Give the open jobs of an executor that knew no turns the names that they have now."""
        for entry in self.open_dir.glob("*-*-*"):
            if entry.name.count("-") == 2:
                if job := self.load(entry.name.rpartition("-")[2]):
                    self._entry(job).touch()
                entry.unlink()

    def open_jobs(self, lane: str | None = None) -> list[Job]:
        """Return the jobs that have not ended, in the order of their turns."""
        found = []
        for place in self._places(lane):
            job = self.load(place.job_id)
            if job is None or job.status.has_ended:
                # Its runner died between writing its end and taking its name away.
                (self.open_dir / place.name).unlink(missing_ok=True)
            else:
                found.append(job)
        return found

    def is_open(self, job_id: str) -> bool:
        """Say whether there is such a job and it has not ended."""
        job = self.load(job_id) if job_id else None
        return job is not None and not job.status.has_ended

    def positions(self, lane: str) -> dict[str, int]:
        """Return the place in the queue, from 1, of each job of a lane that waits."""
        ids = [place.job_id for place in self._places(lane)]
        # Jobs get their turn in order, so those that run stand at the front.
        running = [job_id for job_id in ids[:MOST_RUNNING] if not self._is_waiting(job_id)]
        waiting = [job_id for job_id in ids if job_id not in running]
        return {job_id: number for number, job_id in enumerate(waiting, 1)}

    def _places(self, lane: str | None) -> list[Place]:
        every = (Place.read(entry.name) for entry in self.open_dir.iterdir())
        return sorted(place for place in every if lane in (None, place.lane))

    def _turn(self, job: Job) -> int:
        places = self._places(job.lane)
        next_one = next((place for place in places if self._is_waiting(place.job_id)), None)
        return turns.next_turn(job.place.group, places, next_one)

    def _is_waiting(self, job_id: str) -> bool:
        job = self.load(job_id)
        return job is not None and job.status is JobStatus.QUEUED

    @contextlib.contextmanager
    def owned(self, job_id: str) -> Iterator[Job | None]:
        """Become the owner of a job that nobody owns and yield it; None if someone does."""
        try:
            owner = locks.take(self.folder(job_id) / "owner.lock")
        except FileNotFoundError:
            owner = None
        if owner is None:
            yield None
            return
        try:
            yield self.load(job_id)
        finally:
            os.close(owner)

    def is_owned(self, job_id: str) -> bool:
        """Say whether someone owns the job at this moment."""
        try:
            with locks.attempt(self.folder(job_id) / "owner.lock") as free:
                return not free
        except FileNotFoundError:
            return False

    def ask_to_cancel(self, job_id: str) -> None:
        """Leave the mark that a job's runner looks for many times a second."""
        (self.folder(job_id) / "cancel").touch()

    def is_to_be_cancelled(self, job_id: str) -> bool:
        """Say whether the mark was left."""
        return (self.folder(job_id) / "cancel").exists()

    def log_size(self, job_id: str) -> int:
        """Return the bytes in a job's log."""
        try:
            return (self.folder(job_id) / "log").stat().st_size
        except FileNotFoundError:
            return 0

    def append_log(self, job_id: str, data: bytes) -> None:
        """Add what came to the log as it came, up to the log's limit."""
        with (self.folder(job_id) / "log").open("ab", buffering=0) as log:
            room = LOG_LIMIT_BYTES - log.tell()
            if room <= 0:
                return
            log.write(data if len(data) < room else data[:room] + LOG_CUT)

    def whole_log(self, job_id: str) -> bytes:
        """Return all of a job's log, which has a limit."""
        return (self.folder(job_id) / "log").read_bytes()

    def read_log(
        self, job_id: str, offset: int, *, ended: bool, limit: int = LOG_REPLY_BYTES
    ) -> tuple[str, int]:
        """Return text from `offset` on and the offset to go on from.

        A character is never split, and a line only where it is longer than `limit`.
        """
        with (self.folder(job_id) / "log").open("rb") as log:
            log.seek(offset)
            data = log.read(limit)
            is_all = ended and not log.read(1)
        if not is_all and (len(data) < limit or b"\n" in data):
            data = data[: data.rfind(b"\n") + 1]
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data, final=is_all)
        unfinished, _ = decoder.getstate()
        return text, offset + len(data) - len(unfinished)

    def prune(self, keep_days: int) -> None:
        """Remove the jobs that ended longer ago; does nothing when it was done a short while ago."""
        stamp = self.jobs_dir / ".pruned"
        if stamp.exists() and stamp.stat().st_mtime > time.time() - PRUNE_EVERY_SECONDS:
            return
        stamp.touch()
        oldest = time.time() - timedelta(days=keep_days).total_seconds()
        still_open = {job.id for job in self.open_jobs()}
        for entry in list(os.scandir(self.jobs_dir)):
            if entry.is_dir() and entry.name not in still_open and _changed_at(Path(entry.path)) < oldest:
                self._remove(entry.name)

    def _remove(self, name: str) -> None:
        job = None if name.startswith(".") else self.load(name)
        if job is not None and not job.status.has_ended:
            # Its creator died before naming it among the open ones.
            self.enlist(job)
            return
        # Moved first, so that nobody meets half a job.
        leaving = self.jobs_dir / f".old-{name}"
        self.folder(name).rename(leaving)
        shutil.rmtree(leaving, ignore_errors=True)

    def _entry(self, job: Job) -> Path:
        return self.open_dir / job.place.name


def _changed_at(folder: Path) -> float:
    try:
        return (folder / "job.json").stat().st_mtime
    except FileNotFoundError:
        return folder.stat().st_mtime


def _write(path: Path, job: Job) -> None:
    making = path.with_suffix(".new")
    with making.open("wb") as file:
        file.write(json.dumps(dataclasses.asdict(job)).encode())
        file.flush()
        os.fsync(file.fileno())
    making.replace(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
