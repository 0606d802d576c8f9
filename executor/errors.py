"""How a job's work can end other than well; every message is a sentence for people."""


class StepError(Exception):
    """A step did not do what it was for; what comes after it may still be done."""


class ToolMissingError(StepError):
    """The tool is not installed where the executor looks."""


class ToolTimeoutError(StepError):
    """The tool was ended because it took longer than its limit."""


class JobError(StepError):
    """A step failed and the steps after it make no sense without it."""


class StoppedError(Exception):
    """Someone asked for the job to end."""


class CancelledError(StoppedError):
    """The caller cancelled the job."""


class ShutDownError(StoppedError):
    """The runner itself was told to end."""
