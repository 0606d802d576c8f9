"""The ways in which a job can fail or stop.

Every message is a sentence for people.
"""


class StepError(Exception):
    """A step failed; later steps may still run."""


class ToolMissingError(StepError):
    """The tool is not installed where the executor looks."""


class ToolTimeoutError(StepError):
    """The tool was stopped because it exceeded its time limit."""


class JobError(StepError):
    """A step failed, and the rest of the job needs it."""


class StoppedError(Exception):
    """Someone asked for the job to stop."""


class CancelledError(StoppedError):
    """The caller cancelled the job."""


class ShutDownError(StoppedError):
    """The runner was told to exit."""
