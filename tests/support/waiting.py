"""Waiting for something that happens soon."""

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Poll until the condition holds; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.2)
