"""Errors of the local stack."""


class StackError(Exception):
    """The stack must stop; the message is one sentence for the terminal."""


class StopRequested(Exception):
    """A stop was requested while the stack was starting."""
