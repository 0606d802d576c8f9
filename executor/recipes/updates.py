"""The recipe of a database update.

It updates one database after another, each independent of the others.
"""

from pathlib import Path

from executor import disk
from executor.databases.catalogue import CATALOGUE, why_ended, why_unused
from executor.errors import StepError
from executor.jobs.job import JobStatus, Step, StepStatus
from executor.recipes.commands import fetch_command, fetch_files
from executor.recipes.context import JobContext, failure_message
from executor.recipes.progress import FetchProgress


def update(context: JobContext) -> None:
    """Fetch each of the job's databases.

    One that fails does not stop the others, and one whose feed has ended is skipped.
    """
    job, databases, tools = context.job, context.databases, context.engine.tools()
    for name in [step.name for step in job.steps]:
        if job.step(name).ended_at:
            # An earlier runner did it.
            continue
        if reason := why_ended(name, (tools.get(CATALOGUE[name].tool) or {}).get("version")):
            job.step(name).end(StepStatus.SKIPPED, reason)
            context.log(reason)
            context.save()
            continue
        with context.step(name) as step:
            step.unit = "rows"
            step.expected = (databases.describe(name) or {}).get("rows")
            if reason := why_unused(name, context.settings.profile):
                # The profile was changed after the request.
                raise StepError(reason)
            if problem := disk.shortage(context.settings.disks):
                raise StepError(problem)
            # A later runner finds what was there before the first.
            job.before.setdefault(name, (databases.describe(name) or {}).get("digest"))
            context.save()
            _fetch(context, step)
        if step.status is StepStatus.COMPLETED and (description := databases.describe(name)):
            digest = description["digest"]
            job.databases[name] = {**description, "changed": digest is None or digest != job.before[name]}
    if any(step.status is StepStatus.COMPLETED for step in job.steps):
        job.end(JobStatus.COMPLETED)
    else:
        job.end(JobStatus.FAILED, job.steps[-1].message)


def _fetch(context: JobContext, step: Step) -> None:
    progress, timeout = FetchProgress(), context.settings.step_timeout_seconds

    def read(data: bytes) -> None:
        progress.feed(data)
        shown = (step.done, step.total)
        step.done, step.total = progress.done or step.done, progress.total
        if (step.done, step.total) != shown:
            context.save_soon()

    def resumes(path: Path) -> bool:
        return context.is_started(fetch_command(step.name, path, timeout))

    def fetch(path: Path) -> None:
        command = fetch_command(step.name, path, timeout)
        if not context.is_started(command):
            for file, text in fetch_files(step.name, path).items():
                file.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        outcome = context.run(command, folder=context.folder, read=read)
        if outcome.exit_code != 0:
            raise StepError(failure_message(command, outcome))

    context.databases.update(step.name, fetch, context.check, workspace=context.folder, resumes=resumes)
