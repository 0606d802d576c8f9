"""What the executor may ask of Docker, and what it may not; what Docker starts has to be confined."""

from collections.abc import Iterator

import pytest
import requests

from tests.docker.place import Place, running, vuls, wait_for
from tests.docker.proxies import DockerProxy
from tests.executor.callers import until
from tests.executor.conftest import Server
from tests.images import TOOLS_ROOT
from tests.support.dockerd import Engine
from tests.support.waiting import patience

# The first of them may have to build the images.
pytestmark = pytest.mark.timeout(patience(900))


def test_a_scan_lives_its_whole_life_through_the_proxy(
    place: Place, fake: Server, proxy: DockerProxy
) -> None:
    place.behave(vuls(f"echo first; {wait_for(place.jobs / 'go')}; echo second"))
    proxy.start()
    fake.start()

    job_id = fake.call.submit_scan("target")
    until(lambda: "first" in fake.call.log(job_id))
    (place.jobs / "go").touch()
    job = fake.call.finished(job_id)

    assert job["status"] == "completed", job["error"]
    assert "first\nsecond\n" in fake.call.log(job_id)
    assert place.containers() == []
    assert fake.call("GET", "/health")[1]["docker"] == {"problem": None}


def test_a_job_that_is_cancelled_leaves_no_container_behind_the_proxy(
    place: Place, fake: Server, proxy: DockerProxy
) -> None:
    place.behave(vuls("echo first; sleep 600"))
    proxy.start()
    fake.start()
    job_id = fake.call.submit_scan("target")
    until(lambda: "first" in fake.call.log(job_id))

    fake.call("DELETE", f"/jobs/{job_id}")

    assert fake.call.finished(job_id)["status"] == "cancelled"
    assert place.containers() == []


def test_a_reader_that_goes_away_does_not_keep_docker_sending(
    place: Place, fake: Server, proxy: DockerProxy
) -> None:
    place.behave(vuls("sleep 600"))
    proxy.start()
    fake.start()
    fake.call.submit_scan("target")
    container = running(place)
    at_rest = until(proxy.open_calls)
    url = f"{proxy.url}/containers/{container}/logs?follow=1&stdout=1"

    for _ in range(3):
        with pytest.raises(requests.RequestException):
            requests.get(url, timeout=(patience(5), 0.5))

    until(lambda: proxy.open_calls() <= at_rest)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/info"),
        ("GET", "/events"),
        ("GET", "/containers/json"),
        ("GET", '/containers/json?filters={"label":["com.docker.compose.project=vulsweb"]}'),
        ("GET", '/containers/json?filters={"label":["org.vulsweb.executor=0"],"name":["web"]}'),
        ("GET", '/containers/json?filters={"label":["org.vulsweb.executor=0"]}&filters={}'),
        ("POST", "/containers/{id}/exec"),
        ("POST", "/containers/{id}/attach"),
        ("GET", "/containers/{id}/archive?path=/etc/passwd"),
        ("PUT", "/containers/{id}/archive?path=/etc"),
        ("GET", "/containers/{id}/export"),
        ("POST", "/containers/{id}/update"),
        ("POST", "/containers/{id}/rename?name=other"),
        ("POST", "/containers/{id}/kill"),
        ("POST", "/containers/{id}/wait"),
        ("POST", "/commit?container={id}"),
        ("POST", "/build"),
        ("POST", "/images/create?fromSrc=-"),
        ("POST", "/images/create?from%53rc=-&repo=vuls/vuls"),
        ("POST", "/images/create?fromImage=vuls/vuls"),
        ("POST", "/images/create?fromImage=somebody/else&tag=latest"),
        ("POST", "/images/create?fromImage=vuls/vuls&tag=v0.26.0&fromSrc=-"),
        ("POST", "/images/load"),
        ("GET", "/images/json"),
        ("GET", "/images/vulsweb/vulsweb:local/json"),
        ("POST", "/images/vulsweb-tests/tools/tag?repo=vuls/vuls"),
        ("POST", "/images/vulsweb-tests/tools/push"),
        ("DELETE", "/images/vulsweb-tests/tools"),
        ("GET", "/networks"),
        ("GET", '/networks?filters={"name":["bridge"]}'),
        ("POST", "/networks/bridge/connect"),
        ("POST", "/swarm/init"),
        ("GET", "/secrets"),
        ("GET", "/plugins"),
        ("POST", "/auth"),
        ("POST", "/session"),
        ("POST", "/containers/prune"),
        ("GET", "/volumes"),
        ("POST", "/volumes/create"),
        ("DELETE", "/volumes/vulsweb_postgres"),
        ("DELETE", "/networks/vulsweb_data"),
        ("GET", "/v1.23/version"),
        ("GET", "/v1.39/version"),
        ("GET", "/v1.41/v1.41/version"),
        ("GET", "/v1.41/../v1.41/info"),
        ("GET", "/%63ontainers/{id}/export"),
        ("GET", "/version?x=1"),
        ("PATCH", "/version"),
    ],
)
def test_what_the_executor_does_not_need_is_refused(shared: DockerProxy, method: str, path: str) -> None:
    # As it stands: the library would tidy the path.
    target = path.replace("{id}", "0" * 64).replace('"', "%22").replace("{", "%7B").replace("}", "%7D")
    said = shared.send(f"{method} {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n".encode())

    assert said.split()[1] == b"403"


@pytest.mark.parametrize(
    "call", ["GET {}/json", "GET {}/logs?stdout=1", "POST {}/stop", "POST {}/start", "DELETE {}"]
)
def test_a_container_of_somebody_else_is_out_of_reach(
    shared: DockerProxy, foreign_container: str, call: str
) -> None:
    method, _, path = call.format(f"/containers/{foreign_container}").partition(" ")

    answer = requests.request(method, shared.url + path, timeout=patience(60))

    assert (answer.status_code, "does not belong" in answer.text) == (403, True)


@pytest.fixture(scope="module")
def foreign_container(docker_engine: Engine, tool_images: dict[str, str]) -> Iterator[str]:
    """A container that no executor made, though it says so."""
    labels = ("--label=org.vulsweb.executor=0", "--network=none")
    made = docker_engine.docker("create", *labels, TOOLS_ROOT, "true")
    yield made
    docker_engine.docker("rm", made)
