"""A running job as its recipe sees it.

It has steps, a log, commands and databases.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from executor.config import Settings
from executor.databases.folder import DatabaseFolder
from executor.engines import Command, Outcome, PullReporter
from executor.engines.choice import create_engine
from executor.errors import JobError, ShutDownError, StepError
from executor.jobs.job import PUT_BACK, Job, JobStatus, Step, StepStatus, now
from executor.jobs.store import JobStore
from executor.recipes.outcomes import OutcomeStore
from executor.recipes.tool_errors import last_error

# How often progress alone is saved: each save waits for the disk.
SAVE_EVERY_SECONDS = 1.0
LONGEST_LINE = 64 * 1024


class JobContext:
    """What a recipe needs to run a job.

    `check` raises when the job is to stop.
    """

    def __init__(self, settings: Settings, store: JobStore, job: Job, check: Callable[[], None]) -> None:
        self.settings = settings
        self.store = store
        self.job = job
        self.check = check
        self.engine = create_engine(settings)
        self.outcomes = OutcomeStore(store.folder(job.id) / "commands")
        self.databases = DatabaseFolder(settings.databases_dir)
        self.folder = store.work_folder(job.id)
        self._step: Step | None = None
        self._saved_at = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Mark the job as running and give it a work folder.

        The folder is removed at the end. If the runner is told to exit and the engine can reattach,
        everything stays for the next runner.
        """
        self.job.status, self.job.started_at = JobStatus.RUNNING, self.job.started_at or now()
        self.save()
        self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        try:
            yield
        except ShutDownError:
            if not self.engine.can_reattach:
                self._clean_up()
            raise
        except BaseException:
            self._clean_up()
            raise
        self._clean_up()

    def _clean_up(self) -> None:
        if self.engine.can_reattach:
            self.engine.end_leftovers(self.job.id, self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.outcomes.clear()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Open a step and close it.

        A StepError fails the step; a JobError is also raised again.
        """
        self.check()
        step = self.job.step(name)
        # A step that an earlier runner started keeps its start time.
        step.status, step.started_at = StepStatus.RUNNING, step.started_at or now()
        self._step = step
        step.message = PUT_BACK if self.job.interrupted and step is self.job.steps[0] else None
        self.save()
        try:
            yield step
        except StepError as failure:
            step.end(StepStatus.FAILED, str(failure))
            self.log(str(failure))
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
        """Run a command and write its output to the job's log.

        It runs in `folder`, one of the job's. Where several commands run at once, `label` starts each of
        their lines in the log. `read` gets the output too, as it comes. A command that ended under an earlier
        runner is not run again. One that still runs is reattached to, and the log continues where it stopped.
        """
        if self.engine.can_reattach and (ended := self.outcomes.load(command)):
            if read:
                read(ended.tail)
            return ended
        announcement = _log_line(f"{label}: {command}" if label else str(command))
        skip = 0
        if self.engine.can_reattach and self.engine.is_started(self.job.id, command, self.check):
            # Bytes of its output that are in the log already, or lines if it has a label.
            _, _, logged = self.store.whole_log(self.job.id).rpartition(announcement)
            skip = len(logged)
            if label is not None:
                skip = sum(line.startswith(_prefix(label)) for line in logged.split(b"\n"))
        else:
            # Before the announcement, because everything after it in the log is the command's output.
            with self._pull_reporter() as reporter:
                self.engine.prepare(command, reporter)
            self.append_log(announcement)
        with _LogWriter(self.append_log, label, skip) as log:

            def write(data: bytes) -> None:
                log.write(data)
                if read:
                    read(data)

            outcome = self.engine.run(
                command, job_id=self.job.id, folder=folder, write=write, check=self.check
            )
        if self.engine.can_reattach:
            self.outcomes.save(command, outcome)
            self.engine.discard(self.job.id, command)
        return outcome

    @contextlib.contextmanager
    def _pull_reporter(self) -> Iterator[PullReporter]:
        """Yield a reporter that shows megabytes in the current step.

        The step's own counts are restored afterwards.
        """
        step = self._step
        before: list[Any] = []

        def show(done: int, total: int) -> None:
            if step is not None:
                # Saved only now: of several commands that wait for one tool, only one reports.
                before[:] = before or [step.unit, step.done, step.total, step.expected]
                step.unit, step.done, step.total, step.expected = "MB", done // 10**6, total // 10**6, None
                self.save_soon()

        try:
            yield PullReporter(self.log, show, self.check)
        finally:
            if step is not None and before:
                step.unit, step.done, step.total, step.expected = before

    def is_started(self, command: Command) -> bool:
        """Return whether an earlier runner started the command.

        It does not matter whether the command has ended.
        """
        return self.engine.can_reattach and (
            self.outcomes.load(command) is not None
            or self.engine.is_started(self.job.id, command, self.check)
        )

    def append_log(self, data: bytes) -> None:
        """Add a tool's output to the job's log."""
        self.store.append_log(self.job.id, data)

    def log(self, sentence: str) -> None:
        """Write a line of the executor's own to the job's log."""
        self.append_log(_log_line(sentence))

    def save(self) -> None:
        """Save the job to disk."""
        self.store.save(self.job)
        self._saved_at = time.monotonic()

    def save_soon(self) -> None:
        """Save the job, unless it was saved a moment ago.

        In that case, the next save includes the change.
        """
        if time.monotonic() - self._saved_at >= SAVE_EVERY_SECONDS:
            self.save()


def _log_line(sentence: str) -> bytes:
    return f"[executor] {sentence}\n".encode(errors="replace")


def _prefix(label: str) -> bytes:
    return f"[{label}] ".encode(errors="replace")


class _LogWriter:
    """Writes output as it comes, each line with an optional label.

    With a label, only whole lines are written, and they begin with the label. The first `skip` bytes (with a
    label, lines) are in the log already.
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
        """Add the next piece of the output, wherever it was cut."""
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


def failure_message(command: Command, outcome: Outcome) -> str:
    """Return one sentence that says why a command failed."""
    if outcome.reason:
        return f"{command.tool} did not finish: {outcome.reason}."
    if outcome.exit_code < 0:
        return f"{command.tool} was ended by signal {-outcome.exit_code}."
    error = last_error(outcome.tail)
    return error or f"{command.tool} ended with exit code {outcome.exit_code} and no message."
