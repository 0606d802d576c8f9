"""Storing and reading the logs of runs."""

import pytest

from vulsweb.extensions import db
from vulsweb.models import Run
from vulsweb.runs import logs


def test_a_log_is_stored_in_pieces_and_read_from_any_of_them(running: Run) -> None:
    for piece, next_offset in (("one\n", 4), ("zwei ü\n", 12), ("", 12)):
        logs.append(running, running.jobs[0], piece, next_offset)
    db.session.commit()

    assert logs.read_from(running.id, 0) == ("one\nzwei ü\n", 12)
    assert logs.read_from(running.id, 4) == ("zwei ü\n", 12)
    assert logs.read_from(running.id, 12) == ("", 12)
    with pytest.raises(ValueError, match="`offset` is 0"):
        logs.read_from(running.id, 5)
