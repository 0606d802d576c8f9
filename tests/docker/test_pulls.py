"""Images that are not on this machine, from a real registry on loopback."""

import os
import re
import shutil
from collections.abc import Iterator

import pytest

from tests.docker.place import Place, kill_all, vuls, wait_for
from tests.docker.proxies import DockerProxy
from tests.executor.callers import until
from tests.executor.conftest import Server
from tests.support.dockerd import Engine
from tests.support.forwarding import Forwarder
from tests.support.needs import lacking
from tests.support.registry import hanging_registry, registry
from tests.support.waiting import patience
from vulsweb.local.valkey import free_port

# The first of them may have to build the registry.
pytestmark = pytest.mark.timeout(patience(900))

BALLAST_BYTES = 6_000_000
# A tool that does as told, small but for what makes its pull take a while.
SMALL = """\
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY tool /usr/local/bin/tool
COPY ballast /
LABEL org.opencontainers.image.version=v0.26.0
ENTRYPOINT ["/usr/local/bin/tool"]
"""


class Pushed:
    """An image that is in a registry and, at first, not on this machine."""

    def __init__(self, engine: Engine, repository: str, digest: str, image: str) -> None:
        self.engine = engine
        self.repository = repository
        self.digest = digest
        self.image = image

    def forget(self) -> None:
        """Remove it from this machine."""
        if self.engine.docker("images", "--quiet", "--no-trunc").count(self.image):
            self.engine.docker("rmi", "--force", self.image)


@pytest.fixture(scope="module")
def registry_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    with registry(tmp_path_factory.mktemp("registry"), port):
        yield port


@pytest.fixture
def line(registry_port: int) -> Iterator[Forwarder]:
    """A slow line to the registry."""
    forwarder = Forwarder(("127.0.0.1", registry_port), rate=1_000_000)
    yield forwarder
    forwarder.close()


