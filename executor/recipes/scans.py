"""The recipe of a scan: configtest, scan, report, judged by the documents they leave.

Each server is a Vuls process of its own: in a common one, two that hang would keep all the others from
their end, and one that hangs late would take their documents with it.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from executor import configtests, kinds
from executor.databases.catalogue import CLASSIC, CURRENT, SECTIONS, names
from executor.engines import Command, Outcome
from executor.errors import JobError, StepError, ToolMissingError
from executor.jobs.store import JobStatus, Step
from executor.recipes.context import Work, failure_of

BAD_CONFIGURATION = 2
# What stands in a document that `vuls report` has not seen.
NEVER_REPORTED = "0001-01-01"
# A test asks a server three times at most, each time for as long as an answer may take.
CONFIGTEST_TIMEOUTS = 4
MOST_SAID = 16 * 1024 * 1024


@dataclass
class Target:
    """One server of the job: where its tools run, the documents it left, and what went wrong with it."""

    server: str
    folder: Path
    found: list[Path] = field(default_factory=list)
    said: str | None = None
    refusal: str | None = None  # why it cannot be scanned from here at all


def scan(work: Work) -> None:
    """Scan or test the job's servers."""
    if _is_test(work):
        _test(work)
    else:
        _scan(work)


def _is_test(work: Work) -> bool:
    return bool(work.job.request["scan_type"] == kinds.CONFIGTEST)


def _test(work: Work) -> None:
    """Test the servers; it completes with an outcome for each, whatever that is."""
    try:
        _configtest(work, _targets(work, _shared_config(work)))
        work.job.end(JobStatus.COMPLETED)
    except JobError as failure:
        work.job.end(JobStatus.FAILED, str(failure))


def _scan(work: Work) -> None:
    """Scan the servers; it completes when each has left a document, whatever that says."""
    targets: list[Target] = []
    try:
        # Read once: another config.toml in the middle of a job would be another job.
        shared = _shared_config(work)
        targets = _targets(work, shared)
        _configtest(work, targets)
        _scan_each(work, targets)
        _report(work, shared, targets)
        error = work.job.step("scan").message if _missing(targets) else None
    except JobError as failure:
        error = str(failure)
    found = dict.fromkeys(path for target in targets for path in target.found)
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


def _targets(work: Work, shared: str) -> list[Target]:
    targets = []
    for number, server in enumerate(work.job.request["servers"]):
        # Not the server's name: it may hold what a path cannot.
        target = Target(server, work.folder / "servers" / str(number))
        target.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        _write_config(work, shared, target, {})
        if work.settings.docker and kinds.is_own_machine(shared, server):
            # Else it would find the packages of Vuls' own image and call them the machine's.
            target.refusal = (
                f"{server} is the executor's own machine, which Vuls cannot see from a container."
            )
        targets.append(target)
    return targets


def _configtest(work: Work, targets: list[Target]) -> None:
    with work.step("configtest") as step:
        _each(work, step, targets, _configtest_one)
        # It fails only where a server cannot be scanned at all. The scan is tried even then: it is the one
        # that leaves documents with the reasons.
        if failed := [target for target in targets if target.said]:
            raise StepError(_together(targets, failed))


def _configtest_one(work: Work, target: Target) -> None:
    settings, is_test = work.settings, _is_test(work)
    limit = min(settings.step_timeout_seconds, CONFIGTEST_TIMEOUTS * settings.connect_timeout_seconds)
    command = kinds.configtest_command(
        target.folder, limit, settings.connect_timeout_seconds, verbose=is_test
    )
    said = bytearray()
    outcome = _vuls(work, target, command, read=said.extend if is_test else None)
    if not is_test:
        return
    if outcome is None:
        told = configtests.Outcome.CONFIGURATION if target.refusal else configtests.Outcome.TIMEOUT
        tests = [configtests.ConfigTest(target.server, told, target.said)]
    else:
        refused = outcome.exit_code == BAD_CONFIGURATION
        tests = configtests.read(target.server, bytes(said[-MOST_SAID:]), refused=refused)
    work.job.tests += [dataclasses.asdict(test) for test in tests]


def _scan_each(work: Work, targets: list[Target]) -> None:
    with work.step("scan") as step:
        _each(work, step, targets, _scan_one)
        failed = [target for target in targets if target.said]
        if failed:
            step.message = _together(targets, failed)
        missing = _missing(targets)
        if len(missing) == len(targets):
            raise JobError(step.message or "Vuls ended well but left no result.")
        if missing:
            names = ", ".join(target.server for target in missing)
            raise StepError(f"Vuls left no result for {names}. {_together(targets, missing)}".strip())


def _scan_one(work: Work, target: Target) -> None:
    settings = work.settings
    results = target.folder / "results"
    results.mkdir(mode=0o700, exist_ok=True)
    command = kinds.scan_command(
        target.folder, results, settings.step_timeout_seconds, settings.connect_timeout_seconds
    )
    # It ends with 1 when the server had a problem, and has written the document all the same.
    _vuls(work, target, command)
    every = sorted(results.glob("*/*.json"))
    target.found = [path for path in every if _belongs(path.stem, target.server)]


