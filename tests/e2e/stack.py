"""The complete stack as a person starts it, and a program that uses its API."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.conftest import PASSWORD
from tests.support.waiting import patience
from tests.support.waiting import wait_for as wait_for
from vulsweb.local.valkey import free_port

READY_SECONDS = 90
ROOT = Path(__file__).parents[2]
# A task that updates the one database of the feeds' mirror that Debian needs.
DEBIAN = {
    "name": "debian",
    "task_type": "db_update",
    "config": {"database_type": "gost_debian"},
    "cron_expression": "0 1 * * *",
}


class Stack:
    """`vulsweb run` on a data folder."""

    def __init__(self, data_dir: Path, environ: dict[str, str], folder: Path = ROOT) -> None:
        self.data_dir, self.folder = data_dir, folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = {
            **os.environ,
            "VULSWEB_PORT": str(self.port),
            "VULSWEB_DATA_DIR": str(data_dir),
            "VULSWEB_ADMIN_PASSWORD": PASSWORD,
            **environ,
        }
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the stack and wait until it says that it is ready."""
        process = subprocess.Popen(
            [sys.executable, "-m", "vulsweb", "run"],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.process = process
        self.lines.clear()
        self._reader = threading.Thread(target=self._read, args=(process,))
        self._reader.start()
        wait_for(lambda: self._said("Press Ctrl-C") or process.poll() is not None, READY_SECONDS)
        assert self._said("Press Ctrl-C"), self.describe()

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send the stack a signal and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=patience(60))
        self._reader.join(timeout=patience(60))
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code

    def describe(self) -> str:
        """Return what the stack said and the ends of its logs, for a failing test."""
        logs = sorted((self.data_dir / "logs").glob("*.log"))
        tails = [f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs]
        return "\n".join([*self.lines, *tails])

    def command(self, *words: str) -> str:
        """Run a `vulsweb` command beside the running stack and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "vulsweb", *words],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def _said(self, words: str) -> bool:
        return any(words in line for line in self.lines)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line.rstrip())


@contextmanager
def running(stack: Stack) -> Iterator[Stack]:
    """Start the stack and stop it in the end."""
    try:
        stack.start()
        yield stack
    finally:
        if stack.process is not None:
            stack.stop()


class Program:
    """A program with a token."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str) -> Any:
        """Return what a GET answers; anything but success is an error."""
        return self._send("GET", path)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return what a POST answers; anything but success is an error."""
        return self._send("POST", path, body)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """Return what a PUT answers; anything but success is an error."""
        return self._send("PUT", path, body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """Return what a PATCH answers; anything but success is an error."""
        return self._send("PATCH", path, body)

    def run_to_end(self, task_id: int, seconds: float = 120) -> dict[str, Any]:
        """Trigger the task and return its run once it is over."""
        return self.end_of(self.post(f"/api/scheduled-tasks/{task_id}/run")["id"], seconds)

    def end_of(self, run_id: int, seconds: float = 120) -> dict[str, Any]:
        """Return the run once it is over."""
        runs: list[dict[str, Any]] = []

        def over() -> bool:
            runs.append(self.get(f"/api/runs/{run_id}"))
            return runs[-1]["status"] not in ("queued", "starting", "running")

        wait_for(over, seconds)
        return runs[-1]

    def findings(self, run_id: int) -> list[dict[str, Any]]:
        """Return all that the run found, page after page."""
        found: list[dict[str, Any]] = []
        path: str | None = f"/api/runs/{run_id}/findings?per_page=500"
        while path:
            page = self.get(path)
            found += page["items"]
            path = page["links"]["next"]
        return found

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self.session.request(method, self.url + path, json=body, timeout=patience(30))
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()
