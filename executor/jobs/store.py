"""Stores jobs as folders on disk.

So jobs outlive the processes that create and run them. A job has one owner at a time: the process that holds
the lock on its `owner.lock` may write `job.json`.
"""

import codecs
import contextlib
import dataclasses
import errno
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from executor import locks
from executor.jobs.fair_queue import QueueEntry, next_turn
from executor.jobs.job import Job, JobStatus, Step, StepStatus, new_job
from executor.jobs.workfolders import WorkFolders

log = logging.getLogger(__name__)

LOG_LIMIT_BYTES = 10 * 1024 * 1024
LOG_CUT = b"\n[The log is cut here: it reached its limit.]\n"
LOG_REPLY_BYTES = 256 * 1024
PRUNE_EVERY_SECONDS = 60 * 60
# More jobs than ever run at once.
MAX_RUNNING = 64
# What a bad disk or file system answers for one file, and a folder in the place of a file.
UNREADABLE = (errno.EIO, errno.EBADMSG, errno.EUCLEAN, errno.EISDIR)
DAMAGED_NAME = "job.damaged"
DAMAGED = "The executor's record of this job was damaged, so the job and its results are lost."


class DamagedError(Exception):
    """A job's record is there, but cannot be read."""


class JobStore:
    """The jobs in one folder.

    `jobs/` holds all of them, and `open/` has an entry for each open one.
    """

    def __init__(self, data_dir: Path, work_dir: Path | None = None) -> None:
        self.jobs_dir = data_dir / "jobs"
        self.open_dir = data_dir / "open"
        self._work = WorkFolders(work_dir, data_dir / "work.key") if work_dir else None
        # What to do about the tools of a job whose record is lost; the dispatcher knows the engine.
        self.end_leftovers: Callable[[str], None] = lambda _job_id: None
        for folder in (self.jobs_dir, self.open_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def folder(self, job_id: str) -> Path:
        """Return the folder of a job."""
        return self.jobs_dir / job_id

    def work_folder(self, job_id: str) -> Path:
        """Return the folder that a job's tools run in.

        It is removed when the job ends.
        """
        return self._work.path(job_id) if self._work else self.folder(job_id) / "work"

    def remove_orphan_work_folders(self) -> None:
        """Remove the work folders of jobs that have ended."""
        if self._work:
            self._work.remove_orphans(lambda: {job.id for job in self.open_jobs()})

    def result(self, job_id: str, number: int) -> Path:
        """Return the path of a job's n-th result document."""
        return self.folder(job_id) / "results" / f"{number}.json"

    def documents(self, job_id: str) -> Path:
        """Return the file of what a job is to detect again."""
        return self.folder(job_id) / "documents.json"

    def create(self, job: Job, documents: Sequence[Mapping[str, Any]] = ()) -> bool:
        """Store a new job and give it its turn.

        `documents` are those that a detection needs. Return False if its id is taken.
        """
        entries = self._entries(job.lane)
        first_waiting = next((entry for entry in entries if self._is_waiting(entry.job_id)), None)
        job.turn = next_turn(job.queue_entry.group, entries, first_waiting)
        draft = self.jobs_dir / f".new-{job.id}-{secrets.token_hex(4)}"
        draft.mkdir(mode=0o700)
        try:
            (draft / "results").mkdir()
            (draft / "log").touch()
            if documents:
                _write_synced(draft / "documents.json", json.dumps(documents).encode())
            _write(draft / "job.json", job)
            # If two come at once, only one rename succeeds: it does not replace a folder with content.
            draft.rename(self.folder(job.id))
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            if self.folder(job.id).is_dir():
                return False
            raise
        descriptor = os.open(self.jobs_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._entry_file(job).touch()
        return True

    def load(self, job_id: str) -> Job | None:
        """Read a job; None if it does not exist.

        None too if its record is damaged and it has an owner, which will soon write the record again.
        """
        try:
            return _read(self.folder(job_id) / "job.json")
        except DamagedError:
            with self.own(job_id) as job:
                return job

    def save(self, job: Job) -> None:
        """Store a job that this process owns."""
        _write(self.folder(job.id) / "job.json", job)
        if job.status.has_ended:
            self.documents(job.id).unlink(missing_ok=True)
            self._entry_file(job).unlink(missing_ok=True)

    def add_to_open(self, job: Job) -> None:
        """Add a job's missing entry in `open/`.

        It is missing if the job's creator died before adding it.
        """
        if not self._entry_file(job).exists():
            with self.own(job.id) as owned:
                # Only its owner may add it: otherwise the job could end in between.
                if owned is not None and not owned.status.has_ended:
                    self._entry_file(owned).touch()

    def rename_old_entries(self) -> None:
        """Rename the entries of open jobs that have no turn.

        They were made by an older version, which had no turns.
        """
        for file in self.open_dir.glob("*-*-*"):
            if file.name.count("-") == 2:
                if job := self.load(file.name.rpartition("-")[2]):
                    self._entry_file(job).touch()
                file.unlink()

    def open_jobs(self, lane: str | None = None) -> list[Job]:
        """Return the jobs that have not ended, in queue order."""
        found = []
        for entry in self._entries(lane):
            job = self.load(entry.job_id)
            if job is None and self.is_owned(entry.job_id):
                continue  # its record is damaged, and its owner will write it again
            if job is None or job.status.has_ended:
                # Its runner died after it stored the end and before it removed the entry.
                (self.open_dir / entry.name).unlink(missing_ok=True)
            else:
                found.append(job)
        return found

    def is_open(self, job_id: str) -> bool:
        """Return whether the job exists and has not ended."""
        job = self.load(job_id) if job_id else None
        return job is not None and not job.status.has_ended

    def positions(self, lane: str) -> dict[str, int]:
        """Return the queue position of each waiting job of a lane.

        Positions start at 1.
        """
        ids = [entry.job_id for entry in self._entries(lane)]
        # Jobs start in the order of the queue, so the running ones come first.
        running = [job_id for job_id in ids[:MAX_RUNNING] if not self._is_waiting(job_id)]
        waiting = [job_id for job_id in ids if job_id not in running]
        return {job_id: number for number, job_id in enumerate(waiting, 1)}

    def _entries(self, lane: str | None) -> list[QueueEntry]:
        every = (QueueEntry.parse(file.name) for file in self.open_dir.iterdir())
        return sorted(entry for entry in every if entry and lane in (None, entry.lane))

    def _is_waiting(self, job_id: str) -> bool:
        job = self.load(job_id)
        return job is not None and job.status is JobStatus.QUEUED

    @contextlib.contextmanager
    def own(self, job_id: str) -> Iterator[Job | None]:
        """Become the owner of a job and yield it.

        Yield None if it has an owner or does not exist.
        """
        try:
            owner = locks.acquire(self.folder(job_id) / "owner.lock")
        except FileNotFoundError:
            owner = None
        if owner is None:
            yield None
            return
        try:
            try:
                job = _read(self.folder(job_id) / "job.json")
            except DamagedError as error:
                job = self._replace_record(job_id, error)
            yield job
        finally:
            os.close(owner)

    def _replace_record(self, job_id: str, error: DamagedError) -> Job:
        """Set a damaged record aside; store its job as lost."""
        record = self.folder(job_id) / "job.json"
        aside = record.with_name(DAMAGED_NAME)
        log.error("job %s: its record is damaged and is now %s: %s", job_id, aside, error)
        self.end_leftovers(job_id)
        record.replace(aside)
        entries = [entry for entry in self._entries(None) if entry.job_id == job_id]
        # Nobody knows any more what was asked for.
        job = new_job(job_id, "scan", {}, [], lane=entries[0].lane if entries else None)
        job.end(JobStatus.LOST, DAMAGED)
        _write(record, job)
        for entry in entries:
            (self.open_dir / entry.name).unlink(missing_ok=True)
        return job

    def is_owned(self, job_id: str) -> bool:
        """Return whether the job has an owner now."""
        try:
            with locks.try_lock(self.folder(job_id) / "owner.lock") as is_free:
                return not is_free
        except FileNotFoundError:
            return False

    def request_cancel(self, job_id: str) -> None:
        """Create the file that asks a job's runner to cancel it.

        The runner checks for the file many times a second.
        """
        (self.folder(job_id) / "cancel").touch()

    def is_cancel_requested(self, job_id: str) -> bool:
        """Return whether the caller asked to cancel the job."""
        return (self.folder(job_id) / "cancel").exists()

    def log_size(self, job_id: str) -> int:
        """Return the size of a job's log in bytes."""
        try:
            return (self.folder(job_id) / "log").stat().st_size
        except FileNotFoundError:
            return 0

    def append_log(self, job_id: str, data: bytes) -> None:
        """Add data to a job's log, up to the log's limit.

        The data is added unchanged.
        """
        with (self.folder(job_id) / "log").open("ab", buffering=0) as log:
            room = LOG_LIMIT_BYTES - log.tell()
            if room <= 0:
                return
            log.write(data if len(data) < room else data[:room] + LOG_CUT)

    def whole_log(self, job_id: str) -> bytes:
        """Return a job's whole log, whose size is limited."""
        return (self.folder(job_id) / "log").read_bytes()

    def read_log(
        self, job_id: str, offset: int, *, ended: bool, limit: int = LOG_REPLY_BYTES
    ) -> tuple[str, int]:
        """Return text from `offset` and the offset of the next part.

        It never splits a character, and splits a line only if it is longer than `limit`.
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
        """Remove jobs that ended more than `keep_days` days ago.

        This runs once an hour at most.
        """
        stamp = self.jobs_dir / ".pruned"
        if stamp.exists() and stamp.stat().st_mtime > time.time() - PRUNE_EVERY_SECONDS:
            return
        stamp.touch()
        oldest = time.time() - timedelta(days=keep_days).total_seconds()
        still_open = {job.id for job in self.open_jobs()}
        for entry in list(os.scandir(self.jobs_dir)):
            if not entry.is_dir() or entry.name in still_open:
                continue
            try:
                changed_at = Path(entry.path, "job.json").stat().st_mtime
            except FileNotFoundError:
                changed_at = Path(entry.path).stat().st_mtime
            if changed_at >= oldest:
                continue
            job = None if entry.name.startswith(".") else self.load(entry.name)
            if job is not None and not job.status.has_ended:
                self.add_to_open(job)
                continue
            # Renamed first, so that nobody finds half a job.
            removed = self.jobs_dir / f".old-{entry.name}"
            self.folder(entry.name).rename(removed)
            shutil.rmtree(removed, ignore_errors=True)

    def _entry_file(self, job: Job) -> Path:
        return self.open_dir / job.queue_entry.name


def _read(path: Path) -> Job | None:
    try:
        document = json.loads(path.read_bytes())
        steps = [Step(**{**step, "status": StepStatus(step["status"])}) for step in document["steps"]]
        known = {"lane": document["kind"], **document}
        if document["id"] != path.parent.name:
            raise DamagedError("It is the record of another job.")
        return Job(**{**known, "steps": steps, "status": JobStatus(document["status"])})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        # Anything else, such as missing rights, is not about this record alone.
        if error.errno not in UNREADABLE:
            raise
        raise DamagedError(str(error)) from error
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise DamagedError(f"{type(error).__name__}: {error}") from error


def _write(path: Path, job: Job) -> None:
    draft = path.with_suffix(".new")
    _write_synced(draft, json.dumps(dataclasses.asdict(job)).encode())
    draft.replace(path)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
