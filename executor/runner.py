"""A detached process that runs jobs of one lane, one after the other, until none waits.

It is started with a locked slot and ends when it finds nothing more to do. The web process may
come and go meanwhile: all they share is on disk.
"""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from executor import config, dispatch
from executor.engines.choice import engine
from executor.errors import CancelledError, ShutDownError
from executor.jobs.store import Job, JobStatus, JobStore
from executor.recipes.scans import scan
from executor.recipes.updates import update
from executor.recipes.context import Work

log = logging.getLogger(__name__)

RECIPES = {"scan": scan, "database_update": update}


class Runner:
    """Runs the waiting jobs of one lane."""

    def __init__(self, settings: config.Settings, lane: str) -> None:
        self.settings = settings
        self.lane = lane
        self.store = JobStore(settings.data_dir, settings.work_dir)
        self.engine = engine(settings)
        self.is_told_to_end = False

    def run(self, slot: int | None) -> None:
        """Run jobs for as long as there are any and a slot for them."""
        while slot is not None:
            try:
                while self._run_next() and not self.is_told_to_end:
                    pass
            finally:
                os.close(slot)
            # A job that came just before the slot was given back found none free.
            if self.is_told_to_end or not dispatch.waiting(self.store, self.lane, self.engine):
                return
            slot = dispatch.take_slot(self.settings, self.lane)

    def tell_to_end(self, _number: int, _frame: FrameType | None) -> None:
        """Signal handler: the job at hand is stopped and reported as lost."""
        self.is_told_to_end = True

    def _run_next(self) -> bool:
        with self._next_job() as job:
            if job is None:
                return False
            self._run(job)
        self.store.prune(self.settings.keep_jobs_days)
        self.engine.sweep(self.store.is_open)
        return True

    @contextlib.contextmanager
    def _next_job(self) -> Iterator[Job | None]:
        for job_id in dispatch.waiting(self.store, self.lane, self.engine):
            with self.store.owned(job_id) as job:
                if job is not None and dispatch.is_to_be_run(job, self.engine):
                    yield job
                    return
        yield None

    def _run(self, job: Job) -> None:
        def check() -> None:
            if self.store.is_to_be_cancelled(job.id):
                raise CancelledError
            if self.is_told_to_end:
                raise ShutDownError

        try:
            work = Work(self.settings, self.store, job, check)
            with work.begun():
                RECIPES[job.kind](work)
        except CancelledError:
            job.end(JobStatus.CANCELLED)
        except ShutDownError:
            # Where the engine adopts, the next runner takes the job up as it is.
            if not self.engine.adopts:
                job.end(JobStatus.LOST, dispatch.LOST)
        except Exception:
            log.exception("job %s: the executor failed", job.id)
            job.end(JobStatus.FAILED, "The executor itself failed on this job; its runner.log says more.")
        finally:
            self.store.save(job)


def main() -> None:
    """Run as `python -m executor.runner LANE SLOT`, the slot being an inherited locked descriptor."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    lane, slot = sys.argv[1], int(sys.argv[2])
    # Tools must not inherit it, or one that lingers would keep the slot.
    os.set_inheritable(slot, False)  # noqa: FBT003 (it takes no keyword)
    runner = Runner(config.settings(config.environment()), lane)
    signal.signal(signal.SIGTERM, runner.tell_to_end)
    runner.run(slot)


if __name__ == "__main__":
    main()
