"""The recipe of a database update: each database in turn, each by itself."""

import functools
from pathlib import Path

from executor import kinds
from executor.databases.catalogue import in_vain
from executor.errors import StepError
from executor.jobs.store import JobStatus, Step, StepStatus
from executor.recipes.progress import FetchProgress
from executor.recipes.context import Work, failure_of


def update(work: Work) -> None:
    """Fetch every database of the job; one that fails does not stop the others."""
    for name in [step.name for step in work.job.steps]:
        if work.job.step(name).ended_at:
            # Under a runner that died.
            continue
        with work.step(name) as step:
            step.unit = "rows"
            step.expected = (work.databases.describe(name) or {}).get("rows")
            _update_one(work, step)
        if step.status is StepStatus.COMPLETED and (description := work.databases.describe(name)):
            work.job.databases[name] = description
    failed = [step for step in work.job.steps if step.status is StepStatus.FAILED]
    if len(failed) < len(work.job.steps):
        work.job.end(JobStatus.COMPLETED)
    else:
        work.job.end(JobStatus.FAILED, failed[-1].message)


def _update_one(work: Work, step: Step) -> None:
    if why := in_vain(step.name, work.settings.profile):
        # It was asked for under another profile.
        raise StepError(why)

    def resumes(path: Path) -> bool:
        return work.is_underway(kinds.fetch_command(step.name, path, work.settings.step_timeout_seconds))

    fetch = functools.partial(_fetch, work, step)
    work.databases.update(step.name, fetch, work.check, workspace=work.folder, resumes=resumes)


def _fetch(work: Work, step: Step, path: Path) -> None:
    settings, progress = work.settings, FetchProgress()

    def read(data: bytes) -> None:
        progress.feed(data)
        if (progress.done, progress.total) != (step.done or 0, step.total):
            step.done, step.total = progress.done, progress.total
            work.save_soon()

    command = kinds.fetch_command(step.name, path, settings.step_timeout_seconds)
    if not work.is_underway(command):
        for file, text in kinds.fetch_files(step.name, path).items():
            file.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    outcome = work.run(command, folder=work.folder, read=read)
    if outcome.exit_code != 0:
        raise StepError(failure_of(command, outcome))
