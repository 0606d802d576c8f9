"""The recipe of a connection test.

It runs `vuls configtest` for each server and reads the output into outcomes.
"""

import dataclasses

from executor.errors import JobError
from executor.jobs.job import JobStatus
from executor.recipes import configtest_output
from executor.recipes.commands import configtest_command
from executor.recipes.context import JobContext
from executor.recipes.targets import (
    BAD_CONFIGURATION,
    Target,
    prepare_targets,
    read_shared_config,
    run_configtest_step,
    run_vuls,
)

MAX_OUTPUT_BYTES = 16 * 1024 * 1024


def test_connections(context: JobContext) -> None:
    """Test the job's servers.

    The job completes with an outcome for each server, whatever the outcome.
    """
    settings = context.settings
    version = (context.engine.tools()["vuls"] or {}).get("version")

    def test_one(target: Target) -> None:
        command = configtest_command(
            target.folder, settings.step_timeout_seconds, settings.connect_timeout_seconds, verbose=True
        )
        output = bytearray()
        ended = run_vuls(context, target, command, fails_job=False, read=output.extend)
        if ended:
            refused = ended.exit_code == BAD_CONFIGURATION
            tests = configtest_output.read(target.server, bytes(output[-MAX_OUTPUT_BYTES:]), refused=refused)
        else:
            outcomes = configtest_output.Outcome
            outcome = outcomes.CONFIGURATION if target.refusal else outcomes.TIMEOUT
            tests = [configtest_output.ConfigTest(target.server, outcome, target.error)]
        context.job.tests += [dataclasses.asdict(test) | {"vuls": version} for test in tests]

    try:
        targets = prepare_targets(context, read_shared_config(context))
        run_configtest_step(context, targets, test_one)
        context.job.end(JobStatus.COMPLETED)
    except JobError as failure:
        context.job.end(JobStatus.FAILED, str(failure))
