"""Advisory locks on files.

The kernel releases them when their holder dies, however it dies.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

POLL_SECONDS = 0.1


def acquire(path: Path, *, shared: bool = False) -> int | None:
    """Lock the file and return its descriptor.

    Return None if it is locked already. The caller closes the descriptor, which releases the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the lock if it is free; yield whether it was."""
    descriptor = acquire(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextlib.contextmanager
def lock(path: Path, check: Callable[[], None], *, shared: bool = False) -> Iterator[None]:
    """Wait for the lock and hold it.

    `check` is called while waiting and raises to give up.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Polled instead of a blocking flock: a waiting job must still notice that it was cancelled.
    while (descriptor := acquire(path, shared=shared)) is None:
        check()
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)
