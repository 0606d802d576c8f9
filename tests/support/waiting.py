"""Waiting for something that happens soon."""

import os
import time
from collections.abc import Callable

# A deadline ends what hangs; it measures nothing. Each is written as a quiet machine needs it, and a busy
# one has this many times as long.
PACE = float(os.environ.get("VULSWEB_TEST_PACE", "5"))


def patience(seconds: float) -> float:
    """Return a deadline, or milliseconds of one, at the pace of this machine."""
    return seconds * PACE


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    """Poll until the condition holds; fail after the deadline."""
    deadline = time.monotonic() + patience(seconds)
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience(seconds)} seconds"
        time.sleep(0.05)
