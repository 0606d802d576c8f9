"""One job being worked on by its owner: its steps, its log and its commands."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from executor.complaints import complaint
from executor.config import Settings
from executor.databases import DatabaseFolder
from executor.engines import Command, Outcome
from executor.engines.local import LocalEngine
from executor.errors import JobError, StepError
from executor.jobs import Job, JobStatus, JobStore, Step, StepStatus, now

# How often progress alone is put on disk, which waits for the disk each time.
SAVE_EVERY_SECONDS = 1.0
LONGEST_LINE = 64 * 1024


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
        self._saved_at = 0.0

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

    def run(
        self,
        command: Command,
        *,
        folder: Path,
        label: str | None = None,
        read: Callable[[bytes], None] | None = None,
    ) -> Outcome:
        """Run a command in a folder of the job's, its output going to the job's log.

        Where several run at once, `label` stands before each line of the log. `read` is handed the output
        too, as it comes.
        """
        self.say(f"{label}: {command}" if label else str(command))
        with _Lines(self.log, label) as log:

            def write(data: bytes) -> None:
                log.write(data)
                if read:
                    read(data)

            return self.engine.run(command, folder=folder, write=write, check=self.check)

    def log(self, data: bytes) -> None:
        """Add a tool's output to the job's log."""
        self.store.append_log(self.job.id, data)

    def say(self, sentence: str) -> None:
        """Write a line of the executor's own to the job's log."""
        self.log(f"[executor] {sentence}\n".encode(errors="replace"))

    def save(self) -> None:
        """Put the job as it is now on disk."""
        self.store.save(self.job)
        self._saved_at = time.monotonic()

    def save_soon(self) -> None:
        """Put the job on disk unless that was done a moment ago: the next save will."""
        if time.monotonic() - self._saved_at >= SAVE_EVERY_SECONDS:
            self.save()


class _Lines:
    """Hands output on as it comes or, where it has a label, in whole lines that begin with it."""

    def __init__(self, write: Callable[[bytes], None], label: str | None) -> None:
        self._write = write
        self._label = f"[{label}] ".encode(errors="replace") if label else b""
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rest:
            self._write(self._label + self._rest + b"\n")

    def write(self, data: bytes) -> None:
        """Take the next piece, wherever it was cut."""
        if not self._label:
            self._write(data)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        if lines:
            self._write(b"".join(self._label + line + b"\n" for line in lines))


def failure_of(command: Command, outcome: Outcome) -> str:
    """Say in one sentence why a command failed."""
    if outcome.exit_code < 0:
        return f"{command.tool} was ended by signal {-outcome.exit_code}."
    return complaint(outcome.tail) or f"{command.tool} ended with exit code {outcome.exit_code} and no word."
