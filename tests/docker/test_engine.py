"""The executor's containers on a real Docker: what they get, and every way in which they end."""

import json
from typing import Any

from tests.docker.place import (
    CONFINED,
    TOOLS_USER,
    Place,
    confinement,
    kill_all,
    running,
    volumes,
    vuls,
    wait_for,
)
from tests.executor.callers import Caller
from tests.executor.conftest import Server
from tests.executor.processes import steps


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


def test_a_container_gets_nothing_that_it_could_misuse(place: Place, fake: Server) -> None:
    place.variables["EXECUTOR_DOCKER_MEMORY"] = "256m"
    place.behave(vuls("grep CapEff /proc/self/status; id -u; touch /x 2>&1; " + wait_for(place.jobs / "go")))
    fake.start()
    fake.call.submit_scan("target")

    found = json.loads(place.engine.docker("inspect", running(place)))[0]
    (place.jobs / "go").touch()
    job = fake.call.finished(found["Config"]["Labels"]["org.vulsweb.job"])

    host = found["HostConfig"]
    assert confinement(found) == CONFINED
    assert (host["Memory"], host["MemorySwap"]) == (256 * 2**20, 256 * 2**20)
    assert found["Config"]["User"] == TOOLS_USER
    assert volumes(found) == {("volume", "jobs", True), ("volume", "ssh", False)}
    log = fake.call.log(job["id"])
    assert "CapEff:\t0000000000000000\n65534\n" in log
    assert "Read-only file system" in log


def test_a_container_that_is_killed_fails_the_job_with_what_happened(place: Place, fake: Server) -> None:
    place.behave(vuls("sleep 600"))
    fake.start()
    job_id = fake.call.submit_scan("target")

    place.engine.docker("kill", running(place))
    job = fake.call.finished(job_id)

    assert (job["status"], job["error"]) == ("failed", "vuls was ended by signal 9.")
    assert place.containers() == []


def test_a_container_that_is_removed_fails_the_job_with_what_happened(place: Place, fake: Server) -> None:
    place.behave(vuls("sleep 600"))
    fake.start()
    job_id = fake.call.submit_scan("target")

    place.engine.docker("rm", "--force", running(place))

    # Docker kills before it removes, and either may be seen first.
    assert fake.call.finished(job_id)["error"] in (
        "vuls was ended by signal 9.",
        "The container of vuls was removed by someone else.",
    )


def test_a_tool_that_needs_too_much_memory_is_told_apart(place: Place, fake: Server) -> None:
    place.variables["EXECUTOR_DOCKER_MEMORY"] = "32m"
    place.behave(vuls("x=$(head -c 200000000 /dev/zero | tr '\\0' x)"))
    fake.start()

    job = fake.call.finished(fake.call.submit_scan("target"), seconds=60)

    assert job["error"] == "vuls did not finish: it needed more than the 32m of memory it may use."


def test_cancelling_ends_the_container_and_removes_it(place: Place, fake: Server) -> None:
    place.behave(vuls("trap '' TERM; while :; do sleep 1; done"))
    fake.start()
    job_id = fake.call.submit_scan("target")
    running(place)

    fake.call("DELETE", f"/jobs/{job_id}")

    assert fake.call.finished(job_id)["status"] == "cancelled"
    assert place.containers() == []


def test_a_container_that_takes_too_long_is_ended(place: Place, fake: Server) -> None:
    place.variables["EXECUTOR_STEP_TIMEOUT_SECONDS"] = "5"
    place.behave(vuls("sleep 600"))
    fake.start()

    job = fake.call.finished(fake.call.submit_scan("target"), seconds=60)

    assert job["error"] == "vuls did not end within 5 seconds."
    assert place.containers() == []


def test_an_image_that_is_nowhere_is_named_with_what_to_do(place: Place, fake: Server) -> None:
    # Nobody listens there: a registry that cannot be reached.
    place.variables["EXECUTOR_VULS_IMAGE"] = "127.0.0.1:9/vuls/vuls:v9"
    fake.start()

    job = fake.call.finished(fake.call.submit_scan("target"), seconds=60)

    assert job["error"].startswith(
        "The image 127.0.0.1:9/vuls/vuls:v9 is not on this machine and could not be pulled"
    )
    assert "EXECUTOR_VULS_IMAGE" in job["error"]


def test_no_job_finds_the_files_of_another(place: Place, fake: Server) -> None:
    jobs, wait = place.jobs, wait_for(place.jobs / "go")
    look = f"ls {jobs}; ls -d {jobs}/*/; find {jobs} -name config.toml; touch {jobs}/x"
    place.behave(vuls(f"if grep -q servers.other config.toml; then {wait}; else {look}; fi"))
    fake.start()
    other = fake.call.submit_scan("other")
    running(place)
    (folder,) = (path for path in place.jobs.iterdir() if path.is_dir())

    job_id = fake.call.submit_scan("target")
    job = fake.call.finished(job_id)
    (place.jobs / "go").touch()

    log = fake.call.log(job_id)
    assert job["status"] == fake.call.finished(other)["status"] == "completed", log
    assert log.count("Permission denied") == 3, log
    assert f"ls: cannot access '{place.jobs}/*/'" in log
    assert folder.name not in log
    assert other not in folder.name


def test_what_a_job_left_behind_is_swept_at_the_next_start(place: Place, fake: Server) -> None:
    place.behave(vuls(wait_for(place.jobs / "go")))
    fake.start()
    job_id = fake.call.submit_scan("target")
    running(place)

    kill_all(fake, place)
    left = place.jobs / ("a" * 32)
    (left / "servers").mkdir(parents=True)
    (place.jobs / "others").mkdir()
    fake.start()
    (place.jobs / "go").touch()

    assert fake.call.finished(job_id)["status"] == "completed"
    assert not left.exists()
    assert (place.jobs / "others").exists()


def test_the_proxys_password_is_in_no_command_and_no_log(place: Place, fake: Server) -> None:
    place.variables["EXECUTOR_HTTPS_PROXY"] = "http://me:secret@127.0.0.1:9"
    place.behave(f"tr '\\0' ' ' </proc/self/cmdline; {wait_for(place.jobs / 'go')}; exit 1")
    fake.start()
    job_id = fake.call.submit_update("gost_debian")

    found = json.loads(place.engine.docker("inspect", running(place, "fetch")))[0]
    (place.jobs / "go").touch()
    fake.call.finished(job_id)

    assert "HTTP-PROXY=http://me:secret@127.0.0.1:9" in found["Config"]["Env"]
    assert "secret" not in " ".join(found["Args"]) + fake.call.log(job_id)


def test_docker_that_does_not_answer_fails_the_job_with_a_sentence(place: Place, fake: Server) -> None:
    place.variables["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    place.variables["EXECUTOR_CONNECT_TIMEOUT_SECONDS"] = "1"
    fake.start()

    job = fake.call.finished(fake.call.submit_scan("target"))

    assert (job["status"], job["error"][:40]) == ("failed", "Docker does not answer at unix:///nowher")
    assert fake.call("GET", "/health")[1]["tools"]["vuls"] is None


def test_health_names_the_images(place: Place, server: Server) -> None:
    server.start()

    health = server.call("GET", "/health")[1]

    assert health["engine"] == "docker"
    assert health["tools"]["vuls"] == {"path": "vuls/vuls:v0.26.0", "version": "v0.26.0"}
