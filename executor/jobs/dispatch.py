"""Starts runners for waiting jobs and notices runners that died.

The web process uses it. It writes a job only after becoming its owner for a moment, which works where the job
has no owner.
"""

import logging
import os
import shutil
import subprocess
import sys
import threading
from functools import partial

from executor import locks
from executor.config import Settings
from executor.engines import Engine
from executor.engines.choice import create_engine
from executor.jobs.job import Job, JobStatus
from executor.jobs.store import JobStore
from executor.requests import LANES

log = logging.getLogger(__name__)

# Fetches of different files run at the same time; two of one file wait for each other.
DATABASE_SLOTS = 2
# Someone waits for a connection test: it must not queue behind hours of scans.
TEST_SLOTS = 2
# A report keeps a processor busy, and nobody waits for it.
DETECTION_SLOTS = 1
LOST = "The executor was stopped or killed while this job was running."


def take_slot(settings: Settings, lane: str) -> int | None:
    """Take one of the lane's slots, as a locked descriptor.

    Return None if all slots are taken.
    """
    folder = settings.data_dir / "slots"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    slots = {
        "scan": settings.max_jobs,
        "test": TEST_SLOTS,
        "detection": DETECTION_SLOTS,
        "database_update": DATABASE_SLOTS,
    }
    for number in range(slots[lane]):
        slot = locks.acquire(folder / f"{lane}-{number}")
        if slot is not None:
            return slot
    return None


def is_runnable(job: Job, engine: Engine) -> bool:
    """Return whether to run a job that has no owner.

    It is run if it is new, or if the engine can reattach to it.
    """
    return job.status is JobStatus.QUEUED or (job.status is JobStatus.RUNNING and engine.can_reattach)


def waiting_job_ids(store: JobStore, lane: str, engine: Engine) -> list[str]:
    """Return the ids of the jobs that wait for a runner.

    They are in the order of the queue. Another runner may take one first.
    """
    return [
        job.id
        for job in store.open_jobs(lane)
        if is_runnable(job, engine) and not (job.status is JobStatus.RUNNING and store.is_owned(job.id))
    ]


def end_leftovers(store: JobStore, engine: Engine, job_id: str) -> None:
    """End a job's leftover tools, and remove its work folder."""
    engine.end_leftovers(job_id, store.work_folder(job_id))
    shutil.rmtree(store.work_folder(job_id), ignore_errors=True)


class Dispatcher:
    """Starts runners while jobs wait and slots are free.

    It also corrects the state of jobs whose runner died.
    """

    def __init__(self, settings: Settings, store: JobStore) -> None:
        self.settings = settings
        self.store = store
        self.engine = create_engine(settings)
        store.end_leftovers = partial(end_leftovers, store, self.engine)

    def recover(self) -> None:
        """Clean up after an earlier process and run its waiting jobs."""
        self.store.rename_old_entries()
        self.store.prune(self.settings.keep_jobs_days)
        for job in self.store.open_jobs():
            self.reconcile(job)
        self.engine.remove_orphans(self.store.is_open)
        self.store.remove_orphan_work_folders()
        for lane in LANES:
            self.start_runners(lane)

    def start_runners(self, lane: str) -> None:
        """Start a runner for each waiting job while slots are free."""
        slot = take_slot(self.settings, lane)
        if slot is None:
            # The runners that hold the slots take the next jobs when they are done.
            return
        for _ in waiting_job_ids(self.store, lane, self.engine):
            if slot is None:
                return
            # Its log lines go to our own standard output, and what it does not expect to a file.
            with (self.settings.data_dir / "runner.log").open("ab") as errors:
                try:
                    # It inherits the locked slot, so that the slot is never free in between.
                    process = subprocess.Popen(  # noqa: S603 (our own module)
                        [sys.executable, "-P", "-m", "executor.runner", lane, str(slot)],
                        cwd=self.settings.data_dir,
                        env=self.settings.for_runner(),
                        stdin=subprocess.DEVNULL,
                        stderr=errors,
                        start_new_session=True,
                        pass_fds=(slot,),
                    )
                finally:
                    os.close(slot)
            threading.Thread(target=process.wait, name=f"reaper of {process.pid}", daemon=True).start()
            slot = take_slot(self.settings, lane)
        if slot is not None:
            os.close(slot)

    def needs_runner(self, job: Job) -> bool:
        """Return whether the job waits for a runner.

        The runner would start it or reattach to it.
        """
        if job.status is JobStatus.QUEUED:
            return True
        return is_runnable(job, self.engine) and not self.store.is_owned(job.id)

    def reconcile(self, job: Job) -> Job:
        """Return the job in its true state.

        Mark it as lost if its runner died and nothing can reattach to it.
        """
        if job.status is JobStatus.QUEUED:
            self.store.add_to_open(job)
        if job.status is not JobStatus.RUNNING or self.engine.can_reattach:
            return job
        with self.store.own(job.id) as owned:
            # It is read again: it may have ended before the lock was taken.
            if owned is None or owned.status is not JobStatus.RUNNING:
                return owned or job
            log.warning("job %s: its runner died", owned.id)
            end_leftovers(self.store, self.engine, owned.id)
            owned.end(JobStatus.LOST, LOST)
            self.store.save(owned)
            return owned

    def cancel(self, job: Job) -> Job:
        """Cancel the job.

        A waiting job is cancelled at once. Otherwise its runner cancels it within a moment.
        """
        self.store.request_cancel(job.id)
        with self.store.own(job.id) as owned:
            if owned is not None and owned.status is JobStatus.QUEUED:
                owned.end(JobStatus.CANCELLED)
                self.store.save(owned)
                log.info("job %s: cancelled before it started", owned.id)
                return owned
        job = self.reconcile(self.store.load(job.id) or job)
        if self.needs_runner(job):
            self.start_runners(job.lane)
        return job
