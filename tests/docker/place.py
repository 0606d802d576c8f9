"""One executor on Docker, with volumes and a network of its own, and fake tools that do as told."""

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.executor.callers import KEY, until
from tests.executor.conftest import Server
from tests.executor.processes import runners
from tests.support.dockerd import Engine

# A tool that does what the file says that `Place.behave` leaves.
FAKE = """\
FROM vulsweb-tests/tools
COPY tool /usr/local/bin/tool
ENTRYPOINT ["tool"]
"""

# What the container of every tool is kept to, in Docker's words.
CONFINED = {
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges:true"],
    "ReadonlyRootfs": True,
    "Privileged": False,
    "Binds": None,
    "PidsLimit": 256,
}
TOOLS_USER = "65534:65533"


class Place:
    """Volumes, a network and settings of one executor, which runs on this machine as root."""

    def __init__(self, engine: Engine, folder: Path, images: dict[str, str]) -> None:
        self.engine = engine
        # The proxy before Docker lets through networks and volumes with such ends alone.
        self.name = f"vulsweb-{uuid.uuid4().hex[:8]}-tools"
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
            "ps",
            "--all",
            "--quiet",
            "--no-trunc",
            f"--filter=network={self.name}",
            "--filter=label=org.vulsweb.job",
        ).split()

    def make_network(self) -> str:
        """See to it that the tools' network is there; return the address at which it reaches this machine."""
        if not self.engine.docker("network", "ls", "--quiet", f"--filter=name={self.name}"):
            self.engine.docker("network", "create", self.name)
        address = "--format={{(index .IPAM.Config 0).Gateway}}"
        return self.engine.docker("network", "inspect", address, self.name)

    def inspect(self, container: str, what: str) -> str:
        return self.engine.docker("inspect", "--format", f"{{{{{what}}}}}", container)

    def behave(self, script: str) -> None:
        """Have the fake tool do what the script says."""
        (self.jobs / "behave").write_text(script)

    def end(self) -> None:
        """Remove all that was made for it."""
        containers = self.engine.docker("ps", "--all", "--quiet", f"--filter=network={self.name}").split()
        if containers:
            self.engine.docker("rm", "--force", "--volumes", *containers)
        if self.engine.docker("network", "ls", "--quiet", f"--filter=name={self.name}"):
            self.engine.docker("network", "rm", self.name)
        self.engine.docker(
            "volume", "rm", "--force", *(f"{self.name}-{kind}" for kind in ("jobs", "databases", "ssh"))
        )
        shutil.rmtree(self.folder)

    def _volume(self, kind: str) -> Path:
        path = self.folder / kind
        path.mkdir(mode=0o755)
        where = ("--opt=type=none", "--opt=o=bind", f"--opt=device={path}")
        self.engine.docker("volume", "create", *where, f"{self.name}-{kind}")
        return path


def confinement(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a container is kept to, of all that Docker tells of it."""
    return {name: found["HostConfig"][name] for name in CONFINED}


def volumes(found: Mapping[str, Any]) -> set[tuple[str, str, bool]]:
    """Return what is mounted into a container: its type, which of the volumes, and whether it may write."""
    return {(mount["Type"], mount["Name"].rpartition("-")[2], mount["RW"]) for mount in found["Mounts"]}


def vuls(scan: str) -> str:
    """A fake Vuls that does something in the middle of its scan."""
    return f"""
    folder=$(printf '%s\\n' "$@" | sed -n 's/^-results-dir=//p')
    case $1 in
    scan)
        {scan}
        mkdir $folder/2026-01-01T02-00-00+0000
        server=$(sed -n 's/^.servers.\\(.*\\).$/\\1/p' config.toml)
        cd $folder/2026-01-01T02-00-00+0000
        echo '{{"errors":[],"reportedAt":"0001-01-01T00:00:00Z"}}' >$server.json ;;
    report) sed -i s/0001-01/2026-01/ $folder/*/*.json ;;
    esac
    """


def wait_for(file: Path) -> str:
    return f"until [ -f {file} ]; do sleep 0.1; done"


def running(place: Place, what: str = "scan") -> str:
    """Return the container in which a tool does something, once it runs."""

    def look() -> str | None:
        words = ("ps", "--no-trunc", f"--filter=network={place.name}", "--format={{.ID}} {{.Command}}")
        lines = [line.split() for line in place.engine.docker(*words).splitlines()]
        return next((line[0] for line in lines if what in line), None)

    return until(look)


def kill_all(server: Server, place: Place) -> None:
    server.signal(signal.SIGKILL)
    for runner in runners(place.data):
        os.kill(runner, signal.SIGKILL)
    until(lambda: not runners(place.data))
