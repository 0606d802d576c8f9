"""Clients of several executors."""

import contextlib
import socket
import threading
import time

import pytest
from flask import Flask

from tests.support.serving import KeepAlive, serving
from vulsweb.executors import answers
from vulsweb.executors import client as executor_client
from vulsweb.executors.client import ExecutorClient, ExecutorClients, ExecutorError, ExecutorUnavailable, Job
from vulsweb.executors.settings import Executor
from vulsweb.models import JobStatus

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


class Dripping:
    """A server on a real socket: it sends a beginning at once, and then a byte now and then, for ever."""

    def __init__(self, beginning: bytes, drip: bytes, every: float) -> None:
        self.beginning, self.drip, self.every = beginning, drip, every
        self.stopped = threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self.socket.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(self.beginning)
            while not self.stopped.wait(self.every):
                connection.sendall(self.drip)

    def __enter__(self) -> "Dripping":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join()
        self.socket.close()


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("beginning", "drip"),
    [
        (b"", b"H"),
        (OK, b"X"),
        (OK + b"Content-Length: 100000\r\n\r\n", b" "),
        (OK + b"\r\n", b" "),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\n", b" "),
    ],
    ids=["status line", "header", "body", "body without length", "chunks", "continue", "error"],
)
def test_a_call_ends_in_time_though_the_executor_drips(beginning: bytes, drip: bytes) -> None:
    # Without a limit for the whole call this would never end: the server drips until the test is over.
    with (
        Dripping(beginning, drip, every=0.1) as server,
        ExecutorClient(Executor("main", server.url, KEY), read_seconds=1) as client,
        pytest.raises(ExecutorUnavailable, match="does not answer"),
    ):
        client.health()


def test_a_call_on_an_open_connection_has_the_whole_time_again() -> None:
    app = Flask("slow")

    @app.get("/health")
    def health() -> dict[str, str]:
        time.sleep(4)
        return {"status": "ok"}

    with (
        serving(app, KeepAlive) as url,
        ExecutorClient(Executor("main", url, KEY), read_seconds=7) as client,
    ):
        assert [client.health() for _ in range(2)] == [{"status": "ok"}] * 2


@pytest.mark.parametrize("is_result", [False, True], ids=["an answer", "a result"])
def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch, is_result: bool) -> None:
    monkeypatch.setattr(executor_client, "RESULT_BYTES" if is_result else "ANSWER_BYTES", 1 << 20)
    job = Job("", "completed", [], 0, None, [{"server": "a", "url": "/a"}], {})
    with (
        Dripping(OK + b"\r\n", b" " * 65536, every=0) as server,
        ExecutorClient(Executor("main", server.url, KEY)) as client,
        pytest.raises(ExecutorUnavailable, match="an answer of more than 1 MiB"),
    ):
        list(client.results(job)) if is_result else client.health()


def test_the_states_of_the_contract_are_those_of_the_tables() -> None:
    assert set(answers.JOB_STATUSES) == {status.value for status in JobStatus} - {"waiting"}
