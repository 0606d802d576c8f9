"""Errors that gunicorn answers before the application, from a real gunicorn."""

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import patience

ROOT = Path(__file__).parents[2]
WORKER = "vulsweb.api.gunicorn_worker.Worker"
APP = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'ok']\n"


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
