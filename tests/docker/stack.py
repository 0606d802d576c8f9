"""The production stack as `make up` starts it, from local images; beside it a host to scan and a mirror.

And an executor on "another machine", which is a stack of its own on the same Docker.
"""

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests import images
from tests.e2e.stack import Program, wait_for
from tests.mirror.expected import QUERY
from tests.support.dockerd import Engine
from tests.support.waiting import patience
from vulsweb.local.valkey import free_port

ROOT = Path(__file__).parents[2]
SSH_CONFIG = """\
Host {host}
    HostName {name}
    User vuls
    IdentityFile {host}
"""


DEBIAN = {
    "name": "Debian",
    "task_type": "db_update",
    "config": {"database_type": "gost_debian"},
    "cron_expression": "0 2 * * *",
}


class Scripts:
    """The scripts in deploy/, as an administrator of one stack runs them."""

    def __init__(self, engine: Engine, name: str, folder: Path, **settings: str) -> None:
        self.engine = engine
        self.folder = folder
        self.name = name
        self.target = f"{name}-target"
        self.tools_network = f"{name}-tools"
        self.secrets = folder / "secrets"
        self.environ = {
            **engine.environ,
            "COMPOSE_PROJECT_NAME": name,
            "VULSWEB_STACK": name,
            "VULSWEB_EXECUTOR_CONTAINER": f"{name}-executor",
            "VULSWEB_SECRETS": str(self.secrets),
            "DOCKER_SOCKET": str(engine.socket),
            "DOCKER_GID": str(engine.socket.stat().st_gid),
            "PYTHON_IMAGE": images.PYTHON,
            "BUILD_NETWORK": "host",
            "EXECUTOR_CA_BUNDLE": "/data/config/ca.pem",
            # A new installation would have the other, and write so into .env.
            "EXECUTOR_PROFILE": "classic",
            **settings,
        }

    def run(self, *words: str, check: bool = True, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run one of the stack's commands as an administrator would."""
        ended = subprocess.run(
            words, cwd=ROOT, env=self.environ, input=stdin, capture_output=True, timeout=patience(600)
        )
        said = subprocess.CompletedProcess(
            words, ended.returncode, ended.stdout.decode(), ended.stderr.decode(errors="replace")
        )
        assert not check or said.returncode == 0, f"{words}: {said.stdout[-3000:]}{said.stderr[-3000:]}"
        return said

    def compose(self, *words: str) -> str:
        """Run Docker Compose and return what it says."""
        return self.run("deploy/compose", *words).stdout

    def container(self, service: str) -> str:
        """Return the id of a service's container, running or not."""
        filters = {"project": self.name, "service": service, "oneoff": "False"}
        words = [f"--filter=label=com.docker.compose.{key}={value}" for key, value in filters.items()]
        return self.engine.docker("ps", "--all", "--quiet", *words)

    def inspect(self, service: str) -> dict[str, Any]:
        """Return all that Docker knows of a service's container."""
        described: list[dict[str, Any]] = json.loads(self.engine.docker("inspect", self.container(service)))
        return described[0]

    def inside(self, service: str, script: str) -> str:
        """Run a line of shell in a service's container and return what it says."""
        return self.engine.docker("exec", self.container(service), "sh", "-c", script)

    def wait_for_healthy(self, *services: str) -> None:
        """Wait until these services say that they are well."""

        def healthy() -> bool:
            return all(
                self.inspect(service)["State"]["Health"]["Status"] == "healthy" for service in services
            )

        wait_for(healthy, seconds=120)

    def begin_target(self) -> None:
        """Start a host to scan, on the network of this stack's tools."""
        key = self.folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        public = key.with_suffix(".pub").read_text().strip()
        beside = ("run", "--detach", f"--network={self.tools_network}")
        self.engine.docker("network", "create", self.tools_network)
        self.engine.docker(*beside, f"--name={self.target}", f"--env=AUTHORIZED_KEY={public}", images.TARGET)

    def add_target(self, program: Program, host: str) -> None:
        """Have that host known as a person would: its key, its host key, and the SSH configuration."""
        host_key = self.soon(self.target, "cat /etc/ssh/ssh_host_ed25519_key.pub").split()[:2]
        program.post("/api/keys", {"name": host, "private_key": (self.folder / "key").read_text()})
        place = {"hostname": self.target, "port": 22, "lines": " ".join(host_key)}
        offer = program.post("/api/known-hosts/offers", place)
        program.post(f"/api/known-hosts/offers/{offer['id']}/accept", {})
        before = program.get("/api/ssh-config")["content"]
        program.put("/api/ssh-config", {"content": before + SSH_CONFIG.format(host=host, name=self.target)})

    def installed_on_target(self) -> str:
        """Return what dpkg says is installed on the host."""
        return self.engine.docker("exec", self.target, "dpkg-query", "-W", "-f", QUERY)

    def soon(self, container: str, script: str) -> str:
        """Return what a script says in a container once it succeeds there."""
        said: list[str] = []

        def succeeds() -> bool:
            with suppress(RuntimeError):
                said.append(self.engine.docker("exec", container, "sh", "-c", script))
            return bool(said and said[-1])

        wait_for(succeeds, seconds=60)
        return said[-1] + "\n"

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


class ComposeStack(Scripts):
    """The main stack, and beside it a host and the mirror."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        name = f"vulsweb-{uuid.uuid4().hex[:8]}"
        self.mirror = f"{name}-mirror"
        self.backups = folder / "backups"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        proxy = f"http://{self.mirror}:3128"
        super().__init__(
            *(engine, name, folder),
            VULSWEB_BACKUPS=str(self.backups),
            VULSWEB_PORT=str(port),
            EXECUTOR_HTTPS_PROXY=proxy,
        )

    def command(self, *words: str) -> str:
        """Run a `vulsweb` command inside the stack."""
        return self.compose("exec", "-T", "web", "vulsweb", *words)

    def secret(self, name: str) -> str:
        """Return one of the secrets that the first start made."""
        return (self.secrets / name).read_text()

    def all_secrets(self) -> dict[str, bytes]:
        """Return all of them, by where they are."""
        paths = (path for path in self.secrets.rglob("*") if path.is_file())
        return {str(path.relative_to(self.secrets)): path.read_bytes() for path in paths}

    def begin_surroundings(self) -> None:
        """Start the host and the mirror on the network of the tools."""
        self.begin_target()
        beside = ("run", "--detach", f"--network={self.tools_network}", f"--name={self.mirror}", "--init")
        self.engine.docker(*beside, images.MIRROR)

    def certificate_of_mirror(self) -> bytes:
        """Return what the tools have to trust."""
        return self.soon(self.mirror, "cat /tmp/mirror-*/mirror-ca.pem").encode()

    def trust_mirror(self) -> None:
        """Put the mirror's certificate where the executor takes it from."""
        self.run(
            *("deploy/compose", "run", "--rm", "--no-deps", "-T", "migrate"),
            *("sh", "-c", "cat >/data/config/ca.pem"),
            stdin=self.certificate_of_mirror(),
        )


class Zone(Scripts):
    """A machine in another zone, as far as Docker's networks make one, with a host that it alone reaches."""

    def __init__(self, main: ComposeStack, folder: Path) -> None:
        self.main = main
        network = ("network", "inspect", "--format={{(index .IPAM.Config 0).Gateway}}", main.tools_network)
        # An address of this machine that the main stack's containers reach, as they reach other machines.
        self.address = main.engine.docker(*network)
        self.port = free_port()
        super().__init__(
            *(main.engine, f"{main.name}-zone", folder),
            COMPOSE_FILE="docker-compose.yml:docker-compose.zone.yml",
            ZONE_HOST=self.address,
            ZONE_PORT=str(self.port),
            EXECUTOR_HTTPS_PROXY=main.environ["EXECUTOR_HTTPS_PROXY"],
        )

    def begin(self) -> None:
        """Start its host and executor, and tell the main stack of it."""
        self.begin_target()
        self.engine.docker("network", "connect", self.tools_network, self.main.mirror)
        self.main.run("deploy/add-executor", "dmz", f"{self.address}:{self.port}", "dmz")
        self.run("deploy/zone-up", str(self.main.secrets / "zones" / "dmz.tar"))
        words = ("run", "--rm", "--no-deps", "-T", "receive", "sh", "-c", "cat >/data/config/ca.pem")
        self.run("deploy/compose", *words, stdin=self.main.certificate_of_mirror())
        self.main.compose("restart", "web", "worker", "beat")
        self.main.wait_for_healthy("web", "worker")

    def receive(self, carried: bytes, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Take in what the main machine sends."""
        return self.run("deploy/zone-receive", stdin=carried, check=check)


@contextmanager
def compose_stack(engine: Engine, folder: Path) -> Iterator[ComposeStack]:
    """Yield the running stack; afterwards nothing of it is left."""
    stack = ComposeStack(engine, folder)
    try:
        stack.begin_surroundings()
        stack.run("deploy/make-secrets", str(stack.secrets))
        stack.trust_mirror()
        stack.run("deploy/up")
        yield stack
    finally:
        stack.end()
    assert stack.left() == []
