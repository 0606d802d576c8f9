"""A detached process that runs the jobs of one lane.

It runs one job after another until none is waiting. It is started with a locked slot and exits when there is
nothing left to do. The web process may restart meanwhile: the two share only files.
"""

import logging
import os
import signal
import sys
import time
from functools import partial
from types import FrameType

from executor import config, disk, log_lines
from executor.engines.choice import create_engine
from executor.errors import CancelledError, ShutDownError
from executor.jobs import dispatch
from executor.jobs.job import PUT_BACK, Job, JobStatus
from executor.jobs.store import JobStore
from executor.recipes.context import JobContext
from executor.recipes.detections import detect
from executor.recipes.scans import scan
from executor.recipes.updates import update

log = logging.getLogger(__name__)

DISK_POLL_SECONDS = 1

RECIPES = {"scan": scan, "detection": detect, "database_update": update}


class Runner:
    """Runs the waiting jobs of one lane."""

    def __init__(self, settings: config.Settings, lane: str) -> None:
        self.settings = settings
        self.lane = lane
        self.store = JobStore(settings.data_dir, settings.work_dir)
        self.engine = create_engine(settings)
        self.store.end_leftovers = partial(dispatch.end_leftovers, self.store, self.engine)
        self.is_stopping = False

    def run(self, slot: int | None) -> None:
        """Run jobs while there are any and a slot is free."""
        while slot is not None:
            try:
                while self._run_next() and not self.is_stopping:
                    pass
            finally:
                os.close(slot)
            # A job that arrived just before the slot was freed found no free slot.
            if self.is_stopping or not dispatch.waiting_job_ids(self.store, self.lane, self.engine):
                return
            slot = dispatch.take_slot(self.settings, self.lane)

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal: stop the current job and exit."""
        self.is_stopping = True

    def _run_next(self) -> bool:
        """Run the next job that no other runner takes.

        Return False if there is none. Below the reserve of disk space, all of them wait.
        """
        while not self.is_stopping and disk.shortage(self.settings.disks):
            time.sleep(DISK_POLL_SECONDS)
        for job_id in dispatch.waiting_job_ids(self.store, self.lane, self.engine):
            with self.store.own(job_id) as job:
                if job is None or not dispatch.is_runnable(job, self.engine):
                    continue
                self._run_job(job)
            self.store.prune(self.settings.keep_jobs_days)
            self.engine.remove_orphans(self.store.is_open)
            return True
        return False

    def _leave(self, job: Job) -> None:
        """Leave an interrupted job to the next runner; not twice."""
        if self.engine.can_reattach:
            return
        if job.interrupted:
            job.end(JobStatus.LOST, dispatch.LOST)
        else:
            job.put_back()
            self.store.append_log(job.id, f"{PUT_BACK}\n".encode())

    def _save(self, job: Job) -> None:
        """Save a job; on a full disk, once there is room."""
        while True:
            try:
                self.store.save(job)
                return
            except OSError as error:
                log.error("job %s: its record cannot be written: %s", job.id, error)
                if self.is_stopping:
                    return
            time.sleep(DISK_POLL_SECONDS)

    def _run_job(self, job: Job) -> None:
        def check() -> None:
            if self.store.is_cancel_requested(job.id):
                raise CancelledError
            if self.is_stopping:
                raise ShutDownError

        started = time.monotonic()
        log.info("job %s: %s started", job.id, job.lane)
        try:
            # A job that was started before waits for Docker instead: it may only be restarting.
            if job.status is JobStatus.QUEUED and (problem := self.engine.problem()):
                job.end(JobStatus.FAILED, problem)
                return
            context = JobContext(self.settings, self.store, job, check)
            with context.running():
                RECIPES[job.kind](context)
        except CancelledError:
            job.end(JobStatus.CANCELLED)
        except ShutDownError:
            self._leave(job)
        except OSError as error:
            job.end(JobStatus.FAILED, f"The executor could not use its files: {error.strerror or error}.")
        except Exception:
            log.exception("job %s: the executor failed", job.id)
            job.end(JobStatus.FAILED, "The executor itself failed on this job; see its runner.log.")
        finally:
            self._save(job)
            seconds = time.monotonic() - started
            log.info("job %s: %s after %d s. %s", job.id, job.status.value, seconds, job.error or "")


def main() -> None:
    """Run as `python -m executor.runner LANE SLOT`.

    SLOT is an inherited locked descriptor.
    """
    settings = config.settings(config.environment())
    log_lines.configure(settings, is_server=False)
    lane, slot = sys.argv[1], int(sys.argv[2])
    # Tools must not inherit it: a tool that stays alive would keep the slot taken.
    os.set_inheritable(slot, False)  # noqa: FBT003 (it takes no keyword)
    runner = Runner(settings, lane)
    signal.signal(signal.SIGTERM, runner.stop)
    runner.run(slot)


if __name__ == "__main__":
    main()
