"""A short storm over a whole stack; `make faults` is the long one."""

from pathlib import Path

import pytest

from tests.e2e.stack import Stack
from tests.faults.storm import limit, storm


@pytest.mark.timeout(limit(1))
def test_no_slot_is_lost_or_doubled_and_no_run_is_stuck_while_processes_are_killed(open_folder: Path) -> None:
    # This seed begins with PostgreSQL, Redis, executor and worker; then with a runner, once a minute begins.
    books = storm(Stack(open_folder / "storm" / "data", {}), minutes=1, tasks=3, seed=1783)

    assert (books.lost, books.doubled, books.stuck) == ([], [], [])
    assert books.slots >= 3
    assert len(books.faults) >= 4
