"""The servers of a scan or connection test.

Each has a Vuls process and a folder of its own. In a common process, two servers that hang would keep all the
others from finishing. One that hangs late would take their results with it.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from executor.databases.catalogue import CLASSIC, SECTIONS
from executor.engines import Command, Outcome
from executor.errors import JobError, StepError, ToolMissingError
from executor.jobs.job import Step
from executor.recipes.context import JobContext, failure_message
from executor.recipes.vuls_config import SMALL_DICTIONARIES, check_servers, is_local_machine, servers_config
from executor.requests import InvalidError

# Vuls' exit code when it rejects the configuration.
BAD_CONFIGURATION = 2


@dataclass
class Target:
    """A server of the job.

    It has its folder, its result documents, and the error of its last command.
    """

    server: str
    folder: Path
    documents: list[Path] = field(default_factory=list)
    error: str | None = None
    refusal: str | None = None  # why this executor cannot scan it at all


def read_shared_config(context: JobContext) -> str:
    """Return the text of the shared config.toml.

    Raise JobError if the file cannot be read or does not have all of the job's servers.
    """
    try:
        shared = context.settings.vuls_config.read_text(encoding="utf-8")
        check_servers(shared, context.job.request["servers"])
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"The shared config.toml cannot be read: {error}.") from error
    except InvalidError as error:
        raise JobError(str(error)) from error
    return shared


def prepare_targets(context: JobContext, shared: str) -> list[Target]:
    """Make a folder with a config.toml for each of the job's servers."""
    targets = []
    for number, server in enumerate(context.job.request["servers"]):
        # A number, because the server's name may hold characters that a path cannot.
        target = Target(server, context.folder / "servers" / str(number))
        target.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        write_config(context, shared, [server], target.folder, {})
        if context.settings.docker and is_local_machine(shared, server):
            # A container would find the packages of Vuls' image and report them as the machine's.
            target.refusal = (
                f"{server} is the executor's own machine, which Vuls cannot see from a container."
            )
        targets.append(target)
    return targets


def write_config(
    context: JobContext, shared: str, servers: Sequence[str], folder: Path, live: dict[str, Path]
) -> None:
    """Write a config.toml for some servers into a folder.

    `live` has the live databases by the name of their section in Vuls' configuration.
    """
    scratch = folder / "scratch"
    scratch.mkdir(mode=0o700, exist_ok=True)
    # Vuls creates an empty database where it finds none, which must not happen among the live ones.
    profile = context.settings.profile
    small = SMALL_DICTIONARIES if profile == CLASSIC else ()
    dictionaries = {section: scratch / f"{section}.sqlite3" for section in small}
    dictionaries |= {section: scratch / file for section, file in SECTIONS[profile].items()} | live
    text = servers_config(shared, servers, context.job.request.get("scan_type"), dictionaries)
    config = folder / "config.toml"
    # Never write through a link that a tool may have put in its place.
    config.unlink(missing_ok=True)
    with config.open("x", encoding="utf-8") as file:
        file.write(text)


def run_for_each(
    context: JobContext, step: Step, targets: list[Target], run: Callable[[Target], None]
) -> None:
    """Call `run` for each target, several at a time.

    The step counts the finished targets.
    """
    step.unit, step.done, step.total = "hosts", 0, len(targets)
    context.save()
    with ThreadPoolExecutor(min(context.settings.hosts_at_once, len(targets))) as pool:
        futures = [pool.submit(run, target) for target in targets]
        try:
            for number, future in enumerate(as_completed(futures), 1):
                future.result()
                step.done = number
                context.save_soon()
        finally:
            # Calls that are running notice for themselves that the job is to stop.
            pool.shutdown(wait=True, cancel_futures=True)


def run_vuls(
    context: JobContext,
    target: Target,
    command: Command,
    *,
    fails_job: bool = True,
    read: Callable[[bytes], None] | None = None,
) -> Outcome | None:
    """Run Vuls for one server and keep its error in the target.

    Return None if Vuls did not end normally. With `fails_job`, raise JobError if the job has only this server
    and it cannot be scanned at all.
    """
    target.error = target.refusal
    label = target.server if len(context.job.request["servers"]) > 1 else None
    is_only_server = label is None
    if target.refusal:
        if is_only_server and fails_job:
            raise JobError(target.refusal)
        return None
    try:
        outcome = context.run(command, folder=target.folder, label=label, read=read)
    except ToolMissingError as failure:
        raise JobError(str(failure)) from failure
    except StepError as failure:
        target.error = str(failure)
        return None
    if outcome.exit_code != 0:
        target.error = failure_message(command, outcome)
    if outcome.exit_code == BAD_CONFIGURATION and is_only_server and fails_job:
        raise JobError(target.error or "Vuls rejects the configuration.")
    return outcome


def run_configtest_step(context: JobContext, targets: list[Target], run: Callable[[Target], None]) -> None:
    """Run the step `configtest`, which fails if any server does."""
    with context.step("configtest") as step:
        run_for_each(context, step, targets, run)
        # A scan is tried all the same: only a scan leaves documents with the reasons.
        if failed := [target for target in targets if target.error]:
            raise StepError(summarize_errors(targets, failed))


def summarize_errors(targets: list[Target], failed: list[Target]) -> str:
    """Return the first server's error and how many more there are.

    The error names the server if there are several.
    """
    first = failed[0]
    error = first.error or ""
    if len(targets) == 1:
        return error
    sentence = error if first.server in error else f"{first.server}: {error}"
    return sentence if len(failed) == 1 else f"{sentence} And {len(failed) - 1} more of {len(targets)}."
