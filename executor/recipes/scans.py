"""The recipe of a scan: configtest, scan, report.

The documents that these steps leave decide how the job ends.
"""

from executor.errors import JobError, StepError
from executor.jobs.job import JobStatus
from executor.recipes.commands import configtest_command, scan_command
from executor.recipes.connection_tests import test_connections
from executor.recipes.context import JobContext
from executor.recipes.reports import (
    is_reported,
    publish,
    read_document,
    refuse_if_too_large,
    report,
    report_step,
    require_database,
)
from executor.recipes.targets import (
    Target,
    prepare_targets,
    read_shared_config,
    run_configtest_step,
    run_for_each,
    run_vuls,
    summarize_errors,
    write_config,
)
from executor.requests import CONFIGTEST


def scan(context: JobContext) -> None:
    """Scan the job's servers.

    The job completes when each server has left a document, whatever the document says.
    """
    job, settings = context.job, context.settings
    if job.request["scan_type"] == CONFIGTEST:
        test_connections(context)
        return

    def configtest(target: Target) -> None:
        limits = settings.step_timeout_seconds, settings.connect_timeout_seconds
        run_vuls(context, target, configtest_command(target.folder, *limits))

    targets: list[Target] = []
    try:
        # Read once: the file may change while the job runs.
        shared = read_shared_config(context)
        targets = prepare_targets(context, shared)
        run_configtest_step(context, targets, configtest)
        _scan_servers(context, targets)
        _report(context, shared, targets)
        error = None if all(target.documents for target in targets) else job.step("scan").message
    except JobError as failure:
        error = str(failure)
    documents = dict.fromkeys(path for target in targets for path in target.documents)
    job.results = []
    for path in documents:
        publish(context, path.stem, path)
    job.end(JobStatus.FAILED if error else JobStatus.COMPLETED, error)


def _scan_servers(context: JobContext, targets: list[Target]) -> None:
    settings = context.settings

    def scan_one(target: Target) -> None:
        results = target.folder / "results"
        results.mkdir(mode=0o700, exist_ok=True)
        limits = settings.step_timeout_seconds, settings.connect_timeout_seconds
        # Vuls exits with 1 if the server had a problem, and has written a document all the same.
        run_vuls(context, target, scan_command(target.folder, results, *limits))
        # A container's document is named container@server; those of a network's hosts, server(address).
        server = target.server
        target.documents = [
            path
            for path in sorted(results.glob("*/*.json"))
            if path.stem == server or path.stem.endswith(f"@{server}") or path.stem.startswith(f"{server}(")
        ]
        for path in target.documents:
            refuse_if_too_large(path, settings.result_megabytes)

    with context.step("scan") as step:
        run_for_each(context, step, targets, scan_one)
        if failed := [target for target in targets if target.error]:
            step.message = summarize_errors(targets, failed)
        missing = [target for target in targets if not target.documents]
        if len(missing) == len(targets):
            raise JobError(step.message or "Vuls succeeded but left no result.")
        if missing:
            names = ", ".join(target.server for target in missing)
            raise StepError(f"Vuls left no result for {names}. {summarize_errors(targets, missing)}".strip())


def _report(context: JobContext, shared: str, targets: list[Target]) -> None:
    with report_step(context) as (step, live):
        require_database(context, live)
        for target in targets:
            write_config(context, shared, [target.server], target.folder, live)
        documents = [(target, path) for target in targets for path in target.documents]
        pending = [
            (number, target, path)
            for number, (target, path) in enumerate(documents)
            if not read_document(path).get("errors")
        ]
        step.done, step.total = 0, len(pending)
        # One at a time: in a shared report, one missing database would lose the findings of other documents.
        for number, target, path in pending:
            results = target.folder / "report" / str(number)
            error = report(context, target.folder, results, {path: f"{path.parent.name}/{path.name}"})
            if not is_reported(path):
                step.message = f"{path.stem}: {error}"
            step.done += 1
            context.save_soon()
        if step.message:
            raise StepError(step.message)
