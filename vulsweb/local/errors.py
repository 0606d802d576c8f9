"""What keeps the stack from running, in words for the person at the terminal."""


class StackError(Exception):
    """The stack cannot run on; the message is one plain sentence."""


class StopRequested(Exception):
    """Somebody asked the stack to stop while it was still starting."""
