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
    """Poll until the condition holds, less and less often; fail after the deadline."""
    deadline, pause = time.monotonic() + patience(seconds), 0.02
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience(seconds)} seconds"
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)
