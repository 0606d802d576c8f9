"""One job being worked on by its owner: its steps, its log and its commands."""

import contextlib
import shutil
from collections.abc import Callable, Iterator

from executor.complaints import complaint
from executor.config import Settings
from executor.databases import DatabaseFolder
from executor.engines import Command, Outcome
from executor.engines.local import LocalEngine
from executor.errors import JobError, StepError
from executor.jobs import Job, JobStatus, JobStore, Step, StepStatus, now


class Work:
    """What a recipe needs to bring one job to its end. `check` raises when the job is to stop."""

    def __init__(self, settings: Settings, store: JobStore, job: Job, check: Callable[[], None]) -> None:
        self.settings = settings
        self.store = store
        self.job = job
        self.check = check
        self.engine = LocalEngine(settings)
        self.databases = DatabaseFolder(settings.databases_dir)
        self.folder = store.work_folder(job.id)

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        """Mark the job as running and give it a folder to work in, which goes when it ends."""
        self.job.status, self.job.started_at = JobStatus.RUNNING, now()
        self.save()
        self.folder.mkdir(mode=0o700, exist_ok=True)
        try:
            yield
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Open a step and close it; a StepError inside is its failure, and only JobError goes on."""
        self.check()
        step = self.job.step(name)
        step.status, step.started_at = StepStatus.RUNNING, now()
        self.save()
        try:
            yield step
        except StepError as failure:
            step.end(StepStatus.FAILED, str(failure))
            self.say(str(failure))
            if isinstance(failure, JobError):
                raise
        except OSError as error:
            step.end(StepStatus.FAILED, f"The executor could not use its files: {error.strerror or error}.")
        else:
            step.end(StepStatus.COMPLETED)
        self.save()

    def run(self, command: Command) -> Outcome:
        """Run a command in the job's folder, its output going to the job's log."""
        self.say(str(command))
        return self.engine.run(command, folder=self.folder, write=self.log, check=self.check)

    def log(self, data: bytes) -> None:
        """Add a tool's output to the job's log."""
        self.store.append_log(self.job.id, data)

    def say(self, sentence: str) -> None:
        """Write a line of the executor's own to the job's log."""
        self.log(f"[executor] {sentence}\n".encode(errors="replace"))

    def save(self) -> None:
        """Put the job as it is now on disk."""
        self.store.save(self.job)


def failure_of(command: Command, outcome: Outcome) -> str:
    """Say in one sentence why a command failed."""
    if outcome.exit_code < 0:
        return f"{command.tool} was ended by signal {-outcome.exit_code}."
    return complaint(outcome.tail) or f"{command.tool} ended with exit code {outcome.exit_code} and no word."
