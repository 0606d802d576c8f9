"""The recipe of a scan: configtest, scan, report, judged by the documents they leave."""

import json
from pathlib import Path
from typing import Any

from executor import kinds
from executor.databases import SECTIONS
from executor.engines import Command, Outcome
from executor.errors import JobError, StepError, ToolMissingError, ToolTimeoutError
from executor.jobs import JobStatus, Step
from executor.work import Work, failure_of

BAD_CONFIGURATION = 2
# What stands in a document that `vuls report` has not seen.
NEVER_REPORTED = "0001-01-01"


def scan(work: Work) -> None:
    """Scan the job's servers; it completes when each has left a document, whatever that says."""
    found: list[Path] = []
    try:
        # Read once: another config.toml in the middle of a job would be another job.
        shared = _shared_config(work)
        _write_config(work, shared, {})
        _configtest(work)
        found = _scan(work)
        _report(work, shared, found)
        error = work.job.step("scan").message if _missing(work, found) else None
    except JobError as failure:
        error = str(failure)
    work.job.results = [_publish(work, number, path) for number, path in enumerate(found)]
    work.job.end(JobStatus.FAILED if error else JobStatus.COMPLETED, error)


def _shared_config(work: Work) -> str:
    try:
        shared = work.settings.vuls_config.read_text(encoding="utf-8")
        kinds.check_servers(shared, work.job.request["servers"])
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"The shared config.toml cannot be read: {error}.") from error
    except kinds.InvalidError as error:
        raise JobError(str(error)) from error
    return shared


def _configtest(work: Work) -> None:
    with work.step("configtest"):
        command = kinds.configtest_command(work.folder, work.settings.step_timeout_seconds)
        outcome = _vuls(work, command)
        # It fails only when no server can be scanned at all. The scan is tried even then: it is
        # the one that leaves documents with the reasons.
        if outcome.exit_code != 0:
            raise StepError(failure_of(command, outcome))


def _scan(work: Work) -> list[Path]:
    found: list[Path] = []
    with work.step("scan") as step:
        results = work.folder / "results"
        results.mkdir(mode=0o700)
        command = kinds.scan_command(work.folder, results, work.settings.step_timeout_seconds)
        outcome = _vuls(work, command)
        found = _documents(results, work.job.request["servers"])
        # It ends with 1 when any server had a problem, and has written the documents all the same.
        if outcome.exit_code != 0:
            step.message = failure_of(command, outcome)
        if not found:
            raise JobError(step.message or "Vuls ended well but left no result.")
        if missing := _missing(work, found):
            raise StepError(f"Vuls left no result for {', '.join(missing)}. {step.message or ''}".strip())
    return found


def _report(work: Work, shared: str, found: list[Path]) -> None:
    with work.step("report") as step, work.databases.reading(work.check) as live:
        work.job.databases = work.databases.present()
        _write_config(work, shared, live)
        waiting = [path for path in found if not _read(path).get("errors")]
        step.done, step.total = 0, len(waiting)
        # One at a time: a server whose database is missing would take the others' findings with it.
        for number, path in enumerate(waiting):
            _report_one(work, step, number, path)
            step.done += 1
            work.save()
        if step.message:
            raise StepError(step.message)


def _report_one(work: Work, step: Step, number: int, path: Path) -> None:
    # Vuls looks for the documents in a folder named by a time, and rewrites them there.
    alone = work.folder / "report" / str(number) / path.parent.name
    alone.mkdir(parents=True, mode=0o700)
    moved = path.rename(alone / path.name)
    command = kinds.report_command(work.folder, alone.parent, work.settings.step_timeout_seconds)
    try:
        said = failure_of(command, work.run(command))
    except StepError as failure:
        said = str(failure)
    finally:
        moved.rename(path)
    if str(_read(path).get("reportedAt", NEVER_REPORTED)).startswith(NEVER_REPORTED):
        step.message = f"{path.stem}: {said}"


def _vuls(work: Work, command: Command) -> Outcome:
    try:
        outcome = work.run(command)
    except (ToolMissingError, ToolTimeoutError) as failure:
        raise JobError(str(failure)) from failure
    if outcome.exit_code == BAD_CONFIGURATION:
        raise JobError(failure_of(command, outcome))
    return outcome


def _write_config(work: Work, shared: str, live: dict[str, Path]) -> None:
    scratch = work.folder / "scratch"
    scratch.mkdir(mode=0o700, exist_ok=True)
    # Vuls creates an empty database where it finds none: that must never be among the live ones.
    dictionaries = {section: scratch / f"{section}.sqlite3" for section in kinds.SMALL_DICTIONARIES}
    dictionaries |= {section: scratch / file for section, file in SECTIONS.items()} | live
    request = work.job.request
    text = kinds.job_config(shared, request["servers"], request["scan_type"], dictionaries)
    (work.folder / "config.toml").write_text(text, encoding="utf-8")


def _documents(results: Path, servers: list[str]) -> list[Path]:
    every = sorted(results.glob("*/*.json"))
    return list(dict.fromkeys(path for server in servers for path in every if _belongs(path.stem, server)))


def _belongs(document: str, server: str) -> bool:
    # A container's document is named container@server; a network's hosts are server(address).
    return document == server or document.endswith(f"@{server}") or document.startswith(f"{server}(")


def _missing(work: Work, found: list[Path]) -> list[str]:
    servers = work.job.request["servers"]
    return [name for name in servers if not any(_belongs(path.stem, name) for path in found)]


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        # Not ours to judge: the reader gets it as it is.
        return {}
    return document if isinstance(document, dict) else {}


def _publish(work: Work, number: int, path: Path) -> dict[str, Any]:
    public = work.store.result(work.job.id, number)
    path.replace(public)
    return {
        "server": path.stem,
        "url": f"/jobs/{work.job.id}/results/{number}",
        "size": public.stat().st_size,
    }
