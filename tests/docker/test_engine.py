"""The executor on a real Docker: real containers, real kill -9."""

import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.dockerd import Engine
from tests.executor.callers import KEY, Caller, until
from tests.executor.conftest import Server
from tests.executor.processes import runners, steps

pytestmark = pytest.mark.xdist_group("docker")



# A tool that does what the file says that `Place.behave` leaves.
FAKE = """\
FROM vulsweb-tests/tools
COPY tool /usr/local/bin/tool
ENTRYPOINT ["tool"]
"""


class Place:
    """Volumes, a network and settings of one executor, which runs on this machine as root."""

    def __init__(self, engine: Engine, folder: Path, images: dict[str, str]) -> None:
        self.engine = engine
        self.name = f"vulsweb-{uuid.uuid4().hex[:8]}"
        # In a container its path is the same, and there /root and /tmp are not what they are here.
        self.folder = Path(tempfile.mkdtemp(prefix="vulsweb-tests-", dir="/var/tmp"))
        self.jobs, self.databases, self.ssh = (self._volume(kind) for kind in ("jobs", "databases", "ssh"))
        self.config = folder / "config.toml"
        self.data = folder / "data"
        (folder / "home").mkdir()
        self.variables = {
            "EXECUTOR_API_KEY": KEY,
            "EXECUTOR_ENGINE": "docker",
            "EXECUTOR_DATA_DIR": str(self.data),
            "EXECUTOR_WORK_DIR": str(self.jobs),
            "EXECUTOR_JOBS_VOLUME": f"{self.name}-jobs",
            "EXECUTOR_DATABASES_DIR": str(self.databases),
            "EXECUTOR_DATABASES_VOLUME": f"{self.name}-databases",
            "EXECUTOR_SSH_DIR": str(self.ssh),
            "EXECUTOR_SSH_VOLUME": f"{self.name}-ssh",
            "EXECUTOR_DOCKER_NETWORK": self.name,
            "EXECUTOR_VULS_CONFIG": str(self.config),
            "EXECUTOR_KILL_GRACE_SECONDS": "1",
            "EXECUTOR_CONNECT_TIMEOUT_SECONDS": "60",
            "DOCKER_HOST": engine.host,
            "HOME": str(folder / "home"),
            "PATH": os.environ["PATH"],
            **{f"EXECUTOR_{tool.upper().replace('-', '_')}_IMAGE": image for tool, image in images.items()},
        }

    def containers(self) -> list[str]:
        """The tools' containers of this executor, running or not."""
        return self.engine.docker(
            "ps", "--all", "--quiet", "--no-trunc", f"--filter=network={self.name}", "--filter=label=org.vulsweb.job"
        ).split()

    def inspect(self, container: str, what: str) -> str:
        return self.engine.docker("inspect", "--format", f"{{{{{what}}}}}", container)

    def behave(self, script: str) -> None:
        """Have the fake tool do what the script says."""
        making = self.ssh / "behave.new"
        making.write_text(script)
        making.chmod(0o644)
        making.rename(self.ssh / "behave")

    def end(self) -> None:
        """Remove all that was made for it."""
        containers = self.engine.docker("ps", "--all", "--quiet", f"--filter=network={self.name}").split()
        if containers:
            self.engine.docker("rm", "--force", "--volumes", *containers)
        if self.engine.docker("network", "ls", "--quiet", f"--filter=name={self.name}"):
            self.engine.docker("network", "rm", self.name)
        self.engine.docker("volume", "rm", "--force", *(f"{self.name}-{kind}" for kind in ("jobs", "databases", "ssh")))
        shutil.rmtree(self.folder)

    def _volume(self, kind: str) -> Path:
        path = self.folder / kind
        path.mkdir(mode=0o755)
        where = ("--opt=type=none", "--opt=o=bind", f"--opt=device={path}")
        self.engine.docker("volume", "create", *where, f"{self.name}-{kind}")
        return path


@pytest.fixture
def place(docker_engine: Engine, tmp_path: Path, tool_images: dict[str, str]) -> Iterator[Place]:
    made = Place(docker_engine, tmp_path, tool_images)
    yield made
    made.end()


@pytest.fixture(scope="session")
def fake_image(
    docker_engine: Engine, tool_images: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """An image whose tool does what `Place.behave` says."""
    folder = tmp_path_factory.mktemp("fake")
    (folder / "Dockerfile").write_text(FAKE)
    (folder / "tool").write_text('#!/bin/sh\n. "$(cat work 2>/dev/null || echo ../../../ssh/behave)"\n')
    (folder / "tool").chmod(0o755)
    docker_engine.docker("build", "--tag=vulsweb-tests/fake", str(folder))
    return "vulsweb-tests/fake"


@pytest.fixture
def server(place: Place) -> Iterator[Server]:
    made = Server(place.variables)
    yield made
    made.signal(signal.SIGKILL)
    for runner in runners(place.data):
        os.kill(runner, signal.SIGKILL)


@pytest.fixture
def target(place: Place, server: Server, ssh_target: str) -> str:
    """A host to scan, in the tools' network, known by its key."""
    engine = place.engine
    key = place.ssh / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    os.chown(key, 65534, 65534)
    if not engine.docker("network", "ls", "--quiet", f"--filter=name={place.name}"):
        engine.docker("network", "create", place.name)
    name = f"{place.name}-target"
    public = Path(f"{key}.pub").read_text().strip()
    engine.docker("run", "--detach", f"--name={name}", f"--network={place.name}", f"--env=AUTHORIZED_KEY={public}", ssh_target)
    read = ["exec", name, "cat", "/etc/ssh/ssh_host_ed25519_key.pub"]
    host_key = until(lambda: _said(engine, read)).split()[:2]
    (place.ssh / "known_hosts").write_text(f"{name} {' '.join(host_key)}\n")
    (place.ssh / "config").write_text(
        f"Host target\n HostName {name}\n User vuls\n IdentityFile {key}\n IdentitiesOnly yes\n"
        f" UserKnownHostsFile {place.ssh}/known_hosts\n StrictHostKeyChecking yes\n ConnectTimeout 10\n BatchMode yes\n"
    )
    place.config.write_text(f'[servers.target]\nhost = "target"\nsshConfigPath = "{place.ssh}/config"\n')
    return name


def _said(engine: Engine, words: list[str]) -> str | None:
    try:
        return engine.docker(*words)
    except RuntimeError:
        return None


def document(call: Caller, job: dict[str, Any]) -> dict[str, Any]:
    return call("GET", job["results"][0]["url"])[1]


def test_a_host_is_scanned_over_ssh_out_of_containers_that_leave_nothing_behind(
    place: Place, server: Server, target: str
) -> None:
    server.start()

    job = server.call.finished(server.call.submit_scan("target"), seconds=180)

    assert job["status"] == "completed", server.call.log(job["id"])
    assert steps(job) == dict.fromkeys(("configtest", "scan", "report"), "completed"), job
    assert document(server.call, job)["errors"] == []
    assert len(document(server.call, job)["packages"]) > 50
    assert place.containers() == []
    assert list(place.jobs.iterdir()) == []
