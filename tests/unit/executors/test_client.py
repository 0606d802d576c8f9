"""Clients of several executors."""

import pytest

from vulsweb.executors.client import ExecutorClient, ExecutorClients, ExecutorError, ExecutorUnavailable
from vulsweb.executors.settings import Executor

KEY = "k" * 32


def test_an_executor_that_did_not_answer_is_not_asked_again() -> None:
    asked: list[str] = []

    def operation(client: ExecutorClient) -> None:
        asked.append(name)
        client.health()

    executors = [
        Executor("main", "http://127.0.0.1:1", KEY),
        Executor("dmz", "http://127.0.0.1:1", KEY, ("d",)),
    ]
    with ExecutorClients(executors) as clients:
        for name in ("main", "main", "dmz", "main", "dmz"):
            with pytest.raises(ExecutorUnavailable, match="does not answer"):
                clients.ask(name, operation)

    assert asked == ["main", "dmz"]


def test_an_executor_that_is_not_configured_cannot_be_asked() -> None:
    with ExecutorClients([]) as clients, pytest.raises(ExecutorError, match="gone is no longer configured"):
        clients.ask("gone", lambda client: client.health())
