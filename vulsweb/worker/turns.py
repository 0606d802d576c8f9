"""Turns of the workers at an executor that is slow."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from vulsweb.executors.client import ExecutorBusy
from vulsweb.extensions import db

# An executor that is well has taken a job long before.
TURN_SECONDS = 2.0


@contextmanager
def turn(executor: str) -> Iterator[None]:
    """Wait for a turn; raise ExecutorBusy if another worker has it."""
    with db.engine.connect() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = {int(TURN_SECONDS * 1000)}"))
        try:
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"launch {executor}"))))
        except OperationalError as error:
            raise ExecutorBusy(f"The executor {executor} is slow: another worker waits for it.") from error
        yield
