"""What the executor may ask of Docker, and what it may not."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import docker
import pytest
import requests
from docker.types import LogConfig, Mount

from tests.e2e.stack import wait_for
from tests.images import TOOLS_ROOT
from tests.support.dockerd import Engine
from tests.support.waiting import patience

# The first of them may have to build the images.
pytestmark = pytest.mark.timeout(patience(900))


@pytest.fixture
def client(proxy: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(proxy.replace("http", "tcp"), version="auto", timeout=patience(60))
    yield client
    client.close()


@pytest.fixture
def volume(docker_engine: Engine) -> Iterator[str]:
    name = docker_engine.docker("volume", "create", f"vulsweb-tests-{uuid.uuid4().hex[:8]}-jobs")
    yield name
    docker_engine.docker("volume", "rm", name)


@pytest.fixture
def network(docker_engine: Engine, client: docker.DockerClient) -> Iterator[str]:
    """A network that was made through the proxy."""
    made = client.networks.create(f"vulsweb-tests-{uuid.uuid4().hex[:8]}-tools", driver="bridge")
    yield made.name
    docker_engine.docker("network", "rm", made.name)


def test_a_container_lives_its_whole_life_through_the_proxy(
    client: docker.DockerClient, network: str, volume: str
) -> None:
    container = client.containers.create(
        TOOLS_ROOT,
        ["sh", "-c", "echo said; exec sleep 60"],
        network=network,
        mounts=[Mount("/here", volume, "volume", read_only=True)],
        tmpfs={"/scratch": "size=1m"},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        read_only=True,
        mem_limit="64m",
        pids_limit=20,
        user="65534:65534",
        labels={"org.vulsweb.job": "é"},
        log_config=LogConfig(type="json-file", config={"max-size": "1m"}),
    )
    container.start()
    container.reload()
    status = container.status
    wait_for(lambda: container.logs() == b"said\n", seconds=30)
    container.kill()
    ended = container.wait()
    followed = list(container.logs(stream=True, follow=True))
    container.remove(force=True, v=True)

    assert (status, ended["StatusCode"], followed) == ("running", 137, [b"said\n"])


def test_it_answers_what_the_executor_asks_about_docker(client: docker.DockerClient) -> None:
    assert client.ping()
    assert client.version()["ApiVersion"]
    assert client.images.get(TOOLS_ROOT).tags == [f"{TOOLS_ROOT}:latest"]
    assert client.containers.list(filters={"label": "org.vulsweb.job=none"}) == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/info"),
        ("POST", "/containers/{id}/exec"),
        ("POST", "/containers/{id}/attach"),
        ("GET", "/containers/{id}/archive?path=/etc/passwd"),
        ("PUT", "/containers/{id}/archive?path=/etc"),
        ("GET", "/containers/{id}/export"),
        ("POST", "/containers/{id}/update"),
        ("POST", "/containers/{id}/rename?name=other"),
        ("POST", "/commit?container={id}"),
        ("POST", "/build"),
        ("POST", "/images/create?fromSrc=-"),
        ("POST", "/images/load"),
        ("POST", "/images/vulsweb-tests/tools/tag?repo=vuls/vuls"),
        ("POST", "/images/vulsweb-tests/tools/push"),
        ("DELETE", "/images/vulsweb-tests/tools"),
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
        ("POST", "/v1.23/containers/{id}/start"),
        ("GET", "/v1.41/v1.41/containers/{id}/export"),
        ("GET", "/containers/../containers/{id}/export"),
        ("GET", "/%63ontainers/{id}/export"),
    ],
)
def test_what_the_executor_does_not_need_is_refused(proxy: str, method: str, path: str) -> None:
    answer = requests.request(method, f"{proxy}{path.format(id='any')}", timeout=patience(30))

    assert answer.status_code == 403
    assert answer.json() == {"message": "The Docker proxy does not allow this call."}


@pytest.mark.parametrize(
    "wanted",
    [
        {"HostConfig": {"Privileged": True}},
        {"hostconfig": {"privileged": True}},
        {"HostConfig": {"Binds": ["/:/host"]}},
        {"HostConfig": {"Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}]}},
        {"HostConfig": {"Mounts": [{"Type": "volume", "Source": "vulsweb_postgres", "Target": "/here"}]}},
        {"HostConfig": {"Mounts": [{"Type": "volume", "Source": "somebody_else", "Target": "/here"}]}},
        {
            "HostConfig": {
                "Mounts": [
                    {
                        "Type": "volume",
                        "Target": "/here",
                        "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"device": "/"}}},
                    }
                ]
            }
        },
        {"HostConfig": {"VolumesFrom": ["vulsweb_web_1"]}},
        {"HostConfig": {"CapAdd": ["SYS_ADMIN"]}},
        {"HostConfig": {"Devices": [{"PathOnHost": "/dev/sda"}]}},
        {"HostConfig": {"PidMode": "host"}},
        {"HostConfig": {"PidMode": "container:vulsweb_web_1"}},
        {"HostConfig": {"NetworkMode": "host"}},
        {"HostConfig": {"NetworkMode": "container:vulsweb_web_1"}},
        {"HostConfig": {"NetworkMode": "vulsweb_data"}},
        {"NetworkingConfig": {"EndpointsConfig": {"vulsweb_data": {}}}},
        {"NetworkingConfig": {"EndpointsConfig": {"vulsweb-tools": {}, "vulsweb_data": {}}}},
        {"HostConfig": {"IpcMode": "host"}},
        {"HostConfig": {"UsernsMode": "host"}},
        {"HostConfig": {"CgroupParent": "/docker"}},
        {"HostConfig": {"SecurityOpt": ["seccomp=unconfined"]}},
        {"HostConfig": {"SecurityOpt": ["no-new-privileges", "apparmor=unconfined"]}},
        {"HostConfig": {"MaskedPaths": [], "ReadonlyPaths": ["/none"]}},
        {"HostConfig": {"PortBindings": {"22/tcp": [{"HostPort": "22"}]}}},
        {"HostConfig": {"LogConfig": {"Type": "syslog"}}},
    ],
    ids=json.dumps,
)
def test_a_way_out_of_a_container_is_refused(proxy: str, wanted: dict[str, Any]) -> None:
    answer = requests.post(
        f"{proxy}/containers/create", json={"Image": TOOLS_ROOT, **wanted}, timeout=patience(30)
    )

    assert answer.status_code == 403
    assert "container or network" in answer.json()["message"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"Name": "vulsweb-x-tools", "Driver": "macvlan"},
        {"Name": "vulsweb-x-tools", "Driver": "host"},
        {
            "Name": "vulsweb-x-tools",
            "Driver": "bridge",
            "Options": {"com.docker.network.bridge.name": "docker0"},
        },
    ],
    ids=json.dumps,
)
def test_a_network_that_is_a_way_out_is_refused(proxy: str, wanted: dict[str, Any]) -> None:
    assert (
        requests.post(f"{proxy}/v1.41/networks/create", json=wanted, timeout=patience(30)).status_code == 403
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"HostConfig": {"\\u0050rivileged": true}}',
        b'{"HostConfig": {"Bind\\u017f": ["/:/host"]}}',
        '{"HostConfig": {"Bind\u017f": ["/:/host"]}}'.encode(),
        b'{"Image": "%s", "HostConfig": {"Privileged": true}}' % (b" " * 50_000),
    ],
    ids=["escaped", "escaped folding letter", "folding letter", "longer than is looked at"],
)
def test_what_is_written_so_that_it_cannot_be_seen_is_refused(proxy: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}

    answer = requests.post(f"{proxy}/containers/create", data=body, headers=headers, timeout=patience(30))

    assert answer.status_code == 403
    assert "cannot look into" in answer.json()["message"]


def test_a_body_of_unknown_length_is_refused(proxy: str) -> None:
    body = iter([b'{"HostConfig": {"Privileged"', b": true}}"])

    answer = requests.post(f"{proxy}/containers/create", data=body, timeout=patience(30))

    assert answer.status_code == 403
