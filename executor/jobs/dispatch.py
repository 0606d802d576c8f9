"""The web process's side of jobs: hands them to runners and notices runners that died.

It writes a job only as its owner, which it becomes for a moment where nobody else is.
"""

import logging
import os
import shutil
import subprocess
import sys
import threading

from executor import locks
from executor.config import Settings
from executor.engines import Engine
from executor.engines.choice import engine
from executor.jobs.store import Job, JobStatus, JobStore
from executor.recipes.commands import LANES

log = logging.getLogger(__name__)

# Fetches of different files go side by side; two of the same file wait for each other.
DATABASE_SLOTS = 2
# A person waits for a connection test: it must not stand behind hours of scans.
TEST_SLOTS = 2
LOST = "The executor was stopped or killed while this job was running."


def take_slot(settings: Settings, lane: str) -> int | None:
    """Take one of the slots of this lane, as a locked descriptor; None if all are taken."""
    folder = settings.data_dir / "slots"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    slots = {"scan": settings.max_jobs, "test": TEST_SLOTS, "database_update": DATABASE_SLOTS}
    for number in range(slots[lane]):
        slot = locks.take(folder / f"{lane}-{number}")
        if slot is not None:
            return slot
    return None


def is_to_be_run(job: Job, engine: Engine) -> bool:
    """Say whether a job that nobody owns is one to run: a new one, or one to take up again."""
    return job.status is JobStatus.QUEUED or (job.status is JobStatus.RUNNING and engine.adopts)


def waiting(store: JobStore, lane: str, engine: Engine) -> list[str]:
    """Return the jobs that wait for a runner, in order; some may have one that is quicker."""
    return [
        job.id
        for job in store.open_jobs(lane)
        if is_to_be_run(job, engine) and not (job.status is JobStatus.RUNNING and store.is_owned(job.id))
    ]


class Dispatcher:
    """Starts runners where jobs wait and a slot is free, and keeps what is on disk true."""

    def __init__(self, settings: Settings, store: JobStore) -> None:
        self.settings = settings
        self.store = store
        self.engine = engine(settings)

    def recover(self) -> None:
        """Take up what an earlier process left behind."""
        self.store.rename_old()
        self.store.prune(self.settings.keep_jobs_days)
        for job in self.store.open_jobs():
            self.settle(job)
        self.engine.sweep(self.store.is_open)
        self.store.sweep_work()
        for lane in LANES:
            self.dispatch(lane)

    def dispatch(self, lane: str) -> None:
        """Start a runner for each job that waits while there is a slot for it."""
        slot = take_slot(self.settings, lane)
        if slot is None:
            # Whoever holds the slots looks for the next job when done.
            return
        for _ in waiting(self.store, lane, self.engine):
            if slot is None:
                return
            self._start_runner(lane, slot)
            slot = take_slot(self.settings, lane)
        if slot is not None:
            os.close(slot)

    def needs_runner(self, job: Job) -> bool:
        """Say whether the job waits for someone to run it, or to take it up again."""
        if job.status is JobStatus.QUEUED:
            return True
        return is_to_be_run(job, self.engine) and not self.store.is_owned(job.id)

    def settle(self, job: Job) -> Job:
        """Return the job as it really is: one that nobody runs any more is lost, or taken up again."""
        if job.status is JobStatus.QUEUED:
            self.store.enlist(job)
        if job.status is not JobStatus.RUNNING or self.engine.adopts:
            return job
        with self.store.owned(job.id) as mine:
            # Read anew: it may have ended between the look and the lock.
            if mine is None or mine.status is not JobStatus.RUNNING:
                return mine or job
            log.warning("job %s: its runner died", mine.id)
            self.engine.end_leftover(mine.id, self.store.work_folder(mine.id))
            shutil.rmtree(self.store.work_folder(mine.id), ignore_errors=True)
            mine.end(JobStatus.LOST, LOST)
            self.store.save(mine)
            return mine

    def cancel(self, job: Job) -> Job:
        """Have the job end: at once if it waits, else its runner sees to it within a moment."""
        self.store.ask_to_cancel(job.id)
        with self.store.owned(job.id) as mine:
            if mine is not None and mine.status is JobStatus.QUEUED:
                mine.end(JobStatus.CANCELLED)
                self.store.save(mine)
                return mine
        job = self.settle(self.store.load(job.id) or job)
        if self.needs_runner(job):
            self.dispatch(job.lane)
        return job

    def _start_runner(self, lane: str, slot: int) -> None:
        # The runner inherits the locked slot: there is no moment in which it belongs to nobody.
        with (self.settings.data_dir / "runner.log").open("ab") as errors:
            try:
                process = subprocess.Popen(  # noqa: S603 (our own module)
                    [sys.executable, "-P", "-m", "executor.runner", lane, str(slot)],
                    cwd=self.settings.data_dir,
                    env=self.settings.for_runner(),
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    start_new_session=True,
                    pass_fds=(slot,),
                )
            finally:
                os.close(slot)
        threading.Thread(target=process.wait, name=f"reaper of {process.pid}", daemon=True).start()
