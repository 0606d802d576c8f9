"""The current profile on a real Docker: a newer Vuls fetches its one database and reads it, in containers.

As in tests/executor/databases/test_vuls2.py that Vuls is v0.36.0, and the host says that it is Ubuntu.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from executor.databases import catalogue
from tests import images, vuls2
from tests.docker.place import CONFINED, TOOLS_USER, Place, confinement, kill_all, running, volumes
from tests.executor.conftest import Server
from tests.executor.processes import steps
from tests.mirror.server import Fault, Mirror, mirror
from tests.support.dockerd import Engine

PAGE_BYTES = 4096


@dataclass(frozen=True)
class Fetch:
    """An update that is over, and what Docker says about its container."""

    job: dict[str, Any]
    container: dict[str, Any]


# All tests here share one executor, and the database that it fetched once: none of them changes it.
@pytest.fixture(scope="module")
def place(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    tools = {"vuls": images.build_newer_vuls(docker_engine)}
    made = Place(docker_engine, tmp_path_factory.mktemp("current"), tools)
    yield made
    made.end()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database of the real tool's."""
    path = tmp_path_factory.mktemp("vuls2") / "vuls2.db"
    vuls2.make(vuls2.tools_folder() / "vuls2", path, vuls2.FLAWS)
    return path.read_bytes()


@pytest.fixture(scope="module")
def registry(place: Place, made: bytes) -> Iterator[Mirror]:
    """The registry, where the tools' network reaches it."""
    address = place.make_network()
    with mirror(vuls2.registry(made, vuls2.SCHEMA), (address, 0)) as served:
        place.variables |= {
            "EXECUTOR_PROFILE": catalogue.CURRENT,
            "EXECUTOR_HTTPS_PROXY": f"http://{address}:{served.server_port}",
            "EXECUTOR_CA_BUNDLE": str(served.ca_file),
        }
        yield served


@pytest.fixture(scope="module")
def server(place: Place, registry: Mirror) -> Iterator[Server]:
    place.config.write_text("")
    started = Server(place.variables)
    started.start()
    yield started
    kill_all(started, place)
    started.reserved.close()


@pytest.fixture(scope="module")
def fetched(place: Place, server: Server, registry: Mirror) -> Fetch:
    # What is looked at must not be gone by then.
    registry.fault = Fault.STALL
    job_id = server.call.submit_update("all")
    container = json.loads(place.engine.docker("inspect", running(place, "report")))[0]
    registry.fault = Fault.NONE
    return Fetch(server.call.finished(job_id, seconds=60), container)


@pytest.fixture
def breaking(registry: Mirror) -> Iterator[Mirror]:
    """The registry, which is mended after the test."""
    documents = registry.documents
    yield registry
    registry.documents, registry.fault = documents, Fault.NONE


def damaged(database: bytes) -> bytes:
    """Return a database without one of its pages, which a fetch does not need."""
    page = database.index(b"A flaw of coreutils.") // PAGE_BYTES * PAGE_BYTES
    return database[:page] + bytes(PAGE_BYTES) + database[page + PAGE_BYTES :]


def live(place: Place) -> Path:
    return place.databases / "vuls2.db"


def test_vuls_fetches_its_database_in_a_container_that_is_confined_like_any_other(
    place: Place, server: Server, fetched: Fetch
) -> None:
    job, container = fetched.job, fetched.container

    assert steps(job) == {"vuls2": "completed"}, server.call.log(job["id"])
    assert confinement(container) == CONFINED
    assert container["HostConfig"]["Memory"] == container["HostConfig"]["MemorySwap"] == 2 * 2**30
    assert container["Config"]["User"] == TOOLS_USER
    assert volumes(container) == {("volume", "jobs", True)}
    assert (place.containers(), list(place.jobs.iterdir())) == ([], [])

    databases = server.call("GET", "/health")[1]["databases"]
    assert job["databases"] == {"vuls2": databases["vuls2"] | {"changed": True}}
    assert databases["vuls2"]["rows"] == len(vuls2.FLAWS)
    assert databases["vuls2"]["size_bytes"] == live(place).stat().st_size
    assert job["started_at"] <= databases["vuls2"]["fetched_at"] <= job["ended_at"]


def test_a_scan_finds_what_the_fetched_database_holds(
    place: Place, server: Server, registry: Mirror, fetched: Fetch, target: str, tmp_path: Path
) -> None:
    says_ubuntu = vuls2.pretend_ubuntu(tmp_path / "ubuntu") / "lsb_release"
    place.engine.docker("cp", str(says_ubuntu), f"{target}:/usr/local/bin/")
    asked = len(registry.requests)

    job = server.call.finished(server.call.submit_scan("target"), seconds=180)

    log = server.call.log(job["id"])
    assert steps(job) == dict.fromkeys(("configtest", "scan", "report"), "completed"), log
    document = server.call("GET", job["results"][0]["url"])[1]
    assert (document["family"], document["errors"]) == ("ubuntu", [])
    assert set(document["scannedCves"]) == vuls2.FOUND
    assert fetched.job["databases"] == {"vuls2": job["databases"]["vuls2"] | {"changed": True}}
    # A report fetches nothing.
    assert len(registry.requests) == asked


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize(
    ("fault", "spoil", "sentence"),
    [
        pytest.param(Fault.AWAY, bytes, "Failed to fetch vuls2 db. err: failed to perform", id="away"),
        pytest.param(Fault.NONE, lambda _: b"?", "Failed to fetch vuls2 db. err: invalid", id="no database"),
        # Which Vuls does not see, and our own look does.
        pytest.param(Fault.NONE, damaged, "The fetched vuls2 database is damaged (page", id="damaged"),
    ],
)
def test_a_fetch_that_fails_leaves_the_last_database_and_says_why(
    place: Place,
    server: Server,
    breaking: Mirror,
    made: bytes,
    fault: Fault,
    spoil: Callable[[bytes], bytes],
    sentence: str,
) -> None:
    before = live(place).read_bytes()
    breaking.documents, breaking.fault = vuls2.registry(spoil(made), vuls2.SCHEMA), fault

    job = server.call.finished(server.call.submit_update("vuls2"), seconds=60)

    assert job["status"] == "failed"
    assert job["error"].startswith(sentence)
    assert live(place).read_bytes() == before
    assert (place.containers(), list(place.jobs.iterdir())) == ([], [])


def test_the_nine_databases_of_the_classic_profile_are_refused(server: Server) -> None:
    for name in catalogue.profile_databases(catalogue.CLASSIC):
        body = {"job_id": uuid.uuid4().hex, "database": name}
        status, problem = server.call("POST", "/database/update", body)

        assert (status, problem["field"]) == (422, "database")
        assert f"whose Vuls does not read {name}" in problem["detail"]
