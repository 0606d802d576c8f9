"""Executors in a temporary folder, with fake tools for faults and real tools if installed."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask

from executor.application import create_app
from tests import vuls2
from tests.executor.callers import KEY, Caller, until
from tests.executor.fakes import FakeTools
from tests.support import needs
from tests.support.waiting import patience

TOOLS = ("vuls", "gost", "goval-dictionary", "go-cve-dictionary")

CONFIG = """
[default]
user = "scanner"
[servers.localhost]
host = "localhost"
port = "local"
scanMode = ["fast"]
[servers.web1]
host = "127.0.0.1"
port = "1"
[servers.web2]
host = "127.0.0.1"
port = "1"
"""


@pytest.fixture
def fakes(tmp_path: Path) -> FakeTools:
    """The folder of fake tools that the executor under test is given."""
    return FakeTools(tmp_path / "tools")


@pytest.fixture
def variables(tmp_path: Path, fakes: FakeTools) -> dict[str, str]:
    """The executor's settings; a test changes them before it starts one."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    home = tmp_path / "home"
    home.mkdir()
    return {
        "EXECUTOR_API_KEY": KEY,
        "EXECUTOR_DATA_DIR": str(tmp_path / "data"),
        "EXECUTOR_VULS_CONFIG": str(config),
        "EXECUTOR_KILL_GRACE_SECONDS": "1",
        "VULSWEB_TOOLS_DIR": str(fakes.folder),
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
    }


@pytest.fixture
def data(variables: dict[str, str]) -> Path:
    return Path(variables["EXECUTOR_DATA_DIR"])


@pytest.fixture
def start(variables: dict[str, str]) -> Iterator[Callable[[], Flask]]:
    """Start an executor in this process; its runners are real processes, ended with the test."""
    started: list[Flask] = []

    def start_one() -> Flask:
        started.append(create_app(variables))
        return started[-1]

    yield start_one
    for app in started:
        _end_every_job(caller_of(app), Path(variables["EXECUTOR_DATA_DIR"]))


@pytest.fixture
def call(start: Callable[[], Flask]) -> Caller:
    """Call an executor in this process."""
    return caller_of(start())


def caller_of(app: Flask) -> Caller:
    def send(method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        payload = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
        answer = app.test_client().open(path, method=method, data=payload, headers=headers)
        try:
            return answer.status_code, dict(answer.headers), answer.data
        finally:
            answer.close()

    return Caller(send)


class Server:
    """The executor in a real gunicorn, which tests kill and restart."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables
        # Kept bound, so that nobody else gets the port; gunicorn may bind it too, as none of them listens.
        self.reserved = socket.socket()
        self.reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.reserved.bind(("127.0.0.1", 0))
        self.port = self.reserved.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self.call = Caller(self._send)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "executor.application:create_app()", "--workers", "1"),
                *("--threads", "8", "--bind", f"127.0.0.1:{self.port}", "--log-level", "error"),
            ],
            env={**self.variables, "PYTHONPATH": str(Path(__file__).parents[2])},
            cwd=self.variables["HOME"],
            start_new_session=True,
        )
        until(self._answers)

    def signal(self, number: int) -> None:
        """Signal gunicorn and its workers, but not the runners: they have their own sessions."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            return self._send("GET", "/health", None, {})[0] == 200
        except requests.ConnectionError:
            return False

    def _send(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        url = f"http://127.0.0.1:{self.port}{path}"
        answer = requests.request(method, url, json=body, headers=headers, timeout=patience(10))
        return answer.status_code, dict(answer.headers), answer.content


@pytest.fixture
def server(variables: dict[str, str]) -> Iterator[Server]:
    """A real server, started by the test."""
    made = Server(variables)
    yield made
    if made.process is None:
        made.start()
    _end_every_job(made.call, Path(variables["EXECUTOR_DATA_DIR"]))
    made.signal(15)
    made.reserved.close()


def _end_every_job(call: Caller, data: Path) -> None:
    def none_is_open() -> bool:
        ids = [entry.name.split("-")[-1] for entry in (data / "open").iterdir()]
        for job_id in ids:
            call("DELETE", f"/jobs/{job_id}")
        return not ids

    until(none_is_open)


@pytest.fixture
def tool(variables: dict[str, str]) -> Callable[[], int]:
    """Wait for a sleeping tool and return its process id."""
    file = Path(variables["HOME"]) / "tool"
    return lambda: until(lambda: int(file.read_text()) if file.exists() else None)


@pytest.fixture(scope="session")
def tools_dir() -> Path:
    """The folder of the real tools; tests that use it are skipped without them."""
    folders = [needs.tool(name).parent for name in TOOLS]
    return folders[0]


@pytest.fixture(scope="session")
def vuls2_tools() -> Path:
    """The folder that tests/vuls2/build fills; tests that use it are skipped without it."""
    return vuls2.tools_folder()
