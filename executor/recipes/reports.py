"""Reports: Vuls looks for the vulnerabilities of documents that scans left."""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from executor.databases.catalogue import CURRENT, SECTIONS, profile_databases
from executor.errors import StepError
from executor.jobs.job import Step
from executor.recipes.commands import report_command
from executor.recipes.context import JobContext, failure_message

# The time in a document that `vuls report` has not processed.
NEVER_REPORTED = "0001-01-01T00:00:00Z"


@contextlib.contextmanager
def report_step(context: JobContext) -> Iterator[tuple[Step, dict[str, Path]]]:
    """Open the step `report`; yield it and the live databases.

    They are not replaced meanwhile. Those with content are noted in the job.
    """
    profile = context.settings.profile
    with (
        context.step("report") as step,
        context.databases.lock_for_reading(SECTIONS[profile], context.check) as live,
    ):
        context.job.databases = context.databases.present(profile_databases(profile))
        step.unit = "documents"
        yield step, live


def require_database(context: JobContext, live: Mapping[str, Path]) -> None:
    """Raise StepError without the one database of the profile `current`.

    Otherwise Vuls would say so for each host, less clearly.
    """
    if context.settings.profile == CURRENT and not live:
        raise StepError("There is no vuls2 database yet: run a database update.")


def report(context: JobContext, folder: Path, results: Path, documents: Mapping[Path, str]) -> str:
    """Have Vuls add the vulnerabilities to documents, in one process.

    It reads config.toml in `folder`. `documents` gives the name of each below `results`: the name of a folder
    that is a time, and the host's. Return the error to show for those that it did not report.
    """
    command = report_command(folder, results, context.settings.step_timeout_seconds)
    # Vuls rewrites the documents where it finds them.
    copies = {path: results / name for path, name in documents.items()}
    try:
        if not context.is_started(command):
            for path, copy in copies.items():
                copy.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
                shutil.copyfile(path, copy)
        error = failure_message(command, context.run(command, folder=folder))
    except StepError as failure:
        error = str(failure)
    for path, copy in copies.items():
        # It is missing if an earlier runner moved it already.
        if copy.exists():
            copy.replace(path)
    return error


def read_document(path: Path) -> dict[str, Any]:
    """Return a document; empty if it cannot be read.

    The caller gets such a document unchanged and judges it.
    """
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def is_reported(path: Path) -> bool:
    """Return whether a report has processed the document."""
    # Without the time of day: Vuls writes it in its own zone.
    reported_at = str(read_document(path).get("reportedAt", NEVER_REPORTED))
    return not reported_at.startswith(NEVER_REPORTED[:10])


def publish(context: JobContext, name: str, path: Path) -> None:
    """Move a document of a host to the job's results."""
    job = context.job
    number = len(job.results)
    public = context.store.result(job.id, number)
    # A move also works between disks.
    shutil.move(path, public)
    refuse_if_too_large(public, context.settings.result_megabytes, name)
    url = f"/jobs/{job.id}/results/{number}"
    job.results.append({"server": name, "url": url, "size": public.stat().st_size})


def refuse_if_too_large(path: Path, megabytes: int, server: str = "") -> None:
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
