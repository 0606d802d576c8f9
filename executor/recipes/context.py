"""One job being worked on by its owner: its steps, its log and its commands."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from executor.recipes.tool_errors import complaint
from executor.config import Settings
from executor.databases.folder import DatabaseFolder
from executor.engines import Command, Outcome, Waiting
from executor.engines.choice import engine
from executor.errors import JobError, ShutDownError, StepError
from executor.jobs.store import Job, JobStatus, JobStore, Step, StepStatus, now
from executor.recipes.outcomes import Journal

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
        self.engine = engine(settings)
        self.journal = Journal(store.folder(job.id) / "commands")
        self.databases = DatabaseFolder(settings.databases_dir)
        self.folder = store.work_folder(job.id)
        self._step: Step | None = None
        self._saved_at = 0.0

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        """Mark the job as running and give it a folder to work in, which goes when it ends.

        Where the runner is told to end and the engine adopts, all stays as it is for the next one.
        """
        self.job.status, self.job.started_at = JobStatus.RUNNING, self.job.started_at or now()
        self.save()
        self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        try:
            yield
        except ShutDownError:
            if not self.engine.adopts:
                self._clear()
            raise
        except BaseException:
            self._clear()
            raise
        self._clear()

    def _clear(self) -> None:
        if self.engine.adopts:
            self.engine.end_leftover(self.job.id, self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.journal.clear()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Open a step and close it; a StepError inside is its failure, and only JobError goes on."""
        self.check()
        step = self.job.step(name)
        # One that was begun by a runner that died goes on.
        step.status, step.started_at = StepStatus.RUNNING, step.started_at or now()
        self._step = step
        step.message = None
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
        too, as it comes. A command that ended under a runner that died is not run again; one that still
        runs is adopted, and the log goes on where it broke off.
        """
        if self.engine.adopts and (ended := self.journal.find(command)):
            if read:
                read(ended.tail)
            return ended
        announced = f"{label}: {command}" if label else str(command)
        skip = 0
        if self.engine.adopts and self.engine.is_underway(self.job.id, command, self.check):
            skip = self._logged_since(announced, label)
        else:
            # Before it is announced: what comes after that in the log is the command's own.
            with self._waiting() as waiting:
                self.engine.prepare(command, waiting)
            self.say(announced)
        with _Lines(self.log, label, skip) as log:

            def write(data: bytes) -> None:
                log.write(data)
                if read:
                    read(data)

            outcome = self.engine.run(
                command, job_id=self.job.id, folder=folder, write=write, check=self.check
            )
        if self.engine.adopts:
            self.journal.keep(command, outcome)
            self.engine.forget(self.job.id, command)
        return outcome

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[Waiting]:
        """While a tool comes, the step at hand counts its megabytes; afterwards what it counted before."""
        step = self._step
        before: list[Any] = []

        def tell(done: int, total: int) -> None:
            if step is not None:
                # Only now: of many that wait for one tool, one is told.
                before[:] = before or [step.unit, step.done, step.total, step.expected]
                step.unit, step.done, step.total, step.expected = "MB", done // 10**6, total // 10**6, None
                self.save_soon()

        try:
            yield Waiting(self.say, tell, self.check)
        finally:
            if step is not None and before:
                step.unit, step.done, step.total, step.expected = before

    def is_underway(self, command: Command) -> bool:
        """Say whether an earlier runner began the command, or ended it and got no further."""
        return self.engine.adopts and (
            self.journal.find(command) is not None
            or self.engine.is_underway(self.job.id, command, self.check)
        )

    def _logged_since(self, announced: str, label: str | None) -> int:
        """Return how much of a command's output is in the log: lines where it has a label, else bytes."""
        _, _, output = self.store.whole_log(self.job.id).rpartition(_own_line(announced))
        if label is None:
            return len(output)
        return sum(line.startswith(_prefix(label)) for line in output.split(b"\n"))

    def log(self, data: bytes) -> None:
        """Add a tool's output to the job's log."""
        self.store.append_log(self.job.id, data)

    def say(self, sentence: str) -> None:
        """Write a line of the executor's own to the job's log."""
        self.log(_own_line(sentence))

    def save(self) -> None:
        """Put the job as it is now on disk."""
        self.store.save(self.job)
        self._saved_at = time.monotonic()

    def save_soon(self) -> None:
        """Put the job on disk unless that was done a moment ago: the next save will."""
        if time.monotonic() - self._saved_at >= SAVE_EVERY_SECONDS:
            self.save()


def _own_line(sentence: str) -> bytes:
    return f"[executor] {sentence}\n".encode(errors="replace")


def _prefix(label: str) -> bytes:
    return f"[{label}] ".encode(errors="replace")


class _Lines:
    """Hands output on as it comes or, where it has a label, in whole lines that begin with it.

    The first `skip` bytes, or lines where it has a label, are in the log already.
    """

    def __init__(self, write: Callable[[bytes], None], label: str | None, skip: int = 0) -> None:
        self._write = write
        self._label = _prefix(label) if label else b""
        self._skip = skip
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._rest:
            self._write(self._label + self._rest + b"\n")

    def write(self, data: bytes) -> None:
        """Take the next piece, wherever it was cut."""
        if not self._label:
            known, self._skip = data[: self._skip], max(0, self._skip - len(data))
            if len(known) < len(data):
                self._write(data[len(known) :])
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        fresh, self._skip = lines[self._skip :], max(0, self._skip - len(lines))
        if fresh:
            self._write(b"".join(self._label + line + b"\n" for line in fresh))


def failure_of(command: Command, outcome: Outcome) -> str:
    """Say in one sentence why a command failed."""
    if outcome.because:
        return f"{command.tool} did not come to its end: {outcome.because}."
    if outcome.exit_code < 0:
        return f"{command.tool} was ended by signal {-outcome.exit_code}."
    return complaint(outcome.tail) or f"{command.tool} ended with exit code {outcome.exit_code} and no word."
