"""The recipe of a scan: configtest, scan, report.

The documents that these steps leave decide how the job ends.
"""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from executor.databases.catalogue import CURRENT, SECTIONS, profile_databases
from executor.errors import JobError, StepError
from executor.jobs.job import JobStatus
from executor.recipes.commands import configtest_command, report_command, scan_command
from executor.recipes.connection_tests import test_connections
from executor.recipes.context import JobContext, failure_message
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

# The time in a document that `vuls report` has not processed.
NEVER_REPORTED = "0001-01-01"


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
    for number, path in enumerate(documents):
        public = context.store.result(job.id, number)
        # A move also works between disks.
        shutil.move(path, public)
        _refuse_if_too_large(public, context.settings.result_megabytes, path.stem)
        url = f"/jobs/{job.id}/results/{number}"
        job.results.append({"server": path.stem, "url": url, "size": public.stat().st_size})
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
            _refuse_if_too_large(path, settings.result_megabytes)

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


def _refuse_if_too_large(path: Path, megabytes: int, server: str = "") -> None:
    """Replace a document by one that says that it is too large.

    A scanned host decides how long its lists are, and whoever reads them needs many times their size.
    """
    size = path.stat().st_size
    if size <= megabytes * 10**6:
        return
    problem = (
        f"The result has {size / 10**6:.0f} MB; at most {megabytes} MB are read."
        " If the host is that large, raise EXECUTOR_RESULT_MB."
    )
    document = {
        "jsonVersion": 4,
        "serverName": server or path.stem,
        "family": "unknown",
        "release": "",
        "scannedAt": datetime.now(UTC).isoformat(),
        "errors": [problem],
    }
    path.write_text(json.dumps(document))


def _report(context: JobContext, shared: str, targets: list[Target]) -> None:
    profile = context.settings.profile
    sections = SECTIONS[profile]
    with context.step("report") as step, context.databases.lock_for_reading(sections, context.check) as live:
        context.job.databases = context.databases.present(profile_databases(profile))
        if profile == CURRENT and not live:
            # Otherwise Vuls would say so for each host, less clearly.
            raise StepError("There is no vuls2 database yet: run a database update.")
        for target in targets:
            write_config(context, shared, target, live)
        documents = [(target, path) for target in targets for path in target.documents]
        pending = [
            (number, target, path)
            for number, (target, path) in enumerate(documents)
            if not _read_document(path).get("errors")
        ]
        step.unit, step.done, step.total = "documents", 0, len(pending)
        # One at a time: in a shared report, one missing database would lose the findings of other documents.
        for number, target, path in pending:
            error = _report_document(context, target, path, number)
            if str(_read_document(path).get("reportedAt", NEVER_REPORTED)).startswith(NEVER_REPORTED):
                step.message = f"{path.stem}: {error}"
            step.done += 1
            context.save_soon()
        if step.message:
            raise StepError(step.message)


def _report_document(context: JobContext, target: Target, path: Path, number: int) -> str:
    """Have Vuls add the vulnerabilities to a document.

    Return the error to show if it fails.
    """
    # Vuls looks for documents in a folder named by a time, and rewrites them there.
    results = target.folder / "report" / str(number)
    copy = results / path.parent.name / path.name
    copy.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    command = report_command(target.folder, results, context.settings.step_timeout_seconds)
    try:
        if not context.is_started(command):
            shutil.copyfile(path, copy)
        error = failure_message(command, context.run(command, folder=target.folder))
    except StepError as failure:
        error = str(failure)
    # It is missing if an earlier runner moved it already.
    if copy.exists():
        copy.replace(path)
    return error


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        # The caller gets the document unchanged and judges it.
        return {}
    return document if isinstance(document, dict) else {}
