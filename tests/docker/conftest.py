"""Executors on a real Docker, and hosts for them to scan."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import images
from tests.docker.place import FAKE, Place
from tests.docker.proxies import DockerProxy
from tests.docker.stack import ComposeStack, compose_stack
from tests.e2e.stack import Program
from tests.executor.callers import until
from tests.executor.conftest import Server
from tests.executor.processes import runners
from tests.support.dockerd import Engine
from tests.support.waiting import patience


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
    # It runs in a job's folder, or two below.
    (folder / "tool").write_text(
        "#!/bin/sh\nfor up in .. ../../..; do if [ -f $up/behave ]; then . $up/behave; fi; done\n"
    )
    (folder / "tool").chmod(0o755)
    docker_engine.docker("build", "--tag=vulsweb-tests/fake", str(folder))
    return "vulsweb-tests/fake"


@pytest.fixture
def server(place: Place) -> Iterator[Server]:
    made = Server(place.variables)
    yield made
    made.signal(signal.SIGKILL)
    made.reserved.close()
    for runner in runners(place.data):
        os.kill(runner, signal.SIGKILL)


@pytest.fixture
def target(place: Place, server: Server, ssh_target: str) -> str:
    """A host to scan, in the tools' network, known by its key."""
    engine = place.engine
    key = place.ssh / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    os.chown(key, 65534, 65534)
    place.make_network()
    name = f"{place.name}-target"
    public = Path(f"{key}.pub").read_text().strip()
    engine.docker(
        "run",
        "--detach",
        f"--name={name}",
        f"--network={place.name}",
        f"--env=AUTHORIZED_KEY={public}",
        ssh_target,
    )
    read = ["exec", name, "cat", "/etc/ssh/ssh_host_ed25519_key.pub"]
    host_key = until(lambda: _said(engine, read)).split()[:2]
    (place.ssh / "known_hosts").write_text(f"{name} {' '.join(host_key)}\n")
    (place.ssh / "config").write_text(
        f"Host target\n HostName {name}\n User vuls\n IdentityFile {key}\n IdentitiesOnly yes\n"
        f" UserKnownHostsFile {place.ssh}/known_hosts\n StrictHostKeyChecking yes\n"
        f" ConnectTimeout {round(patience(10))}\n BatchMode yes\n"
    )
    place.config.write_text(f'[servers.target]\nhost = "target"\nsshConfigPath = "{place.ssh}/config"\n')
    return name


@pytest.fixture
def fake(place: Place, server: Server, fake_image: str) -> Server:
    """An executor whose tools are fakes, not started yet."""
    for tool in ("VULS", "GOST"):
        place.variables[f"EXECUTOR_{tool}_IMAGE"] = fake_image
    place.config.write_text('[servers.target]\nhost = "target"\n[servers.other]\nhost = "other"\n')
    return server


@pytest.fixture
def proxy(place: Place) -> Iterator[DockerProxy]:
    """The proxy between this executor and Docker, not started yet."""
    made = DockerProxy(place)
    place.variables["DOCKER_HOST"] = made.host
    yield made
    made.stop()


@pytest.fixture(scope="package")
def shared(
    docker_engine: Engine, tool_images: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DockerProxy]:
    """A proxy, shared by the tests that only ask it for what it refuses."""
    place = Place(docker_engine, tmp_path_factory.mktemp("proxy"), tool_images)
    proxy = DockerProxy(place)
    place.make_network()
    proxy.start()
    yield proxy
    proxy.stop()
    place.end()


@pytest.fixture
def wanted(shared: DockerProxy) -> dict[str, Any]:
    """What the executor sends to create a container of Vuls."""
    place = shared.place
    return {
        "Image": place.engine.docker(
            "image", "inspect", "--format={{.Id}}", place.variables["EXECUTOR_VULS_IMAGE"]
        ),
        "Cmd": ["scan"],
        "Env": ["LANG=C.UTF-8"],
        "WorkingDir": str(place.jobs),
        "User": "65534:65533",
        "Labels": {
            "org.vulsweb.executor": "0" * 16,
            "org.vulsweb.job": "0" * 32,
            "org.vulsweb.command": "scan é",
        },
        "HostConfig": {
            "NetworkMode": place.name,
            "Mounts": [shared.mount("jobs")],
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            "ReadonlyRootfs": True,
            "Tmpfs": {"/tmp": "size=256m,mode=1777"},  # noqa: S108 (the container's own)
            "Memory": 2 * 2**30,
            "MemorySwap": 2 * 2**30,
            "NanoCpus": 10**9,
            "PidsLimit": 256,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "64m", "max-file": "1"}},
        },
    }


@pytest.fixture(scope="package")
def stack(
    docker_engine: Engine,
    server_images: None,
    tool_images: dict[str, str],
    ssh_target: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ComposeStack]:
    """The production stack, which takes a minute to start; nothing of it may be left at the end."""
    images.build_mirror(docker_engine)
    images.build_ours(docker_engine)
    with compose_stack(docker_engine, tmp_path_factory.mktemp("stack")) as started:
        yield started


@pytest.fixture(scope="package")
def program(stack: ComposeStack) -> Program:
    return Program(stack.url, stack.command("token", "create", "tests").strip())


@pytest.fixture(scope="package")
def known_target(stack: ComposeStack, program: Program) -> None:
    """The stack knows its host, by the name of target."""
    stack.add_target(program, "target")


def _said(engine: Engine, words: list[str]) -> str | None:
    try:
        return engine.docker(*words)
    except RuntimeError:
        return None
