"""The recipe of a database update: each database in turn, each by itself."""

import functools
from pathlib import Path

from executor import kinds
from executor.errors import StepError
from executor.jobs import JobStatus, StepStatus
from executor.work import Work, failure_of


def update(work: Work) -> None:
    """Fetch every database of the job; one that fails does not stop the others."""
    for name in kinds.databases_of(work.job.request["database"]):
        with work.step(name) as step:
            work.databases.update(name, functools.partial(_fetch, work, name), work.check)
        if step.status is StepStatus.COMPLETED and (description := work.databases.describe(name)):
            work.job.databases[name] = description
    failed = [step for step in work.job.steps if step.status is StepStatus.FAILED]
    if len(failed) < len(work.job.steps):
        work.job.end(JobStatus.COMPLETED)
    else:
        work.job.end(JobStatus.FAILED, failed[-1].message)


def _fetch(work: Work, name: str, path: Path) -> None:
    settings = work.settings
    command = kinds.fetch_command(name, path, settings.https_proxy, settings.step_timeout_seconds)
    outcome = work.run(command)
    if outcome.exit_code != 0:
        raise StepError(failure_of(command, outcome))