@pytest.fixture(scope="module")
def pushed_once(
    docker_engine: Engine, registry_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Pushed:
    busybox = shutil.which("busybox") or lacking("busybox is missing: apt-get install busybox-static.")
    folder = tmp_path_factory.mktemp("small")
    (folder / "Dockerfile").write_text(SMALL)
    shutil.copy(busybox, folder / "busybox")
    (folder / "ballast").write_bytes(os.urandom(BALLAST_BYTES))
    (folder / "tool").write_text("#!/bin/sh\n. ../../../behave\n")
    (folder / "tool").chmod(0o755)
    repository = f"127.0.0.1:{registry_port}/vulsweb/small"
    docker_engine.docker("build", f"--tag={repository}:v1", str(folder))
    said = docker_engine.docker("push", f"{repository}:v1")
    image = docker_engine.docker("inspect", "--format={{.Id}}", f"{repository}:v1")
    docker_engine.docker("rmi", "--force", image)
    digest = re.search(r"sha256:[0-9a-f]{64}", said)
    assert digest
    return Pushed(docker_engine, repository, digest[0], image)


@pytest.fixture
def pushed(pushed_once: Pushed) -> Iterator[Pushed]:
    yield pushed_once
    pushed_once.forget()


def test_a_missing_image_is_pulled_by_its_tag_and_the_log_says_how_far_it_is(
    place: Place, fake: Server, pushed: Pushed, line: Forwarder
) -> None:
    name = f"{line.address}/vulsweb/small:v1"
    place.variables["EXECUTOR_VULS_IMAGE"] = name
    place.behave(vuls("echo scanning"))
    fake.start()
    before = fake.call("GET", "/health")[1]["tools"]["vuls"]

    job_id = fake.call.submit_scan("target")
    step = until(lambda: first if (first := fake.call.job(job_id)["steps"][0])["unit"] == "MB" else None)
    job = fake.call.finished(job_id, seconds=60)

    log = fake.call.log(job_id)
    assert job["status"] == "completed", log
    assert 0 <= step["done"] <= step["total"]
    assert step["total"] >= BALLAST_BYTES // 10**6
    assert [job["steps"][0][name] for name in ("unit", "done", "total")] == ["hosts", 1, 1]
    assert log.startswith(f"[executor] The image {name} is not on this machine; pulling it.\n")
    done = [float(one) for one in re.findall(rf"Pulling {name}: ([\d.]+) of [\d.]+ MB\.\n", log)]
    assert len(done) >= 2
    assert done == sorted(done)
    assert re.search(rf"Pulled {name} in \d+ s\.\n", log)
    assert f"vuls is {name}: image {pushed.image}, digest {pushed.digest}.\n" in log
    assert (before["version"], fake.call("GET", "/health")[1]["tools"]["vuls"]["version"]) == (None, "v1")


@pytest.mark.parametrize("tag", ["", ":another"])
def test_an_image_that_is_pinned_by_digest_is_pulled_through_the_proxy(
    place: Place, fake: Server, pushed: Pushed, proxy: DockerProxy, tag: str
) -> None:
    name = f"{pushed.repository}{tag}@{pushed.digest}"
    place.variables["EXECUTOR_VULS_IMAGE"] = name
    place.behave(vuls("echo scanning"))
    proxy.start()
    fake.start()

    job_id = fake.call.submit_scan("target")
    job = fake.call.finished(job_id, seconds=60)

    log = fake.call.log(job_id)
    assert job["status"] == "completed", log
    assert f"vuls is {name}: image {pushed.image}, digest {pushed.digest}.\n" in log
    # Without a tag, it is what the image says of itself.
    assert fake.call("GET", "/health")[1]["tools"]["vuls"]["version"] == (tag[1:] or "v0.26.0")


def test_what_was_said_of_a_pull_is_not_taken_for_output_when_the_job_is_taken_up(
    place: Place, fake: Server, pushed: Pushed
) -> None:
    place.variables["EXECUTOR_VULS_IMAGE"] = f"{pushed.repository}:v1"
    place.behave(vuls(f"echo first; {wait_for(place.jobs / 'go')}; echo second"))
    fake.start()
    job_id = fake.call.submit_scan("target")
    until(lambda: "first" in fake.call.log(job_id))

    kill_all(fake, place)
    fake.start()
    (place.jobs / "go").touch()
    fake.call.finished(job_id)

    assert "first\nsecond\n" in fake.call.log(job_id)


@pytest.mark.parametrize("what", [":v2", "@sha256:" + "0" * 64])
def test_an_image_that_its_registry_does_not_have_fails_the_job_with_what_to_do(
    place: Place, fake: Server, registry_port: int, what: str
) -> None:
    name = f"127.0.0.1:{registry_port}/vulsweb/small{what}"
    place.variables["EXECUTOR_VULS_IMAGE"] = name
    fake.start()

    job = fake.call.finished(fake.call.submit_scan("target"), seconds=60)

    assert job["status"] == "failed"
    assert job["error"].startswith(
        f"The image {name} is neither on this machine nor in its registry (manifest for {name} not found"
    )
    assert "EXECUTOR_VULS_IMAGE" in job["error"]


def test_a_registry_that_hangs_fails_the_job_after_a_while(place: Place, fake: Server) -> None:
    place.variables["EXECUTOR_CONNECT_TIMEOUT_SECONDS"] = "2"
    with hanging_registry() as address:
        place.variables["EXECUTOR_VULS_IMAGE"] = f"{address}/vulsweb/small:v1"
        fake.start()

        job = fake.call.finished(fake.call.submit_scan("target", "other"), seconds=30)

    assert "could not be pulled (its registry sent nothing for 2 seconds)" in job["error"]


def test_a_job_that_waits_for_a_registry_can_be_cancelled(place: Place, fake: Server) -> None:
    with hanging_registry() as address:
        place.variables["EXECUTOR_VULS_IMAGE"] = f"{address}/vulsweb/small:v1"
        fake.start()
        job_id = fake.call.submit_scan("target", "other")
        until(lambda: "pulling it" in fake.call.log(job_id))

        fake.call("DELETE", f"/jobs/{job_id}")
        job = fake.call.finished(job_id, seconds=20)

    assert job["status"] == "cancelled"
