"""Slow clients, and errors that gunicorn answers before the application, with a real gunicorn."""

import http.client
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.support.waiting import patience

ROOT = Path(__file__).parents[2]
WORKER = "vulsweb.api.gunicorn_worker.Worker"
APP = """
def app(environ, start_response):
    length = str(len(environ["wsgi.input"].read())).encode()
    start_response("200 OK", [("Content-Length", str(len(length)))])
    return [length]
"""
CONNECTIONS = 200
POST = b"POST / HTTP/1.1\r\nHost: v\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BEGINNINGS = {
    "silent": b"",
    "half a line": b"GET / HT",
    "half the headers": b"GET / HTTP/1.1\r\nHost: v\r\nX-Slow: ",
    "half a body": POST + b"Content-Length: 1000\r\n\r\nname=",
    "half a large body": POST + b"Content-Length: 900000\r\n\r\n" + b"x" * 100_000,
    "half a chunk": CHUNKED + b"400\r\nname=",
    "what looks like the last chunk": CHUNKED + b"400\r\n0\r\n\r\n",
    "a request and a half": b"GET / HTTP/1.1\r\nHost: v\r\n\r\nGET / HT",
    "an open end": b"GET / HTTP/1.0\r\n\r\n",
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A gunicorn with our worker and an application that answers everything."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "answering.py").write_text(APP)
    # Requests wait in the socket until gunicorn has started.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        options = ["--bind", f"fd://{listener.fileno()}", "--threads", "2", "--worker-class", WORKER]
        running = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "answering:app", *options, "--no-control-socket"],
            cwd=folder,
            env={"PYTHONPATH": str(ROOT)},
            pass_fds=[listener.fileno()],
            stderr=subprocess.DEVNULL,
        )
        try:
            yield listener.getsockname()[1]
        finally:
            running.terminate()
            running.wait()


def get(port: int, path: str, headers: dict[str, str]) -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience(120))
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("length", [4094, 8000])
def test_an_address_that_is_too_long_is_a_problem(port: int, length: int) -> None:
    status, content_type, body = get(port, f"/api/runs?status={'x' * length}", {})

    assert (status, content_type) == (414, "application/problem+json")
    problem = json.loads(body)
    assert (problem["status"], problem["title"]) == (414, "URI Too Long")
    assert "at most 4094 characters" in problem["detail"]


@pytest.mark.parametrize(("headers", "status"), [({}, 200), ({"X-Long": "x" * 9000}, 431)])
def test_all_else_is_answered_as_by_gunicorn(port: int, headers: dict[str, str], status: int) -> None:
    assert get(port, "/api/runs", headers)[0] == status


@pytest.mark.parametrize("place", ["Dockerfile", "vulsweb/local/apps.py"])
def test_both_stacks_use_this_worker(place: str) -> None:
    assert WORKER in (ROOT / place).read_text()


def ask(port: int, request: bytes, pieces: int = 1) -> bytes:
    """Send a request in so many pieces; return all that comes until the end of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience(60)) as client:
        # Each piece goes out at once.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        size = len(request) // pieces + 1
        for begin in range(0, len(request), size):
            client.sendall(request[begin : begin + size])
        answer = b""
        while b"\r\n\r\n" not in answer or b"HTTP/1.1 100" in answer[-60:]:
            answer += client.recv(65536)
        head, _, body = answer.rpartition(b"\r\n\r\n")
        length = int(re.findall(rb"Content-Length: (\d+)", head)[-1])
        while len(body) < length:
            body += client.recv(65536)
        return head + b"\r\n\r\n" + body


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=BEGINNINGS)
def test_pages_answer_beside_two_hundred_slow_connections(port: int, beginning: bytes) -> None:
    with ExitStack() as opened:
        for _ in range(CONNECTIONS):
            slow = socket.create_connection(("127.0.0.1", port), timeout=patience(60))
            opened.enter_context(closing(slow)).sendall(beginning)

        # Each of them would hold one of two threads, or the main loop for two seconds.
        answers = [get(port, "/", {}) for _ in range(5)]

    assert [answer[::2] for answer in answers] == [(200, b"0")] * 5


@pytest.mark.parametrize("pieces", [1, 2, 7])
@pytest.mark.parametrize(
    ("request_", "length"),
    [
        (b"GET / HTTP/1.1\r\nHost: v\r\n\r\n", b"0"),
        (POST + b"Content-Length: 5\r\n\r\nabcde", b"5"),
        (POST + b"Content-Length: 700000\r\n\r\n" + b"x" * 700_000, b"700000"),
        (CHUNKED + b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n", b"7"),
    ],
    ids=["no body", "a body", "a large body", "chunks"],
)
def test_a_request_in_pieces_is_answered_as_one(
    port: int, request_: bytes, length: bytes, pieces: int
) -> None:
    answer = ask(port, request_, pieces)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n" + length)


def test_a_connection_is_used_again(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience(60))
    try:
        for body in (b"", b"abc", b"x" * 300_000):
            connection.request("POST", "/", body=body)
            assert connection.getresponse().read() == str(len(body)).encode()
    finally:
        connection.close()


def test_who_waits_for_it_is_told_to_go_on(port: int) -> None:
    head = POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=patience(60)) as client:
        client.sendall(head)
        first = client.recv(1000)
        client.sendall(b"abcde")
        answer = b""
        while not answer.endswith(b"\r\n\r\n5"):
            answer += client.recv(1000)

    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: 5000000\r\n\r\n",
        CHUNKED + b"1\r\na\r\n" * 20_000,
        b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000,
    ],
    ids=["a body", "chunks", "headers"],
)
def test_what_is_too_large_is_refused_before_it_has_come(port: int, request_: bytes) -> None:
    answer = ask(port, request_)

    assert answer.startswith(b"HTTP/1.1 413 Content Too Large\r\n")
    assert b"A large body needs a Content-Length." in answer