def _each(work: Work, step: Step, targets: list[Target], one: Callable[[Work, Target], None]) -> None:
    step.unit, step.done, step.total = "hosts", 0, len(targets)
    work.save()
    with ThreadPoolExecutor(min(work.settings.hosts_at_once, len(targets))) as pool:
        waiting = [pool.submit(one, work, target) for target in targets]
        try:
            for number, future in enumerate(as_completed(waiting), 1):
                future.result()
                step.done = number
                work.save_soon()
        finally:
            # Those that run see for themselves that the job is to stop.
            pool.shutdown(wait=True, cancel_futures=True)


def _vuls(
    work: Work, target: Target, command: Command, read: Callable[[bytes], None] | None = None
) -> Outcome | None:
    """Run Vuls for one server; what goes wrong is the server's alone. None where it did not end by itself."""
    target.said = target.refusal
    label = target.server if len(work.job.request["servers"]) > 1 else None
    is_hopeless = label is None and not _is_test(work)
    if target.refusal:
        if is_hopeless:
            raise JobError(target.refusal)
        return None
    try:
        outcome = work.run(command, folder=target.folder, label=label, read=read)
    except ToolMissingError as failure:
        raise JobError(str(failure)) from failure
    except StepError as failure:
        target.said = str(failure)
        return None
    if outcome.exit_code != 0:
        target.said = failure_of(command, outcome)
    if outcome.exit_code == BAD_CONFIGURATION and is_hopeless:
        raise JobError(target.said or "Vuls refuses the configuration.")
    return outcome


def _together(targets: list[Target], failed: list[Target]) -> str:
    """Return what the servers' failures come to, naming each server where there are several."""
    if len(targets) == 1:
        return failed[0].said or ""
    first = failed[0]
    said = first.said or ""
    sentence = said if first.server in said else f"{first.server}: {said}"
    return sentence if len(failed) == 1 else f"{sentence} And {len(failed) - 1} more of {len(targets)}."


def _report(work: Work, shared: str, targets: list[Target]) -> None:
    with work.step("report") as step, work.databases.reading(_sections(work), work.check) as live:
        work.job.databases = work.databases.present(names(work.settings.profile))
        if work.settings.profile == CURRENT and not live:
            # Vuls would say so for each host, in words of its own.
            raise StepError("There is no vuls2 database to look into yet: run a database update.")
        for target in targets:
            _write_config(work, shared, target, live)
        every = [(target, path) for target in targets for path in target.found]
        waiting = [(number, *one) for number, one in enumerate(every) if not _read(one[1]).get("errors")]
        step.unit, step.done, step.total = "documents", 0, len(waiting)
        # One at a time: a server whose database is missing would take the others' findings with it.
        for number, target, path in waiting:
            _report_one(work, step, number, target, path)
            step.done += 1
            work.save_soon()
        if step.message:
            raise StepError(step.message)


def _report_one(work: Work, step: Step, number: int, target: Target, path: Path) -> None:
    # Vuls looks for the documents in a folder named by a time, and rewrites them there.
    alone = target.folder / "report" / str(number) / path.parent.name
    alone.mkdir(parents=True, mode=0o700, exist_ok=True)
    copy = alone / path.name
    command = kinds.report_command(target.folder, alone.parent, work.settings.step_timeout_seconds)
    try:
        if not work.is_underway(command):
            shutil.copyfile(path, copy)
        said = failure_of(command, work.run(command, folder=target.folder))
    except StepError as failure:
        said = str(failure)
    # It is not there where a runner that died got further.
    if copy.exists():
        copy.replace(path)
    if str(_read(path).get("reportedAt", NEVER_REPORTED)).startswith(NEVER_REPORTED):
        step.message = f"{path.stem}: {said}"


def _write_config(work: Work, shared: str, target: Target, live: dict[str, Path]) -> None:
    scratch = target.folder / "scratch"
    scratch.mkdir(mode=0o700, exist_ok=True)
    # Vuls creates an empty database where it finds none: that must never be among the live ones.
    small = kinds.SMALL_DICTIONARIES if work.settings.profile == CLASSIC else ()
    dictionaries = {section: scratch / f"{section}.sqlite3" for section in small}
    dictionaries |= {section: scratch / file for section, file in _sections(work).items()} | live
    text = kinds.server_config(shared, target.server, work.job.request["scan_type"], dictionaries)
    config = target.folder / "config.toml"
    # Never into what a tool may have put in its place.
    config.unlink(missing_ok=True)
    with config.open("x", encoding="utf-8") as file:
        file.write(text)


def _sections(work: Work) -> dict[str, str]:
    return SECTIONS[work.settings.profile]


def _belongs(document: str, server: str) -> bool:
    # A container's document is named container@server; a network's hosts are server(address).
    return document == server or document.endswith(f"@{server}") or document.startswith(f"{server}(")


def _missing(targets: list[Target]) -> list[Target]:
    return [target for target in targets if not target.found]


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        # Not ours to judge: the reader gets it as it is.
        return {}
    return document if isinstance(document, dict) else {}


def _publish(work: Work, number: int, path: Path) -> dict[str, Any]:
    public = work.store.result(work.job.id, number)
    # It may come from another disk.
    shutil.move(path, public)
    return {
        "server": path.stem,
        "url": f"/jobs/{work.job.id}/results/{number}",
        "size": public.stat().st_size,
    }
