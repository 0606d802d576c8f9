"""Jobs that outlive the executor and its runners: real containers, real kill -9."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.docker.place import Place, kill_all, running, vuls, wait_for
from tests.docker.proxies import DockerProxy
from tests.executor.callers import until
from tests.executor.conftest import Server
from tests.executor.processes import runners
from tests.support.forwarding import Forwarder


@pytest.fixture
def line(place: Place) -> Iterator[Forwarder]:
    """The executor's connection to Docker, which can break off."""
    forwarder = Forwarder(place.engine.socket)
    place.variables["DOCKER_HOST"] = f"tcp://{forwarder.address}"
    yield forwarder
    forwarder.close()


@pytest.mark.parametrize("servers", [["target"], ["target", "other"]])
def test_a_job_is_taken_up_after_the_executor_and_its_runner_were_killed(
    place: Place, fake: Server, servers: list[str]
) -> None:
    place.behave(vuls(f"echo first; {wait_for(place.jobs / 'go')}; echo second"))
    fake.start()
    job_id = fake.call.submit_scan(*servers)
    until(lambda: fake.call.log(job_id).count("first") == len(servers))
    before = sorted(place.containers())

    kill_all(fake, place)
    fake.start()
    after, meanwhile = sorted(place.containers()), fake.call.job(job_id)["status"]
    (place.jobs / "go").touch()
    job = fake.call.finished(job_id)

    assert (after, meanwhile, job["status"]) == (before, "running", "completed")
    assert [result["server"] for result in job["results"]] == servers
    log = fake.call.log(job_id)
    assert (log.count("first"), log.count("second")) == (len(servers), len(servers)), log
    assert log.count("vuls configtest") == log.count("vuls scan") == log.count("vuls report") == len(servers)
    assert place.containers() == []


def test_what_a_container_did_while_nobody_looked_is_collected(place: Place, fake: Server) -> None:
    place.behave(vuls(f"echo first; {wait_for(place.jobs / 'go')}; echo second"))
    fake.start()
    job_id = fake.call.submit_scan("target")
    container = running(place)
    until(lambda: "first" in fake.call.log(job_id))

    kill_all(fake, place)
    (place.jobs / "go").touch()
    place.engine.docker("wait", container)
    fake.start()

    assert fake.call.finished(job_id)["status"] == "completed"
    assert "first\nsecond\n" in fake.call.log(job_id)


def test_a_fetch_goes_on_under_the_next_runner(place: Place, fake: Server) -> None:
    with closing(sqlite3.connect(place.jobs / "made.sqlite3")) as connection, connection:
        connection.execute("CREATE TABLE fetch_meta (schema_version integer, last_fetched_at text)")
        connection.execute("INSERT INTO fetch_meta VALUES (3, '2026-01-01 00:00:00+00:00')")
        connection.execute("CREATE TABLE debian_cves (id integer)")
        connection.execute("INSERT INTO debian_cves VALUES (1)")
    fill = f'while [ $# -gt 1 ]; do shift; done; cp {place.jobs}/made.sqlite3 "$1"'
    place.behave(f"{fill}; echo half; {wait_for(place.jobs / 'go')}; echo whole")
    fake.start()
    job_id = fake.call.submit_update("gost_debian")
    until(lambda: "half" in fake.call.log(job_id))

    kill_all(fake, place)
    fake.start()
    (place.jobs / "go").touch()
    job = fake.call.finished(job_id)

    assert (job["status"], job["databases"]["gost_debian"]["rows"]) == ("completed", 1), job
    assert fake.call.log(job_id).count("half") == 1
    assert (place.databases / "gost.sqlite3").exists()


@pytest.mark.parametrize("servers", [["target"], ["target", "other"]])
def test_a_job_goes_on_under_the_next_runner_when_its_runner_is_told_to_end(
    place: Place, fake: Server, servers: list[str]
) -> None:
    place.behave(vuls(f"echo first; {wait_for(place.jobs / 'go')}; echo second"))
    fake.start()
    job_id = fake.call.submit_scan(*servers)
    until(lambda: fake.call.log(job_id).count("first") == len(servers))
    before, old = sorted(place.containers()), runners(place.data)

    for runner in old:
        os.kill(runner, signal.SIGTERM)
    until(lambda: not set(old) & set(runners(place.data)))
    meanwhile = fake.call.job(job_id)["status"]
    until(lambda: runners(place.data))
    after = sorted(place.containers())
    (place.jobs / "go").touch()
    job = fake.call.finished(job_id)

    assert (after, meanwhile, job["status"]) == (before, "running", "completed")
    log = fake.call.log(job_id)
    assert (log.count("first"), log.count("second")) == (len(servers), len(servers)), log


