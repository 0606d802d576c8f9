"""A Docker Engine for the tests: the one that answers already, or Debian's dockerd, started for them."""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
import pytest

from tests.support.needs import lacking
from tests.support.waiting import patience

DEFAULT_SOCKET = Path("/var/run/docker.sock")
START_SECONDS = 60
STOP_SECONDS = 60


@dataclass(frozen=True)
class Engine:
    """A Docker Engine that answers."""

    host: str  # as in DOCKER_HOST

    @property
    def socket(self) -> Path:
        """Return the socket, for whoever mounts it."""
        return Path(self.host.removeprefix("unix://"))

    @property
    def environ(self) -> Mapping[str, str]:
        """Return the environment in which `docker` and `docker-compose` speak to this engine."""
        # Engine 20.10 from Debian has no buildx, and the classic builder everywhere is one case less.
        return {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0"}

    def docker(self, *words: str, stdin: IO[bytes] | None = None, seconds: float = 600) -> str:
        """Run `docker` and return what it says; fail with its error."""
        ended = subprocess.run(
            ["docker", *words], env=self.environ, stdin=stdin, capture_output=True, timeout=seconds
        )
        if ended.returncode:
            said = (ended.stdout[-2000:] + ended.stderr[-2000:]).decode(errors="replace")
            raise RuntimeError(f"docker {' '.join(words)}: {said}")
        return ended.stdout.decode().strip()


@contextmanager
def engine() -> Iterator[Engine]:
    """Yield an engine that answers; one that had to be started ends with its last user."""
    if shutil.which("docker") is None:
        lacking("docker is missing: apt-get install docker.io.")
    for host in filter(None, (os.environ.get("DOCKER_HOST"), f"unix://{DEFAULT_SOCKET}")):
        if _answers(host):
            yield Engine(host)
            return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        lacking("No Docker Engine answers; as root, with docker.io installed, the tests start their own.")
    with _own_engine(cache_folder() / "engine") as found:
        yield found


def cache_folder() -> Path:
    """Return where what outlives the tests is kept: images, which take minutes to build."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vulsweb", "docker")


@contextmanager
def _own_engine(folder: Path) -> Iterator[Engine]:
    """Yield the engine of `folder`, shared by all who test at the same time: two would fight over a bridge.

    Locks say who uses it, so that a user who is killed leaves nothing that keeps the next from ending it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = Engine(f"unix://{folder}/docker.sock")
    with (folder / "users.lock").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)  # waits while the last user ends it
        with (folder / "start.lock").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            if not _answers(found.host):
                _start(folder, found)
        try:
            yield found
        finally:
            if _is_alone(users):
                _stop(folder)


def _start(folder: Path, wanted: Engine) -> None:
    _stop(folder)
    with (folder / "log").open("wb") as log:
        subprocess.run(
            [
                # In a session of its own: Ctrl-C is for the tests, which then end it in their own order.
                *("setsid", "--fork", "dockerd"),
                f"--data-root={folder}/data",
                f"--exec-root={folder}/run",
                f"--pidfile={folder}/pid",
                f"--host={wanted.host}",
            ],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    deadline = time.monotonic() + patience(START_SECONDS)
    while not _answers(wanted.host):
        if time.monotonic() > deadline:
            _stop(folder)
            raise RuntimeError(f"dockerd did not start: {(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.1)
    _sweep(wanted)


def _sweep(found: Engine) -> None:
    """Remove what killed tests have left; images stay."""
    if containers := found.docker("ps", "--all", "--quiet").split():
        found.docker("rm", "--force", "--volumes", *containers)
    found.docker("network", "prune", "--force")
    if volumes := found.docker("volume", "ls", "--quiet").split():
        found.docker("volume", "rm", "--force", *volumes)
    # The layers of earlier versions of the images.
    found.docker("image", "prune", "--force")


def _is_alone(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stop(folder: Path) -> None:
    """End the folder's dockerd, whoever started it; harmless where there is none."""
    pid_file = folder / "pid"
    try:
        process = psutil.Process(int(pid_file.read_text()))
        # Its number may belong to another program since a crash.
        if f"--data-root={folder}/data" in process.cmdline():
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        pass
    # dockerd takes any living process of that number for itself.
    pid_file.unlink(missing_ok=True)


def _answers(host: str) -> bool:
    if host.startswith("unix://") and not Path(host.removeprefix("unix://")).is_socket():
        return False
    environ = {**os.environ, "DOCKER_HOST": host}
    words = ["docker", "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(words, env=environ, capture_output=True, timeout=patience(30)).returncode == 0


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """A Docker Engine. Tests with it stand in tests/docker: one worker has them all (conftest.py)."""
    with engine() as found:
        yield found
