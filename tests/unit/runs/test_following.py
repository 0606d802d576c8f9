"""Beat's messages to the workers: none is lost to a clock, and none is done for nothing."""

import time
from typing import Any

import pytest
from flask import Flask

from tests.conftest import executors_at
from vulsweb import worker
from vulsweb.executors.settings import Executor
from vulsweb.extensions import celery
from vulsweb.runs import jobs as run_jobs
from vulsweb.worker import repeats

EXECUTORS = (*executors_at("http://127.0.0.1:1"), Executor("dmz", "http://127.0.0.1:1", "k" * 32, ("dmz",)))
FREQUENT = ("follow_runs main", "follow_runs dmz", "follow_tests", "sweep")


@pytest.fixture
def polled(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The executors that were looked up for jobs to poll."""
    names: list[str] = []

    def to_poll(executor: str) -> list[Any]:
        names.append(executor)
        return []

    monkeypatch.setattr(run_jobs, "to_poll", to_poll)
    return names


def receive(name: str) -> None:
    """Handle the message that beat sends for an entry of its schedule."""
    entry = worker.beat_table(EXECUTORS)[name]
    celery.tasks[entry["task"]](*entry.get("args", ()), **entry.get("kwargs", {}))


def test_no_message_of_beat_depends_on_two_clocks() -> None:
    options = [entry.get("options", {}) for entry in worker.beat_table(EXECUTORS).values()]

    assert not any({"expires", "eta", "countdown"} & option.keys() for option in options)


@pytest.mark.parametrize("name", FREQUENT)
def test_every_frequent_message_of_beat_may_be_dropped(name: str) -> None:
    assert worker.beat_table(EXECUTORS)[name]["kwargs"] == {"by_beat": True}


def test_messages_that_gathered_while_no_worker_ran_are_done_once(
    polled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [time.monotonic() + 1_000]
    monkeypatch.setattr("vulsweb.worker.repeats.monotonic", lambda: clock[0])
    for _ in range(2_000):
        receive("follow_runs main")
        receive("follow_runs dmz")
    assert polled == ["main", "dmz"]

    clock[0] += worker.FOLLOW_SECONDS
    receive("follow_runs main")
    assert polled == ["main", "dmz", "main"]


def test_messages_that_gathered_during_a_slow_poll_are_dropped(
    polled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [time.monotonic() + 2_000]
    monkeypatch.setattr("vulsweb.worker.repeats.monotonic", lambda: clock[0])

    def to_poll(executor: str) -> list[Any]:
        polled.append(executor)
        clock[0] += 30
        return []

    monkeypatch.setattr(run_jobs, "to_poll", to_poll)
    for _ in range(15):
        receive("follow_runs main")

    assert polled == ["main"]


def test_what_a_person_asks_for_is_never_dropped(polled: list[str]) -> None:
    for _ in range(3):
        worker.follow_runs("main")

    assert polled == ["main"] * 3


def test_a_call_that_fails_counts_as_done() -> None:
    calls: list[int] = []

    @repeats.drop_repeats(60)
    def failing() -> None:
        calls.append(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing(by_beat=True)
    failing(by_beat=True)

    assert len(calls) == 1
