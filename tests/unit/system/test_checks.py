"""Asking many components at once."""

from threading import Barrier, Event

import pytest

from tests.support.waiting import patience
from vulsweb.system import checks
from vulsweb.system.checks import NoAnswer, ask_all


def test_all_are_asked_at_once() -> None:
    # Nobody passes until all three are there.
    all_three = Barrier(3, timeout=patience(10))

    assert sorted(ask_all(all_three.wait, all_three.wait, all_three.wait)) == [0, 1, 2]


def test_who_hangs_is_not_waited_for_and_takes_no_other_answer_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "TIMEOUT_SECONDS", 2)
    go_on = Event()

    one, other = ask_all(go_on.wait, lambda: "here")
    go_on.set()

    assert (one, other) == (NoAnswer("No answer within 2 seconds."), "here")