def test_a_job_whose_log_breaks_off_goes_on_where_it_was(place: Place, fake: Server, line: Forwarder) -> None:
    place.behave(vuls(f"echo first; {wait_for(place.jobs / 'go')}; echo second"))
    fake.start()
    job_id = fake.call.submit_scan("target")
    until(lambda: "first" in fake.call.log(job_id))

    # For longer than between two tries.
    line.close()
    time.sleep(2)
    line.listen()
    (place.jobs / "go").touch()
    job = fake.call.finished(job_id)

    assert job["status"] == "completed", job["error"]
    assert "first\nsecond\n" in fake.call.log(job_id)


def test_a_job_that_begins_while_docker_is_away_fails_at_once_and_the_next_one_runs(
    place: Place, fake: Server, line: Forwarder
) -> None:
    place.behave(vuls("echo scanning"))
    fake.start()
    line.close()
    early = fake.call.finished(fake.call.submit_scan("target", "other"))

    line.listen()
    job = fake.call.finished(fake.call.submit_scan("target", "other"))

    assert early["status"] == "failed"
    assert early["error"].startswith("Docker does not answer at ")
    assert job["status"] == "completed", job["error"]
    assert place.containers() == []


def test_a_job_that_waits_for_docker_can_be_cancelled(place: Place, fake: Server, line: Forwarder) -> None:
    place.behave(vuls(f"echo first; {wait_for(place.jobs / 'go')}; echo second"))
    fake.start()
    job_id = fake.call.submit_scan("target")
    until(lambda: "first" in fake.call.log(job_id))
    line.close()

    fake.call("DELETE", f"/jobs/{job_id}")

    assert fake.call.finished(job_id)["status"] == "cancelled"


def test_a_scan_outlives_a_restart_of_the_proxy_before_docker(
    place: Place, fake: Server, proxy: DockerProxy
) -> None:
    place.behave(vuls(f"echo first; {wait_for(place.jobs / 'go')}; echo second"))
    proxy.start()
    fake.start()
    job_id = fake.call.submit_scan("target")
    until(lambda: "first" in fake.call.log(job_id))

    proxy.stop()
    proxy.start()
    (place.jobs / "go").touch()
    job = fake.call.finished(job_id)

    assert job["status"] == "completed", job["error"]
    assert "first\nsecond\n" in fake.call.log(job_id)


def test_docker_that_stays_away_fails_the_job_in_the_end(place: Place, fake: Server, line: Forwarder) -> None:
    place.variables["EXECUTOR_CONNECT_TIMEOUT_SECONDS"] = "3"
    place.behave(vuls("echo first; sleep 600"))
    fake.start()
    job_id = fake.call.submit_scan("target")
    until(lambda: "first" in fake.call.log(job_id))

    line.close()
    job = fake.call.finished(job_id, seconds=30)

    assert (job["status"], job["error"].partition(":")[0]) == ("failed", "Docker could not run vuls")


def test_a_job_that_lost_its_runner_can_be_cancelled(place: Place, fake: Server) -> None:
    place.behave(vuls("sleep 600"))
    fake.start()
    job_id = fake.call.submit_scan("target")
    running(place)
    for runner in runners(place.data):
        os.kill(runner, signal.SIGKILL)

    fake.call("DELETE", f"/jobs/{job_id}")

    assert fake.call.finished(job_id)["status"] == "cancelled"
    assert place.containers() == []


def test_orphans_are_swept_and_containers_of_others_are_not(
    place: Place, fake: Server, fake_image: str
) -> None:
    fake.start()
    place.behave(vuls(wait_for(place.jobs / "go")))
    job_id = fake.call.submit_scan("target")
    instance = place.inspect(running(place), 'index .Config.Labels "org.vulsweb.executor"')
    make = (
        "run",
        "--detach",
        "--entrypoint=sleep",
        f"--network={place.name}",
        "--label=org.vulsweb.job=gone",
    )
    orphan = place.engine.docker(*make, f"--label=org.vulsweb.executor={instance}", fake_image, "600")
    others = place.engine.docker(*make, "--label=org.vulsweb.executor=another", fake_image, "600")

    (place.jobs / "go").touch()
    fake.call.finished(job_id)

    until(lambda: orphan not in place.containers())
    assert others in place.containers()
