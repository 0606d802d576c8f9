"""An executor whose Docker is away, asked by the real Docker SDK."""

import http.server
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from executor.engines.docker import socket_rights
from tests.executor.callers import Caller
from tests.executor.conftest import caller_of
from tests.support.needs import lacking

AWAY = "tcp://127.0.0.1:1"


@pytest.fixture
def proxy() -> Iterator[str]:
    """The address of a proxy whose Docker is away: HAProxy answers 503."""

    class Unavailable(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<html><body><h1>503 Service Unavailable</h1></body></html>"
            self.send_response(503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unavailable) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def with_docker_at(variables: dict[str, str], start: Callable[[], Flask]) -> Callable[[str], Caller]:
    def make(address: str) -> Caller:
        variables.update(
            {
                "EXECUTOR_ENGINE": "docker",
                "EXECUTOR_JOBS_VOLUME": "tests-jobs",
                "EXECUTOR_DATABASES_VOLUME": "tests-databases",
                "EXECUTOR_WORK_DIR": variables["EXECUTOR_DATA_DIR"] + "/work",
                "EXECUTOR_DATABASES_DIR": variables["EXECUTOR_DATA_DIR"] + "/databases",
                "DOCKER_HOST": address,
            }
        )
        del variables["VULSWEB_TOOLS_DIR"]
        return caller_of(start())

    return make


def problem(call: Caller) -> str:
    _, health = call("GET", "/health")
    found: str = health["docker"]["problem"]
    return found


def test_health_names_a_docker_that_does_not_answer(with_docker_at: Callable[[str], Caller]) -> None:
    assert problem(with_docker_at(AWAY)).startswith(f"Docker does not answer at {AWAY}. Check that Docker ")


def test_health_names_a_proxy_that_cannot_reach_docker(
    with_docker_at: Callable[[str], Caller], proxy: str
) -> None:
    said = problem(with_docker_at(proxy))

    assert said.startswith(f"The Docker proxy at {proxy} cannot reach Docker.")
    assert "DOCKER_GID in .env" in said


def test_health_says_the_numbers_of_a_socket_that_may_not_be_used(
    open_folder: Path,
) -> None:
    if os.geteuid() != 0:
        lacking("Root alone can become somebody who may not use the socket.")
    path = open_folder / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        os.chown(path, 0, 998)
        path.chmod(0o660)

        os.seteuid(65534)
        try:
            said = socket_rights(f"unix://{path}")
        finally:
            os.seteuid(0)

        assert said is not None
        assert said.startswith(
            "The socket belongs to user 0 and group 998 with mode 660; the executor runs as"
        )
        assert "as user 65534 with the groups " in said
        assert said.endswith("Add group 998 to it.")
        assert socket_rights(f"unix://{path}") is None
    assert socket_rights(AWAY) is None


def test_a_new_job_fails_at_once_with_that_sentence(with_docker_at: Callable[[str], Caller]) -> None:
    call = with_docker_at(AWAY)

    job = call.finished(call.submit_scan("localhost"))

    assert job["status"] == "failed"
    assert job["error"].startswith(f"Docker does not answer at {AWAY}.")
    assert {step["status"] for step in job["steps"]} == {"skipped"}
