"""The production stack as `make up` starts it, from local images; beside it a host to scan and a mirror."""

import json
import subprocess
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from tests import images
from tests.dockerd import Engine
from tests.e2e.stack import wait_for
from tests.mirror.expected import QUERY
from vulsweb.local.valkey import free_port

ROOT = Path(__file__).parents[2]
SERVER = "target"

SSH_CONFIG = """\
Host {server}
  HostName {name}
  User vuls
  IdentityFile /data/ssh/keys/target
  IdentitiesOnly yes
  UserKnownHostsFile /data/ssh/known_hosts
  StrictHostKeyChecking yes
  ConnectTimeout 10
  BatchMode yes
"""
CONFIG_TOML = f"""\
[servers.{SERVER}]
host = "{SERVER}"
sshConfigPath = "/data/ssh/config"
scanMode = ["fast"]
"""


class ComposeStack:
    """The stack's scripts under a name of its own, and the two containers beside it."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.name = f"vulsweb-{uuid.uuid4().hex[:8]}"
        self.target = f"{self.name}-target"
        self.mirror = f"{self.name}-mirror"
        self.tools_network = f"{self.name}-tools"
        self.secrets = folder / "secrets"
        self.backups = folder / "backups"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.environ = {
            **engine.environ,
            "COMPOSE_PROJECT_NAME": self.name,
            "VULSWEB_STACK": self.name,
            "VULSWEB_SECRETS": str(self.secrets),
            "VULSWEB_BACKUPS": str(self.backups),
            "VULSWEB_PORT": str(port),
            "DOCKER_SOCKET": str(engine.socket),
            "DOCKER_GID": str(engine.socket.stat().st_gid),
            "PYTHON_IMAGE": images.PYTHON,
            "BUILD_NETWORK": "host",
            "EXECUTOR_HTTPS_PROXY": f"http://{self.mirror}:3128",
            "EXECUTOR_CA_BUNDLE": "/data/config/ca.pem",
        }

    def run(self, *words: str, check: bool = True, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run one of the stack's commands as an administrator would."""
        ended = subprocess.run(
            words, cwd=ROOT, env=self.environ, input=stdin, capture_output=True, timeout=600
        )
        said = subprocess.CompletedProcess(
            words, ended.returncode, ended.stdout.decode(), ended.stderr.decode(errors="replace")
        )
        assert not check or said.returncode == 0, f"{words}: {said.stdout[-3000:]}{said.stderr[-3000:]}"
        return said

    def compose(self, *words: str) -> str:
        """Run Docker Compose and return what it says."""
        return self.run("deploy/compose", *words).stdout

    def command(self, *words: str) -> str:
        """Run a `vulsweb` command inside the stack."""
        return self.compose("exec", "-T", "web", "vulsweb", *words)

    def container(self, service: str) -> str:
        """Return the id of a service's container, running or not."""
        filters = {"project": self.name, "service": service, "oneoff": "False"}
        words = [f"--filter=label=com.docker.compose.{key}={value}" for key, value in filters.items()]
        return self.engine.docker("ps", "--all", "--quiet", *words)

    def inspect(self, service: str) -> dict[str, Any]:
        """Return all that Docker knows of a service's container."""
        described: list[dict[str, Any]] = json.loads(self.engine.docker("inspect", self.container(service)))
        return described[0]

    def secret(self, name: str) -> str:
        """Return one of the secrets that the first start made."""
        return (self.secrets / name).read_text()

    def begin_surroundings(self) -> None:
        """Start the host and the mirror on the network of the tools."""
        key = self.folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        public = key.with_suffix(".pub").read_text().strip()
        beside = ("run", "--detach", f"--network={self.tools_network}")
        self.engine.docker("network", "create", self.tools_network)
        self.engine.docker(*beside, f"--name={self.target}", f"--env=AUTHORIZED_KEY={public}", images.TARGET)
        self.engine.docker(*beside, f"--name={self.mirror}", "--init", images.MIRROR)

    def fill(self) -> None:
        """Put the hosts, their keys and the mirror's certificate where the web keeps them."""
        host_key = self._soon(self.target, "cat /etc/ssh/ssh_host_ed25519_key.pub").split()[:2]
        files = {
            "config/config.toml": CONFIG_TOML,
            "config/ca.pem": self._soon(self.mirror, "cat /tmp/mirror-*/mirror-ca.pem"),
            "ssh/config": SSH_CONFIG.format(server=SERVER, name=self.target),
            "ssh/known_hosts": f"{self.target} {' '.join(host_key)}\n",
            "ssh/keys/target": (self.folder / "key").read_text(),
        }
        packed = _tar(files)
        self.run(
            *("deploy/compose", "run", "--rm", "--no-deps", "-T", "migrate"),
            *("tar", "--extract", "--directory=/data"),
            stdin=packed,
        )

    def installed_on_target(self) -> str:
        """Return what dpkg says is installed on the host."""
        return self.engine.docker("exec", self.target, "dpkg-query", "-W", "-f", QUERY)

    def end(self) -> None:
        """Remove all that was made for it, whether or not it came to be."""
        self.run("deploy/compose", "down", "--volumes", "--remove-orphans", check=False)
        on_network = f"--filter=network={self.tools_network}"
        if beside := self.engine.docker("ps", "--all", "--quiet", on_network).split():
            self.engine.docker("rm", "--force", "--volumes", *beside)
        if network := self.engine.docker("network", "ls", "--quiet", f"--filter=name={self.tools_network}"):
            self.engine.docker("network", "rm", network)

    def left(self) -> list[str]:
        """Return the containers, volumes and networks that bear its name."""
        kinds = (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
        return [
            name
            for kind in kinds
            for name in self.engine.docker(*kind, "--quiet", f"--filter=name={self.name}").split()
        ]

    def _soon(self, container: str, script: str) -> str:
        """Return what a script says in a container once it succeeds there."""
        said: list[str] = []

        def succeeds() -> bool:
            with suppress(RuntimeError):
                said.append(self.engine.docker("exec", container, "sh", "-c", script))
            return bool(said and said[-1])

        wait_for(succeeds, seconds=60)
        return said[-1] + "\n"


def _tar(files: Mapping[str, str]) -> bytes:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content.encode()), 0o600
            archive.addfile(entry, BytesIO(content.encode()))
    return packed.getvalue()


@contextmanager
def compose_stack(engine: Engine, folder: Path) -> Iterator[ComposeStack]:
    """Yield the running stack; afterwards nothing of it is left."""
    stack = ComposeStack(engine, folder)
    try:
        stack.begin_surroundings()
        stack.run("deploy/make-secrets", str(stack.secrets))
        stack.fill()
        stack.run("deploy/up")
        yield stack
    finally:
        stack.end()
