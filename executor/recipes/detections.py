"""The recipe of a detection: a report on documents of earlier scans.

No server is contacted.
"""

import json
from pathlib import Path
from typing import Any

from executor.errors import JobError, StepError
from executor.jobs.job import JobStatus
from executor.recipes.context import JobContext
from executor.recipes.reports import (
    NEVER_REPORTED,
    is_reported,
    publish,
    report,
    report_step,
    require_database,
)
from executor.recipes.targets import read_shared_config, write_config

# In one process of Vuls: its start, and opening the databases, take longer than most documents.
TOGETHER = 25
# Vuls looks for documents in a folder named by a time.
_TIME = "2000-01-01T00-00-00+0000"


def detect(context: JobContext) -> None:
    """Have Vuls look for the vulnerabilities of the job's documents.

    The job completes when at least one has been reported; the caller judges each document.
    """
    job = context.job
    documents: dict[str, Path] = {}
    try:
        shared = read_shared_config(context)
        documents = _unpack(context)
        _report(context, shared, documents)
        error = None if any(map(is_reported, documents.values())) else job.step("report").message
    except JobError as failure:
        error = str(failure)
    job.results = []
    for name, path in documents.items():
        publish(context, name, path)
    job.end(JobStatus.FAILED if error else JobStatus.COMPLETED, error)


def _unpack(context: JobContext) -> dict[str, Path]:
    """Write each document into the work folder, as if never reported.

    Those that an earlier runner wrote stay.
    """
    folder = context.folder / "documents"
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        entries = json.loads(context.store.documents(context.job.id).read_bytes())
    except (OSError, ValueError) as error:
        raise JobError(f"The documents of this job cannot be read: {error}.") from error
    written = {}
    for number, entry in enumerate(entries):
        path = written[entry["name"]] = folder / f"{number}.json"
        if not path.exists():
            path.write_text(json.dumps(_never_reported(entry["name"], entry["document"])), encoding="utf-8")
    return written


def _never_reported(name: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return the document as its scan left it.

    Vuls names its file by what the document says, so this is set too.
    """
    container, _, server = name.rpartition("@")
    named: dict[str, Any] = {"serverName": server}
    if container:
        named["container"] = {**(document.get("container") or {}), "name": container}
    never = {"reportedAt": NEVER_REPORTED, "reportedVersion": "", "reportedRevision": ""}
    return document | named | never


def _report(context: JobContext, shared: str, documents: dict[str, Path]) -> None:
    with report_step(context) as (step, live):
        require_database(context, live)
        write_config(context, shared, context.job.request["servers"], context.folder, live)
        step.done, step.total = 0, len(documents)
        for start in range(0, len(documents), TOGETHER):
            some = dict(list(documents.items())[start : start + TOGETHER])
            _report_some(context, some, start)
            step.done += len(some)
            context.save_soon()
        if step.message:
            raise StepError(step.message)


def _report_some(context: JobContext, documents: dict[str, Path], start: int) -> None:
    """Report documents together, then one by one those that are left.

    What is wrong with one would otherwise keep the findings of all others away.
    """
    step = context.job.step("report")
    named = {path: f"{_TIME}/{name}.json" for name, path in documents.items()}
    error = report(context, context.folder, context.folder / f"from-{start}", named)
    for number, (name, path) in enumerate(documents.items(), start):
        if is_reported(path):
            continue
        if len(documents) > 1:
            error = report(context, context.folder, context.folder / f"alone-{number}", {path: named[path]})
        if not is_reported(path):
            step.message = f"{name}: {error}"
