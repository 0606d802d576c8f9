"""The executor on a real Docker: real containers, real kill -9."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.dockerd import Engine
from tests.executor.callers import KEY, Caller, until
from tests.executor.conftest import Server
from tests.executor.processes import runners, steps

pytestmark = pytest.mark.xdist_group("docker")


# A tool that does what the file says that `Place.behave` leaves.
FAKE = """\
FROM vulsweb-tests/tools
COPY tool /usr/local/bin/tool
ENTRYPOINT ["tool"]
"""


class Place:
    """Volumes, a network and settings of one executor, which runs on this machine as root."""

    def __init__(self, engine: Engine, folder: Path, images: dict[str, str]) -> None:
        self.engine = engine
        self.name = f"vulsweb-{uuid.uuid4().hex[:8]}"
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
    for runner in runners(place.data):
        os.kill(runner, signal.SIGKILL)


@pytest.fixture
def target(place: Place, server: Server, ssh_target: str) -> str:
    """A host to scan, in the tools' network, known by its key."""
    engine = place.engine
    key = place.ssh / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    os.chown(key, 65534, 65534)
    if not engine.docker("network", "ls", "--quiet", f"--filter=name={place.name}"):
        engine.docker("network", "create", place.name)
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
        " ConnectTimeout 10\n BatchMode yes\n"
    )
    place.config.write_text(f'[servers.target]\nhost = "target"\nsshConfigPath = "{place.ssh}/config"\n')
    return name


def _said(engine: Engine, words: list[str]) -> str | None:
    try:
        return engine.docker(*words)
    except RuntimeError:
        return None


@pytest.fixture
def fake(place: Place, server: Server, fake_image: str) -> Server:
    """An executor whose tools are fakes, not started yet."""
    for tool in ("VULS", "GOST"):
        place.variables[f"EXECUTOR_{tool}_IMAGE"] = fake_image
    place.config.write_text('[servers.target]\nhost = "target"\n[servers.other]\nhost = "other"\n')
    return server


def document(call: Caller, job: dict[str, Any]) -> dict[str, Any]:
    return call("GET", job["results"][0]["url"])[1]


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
    place.behave(vuls("grep CapEff /proc/self/status; id -u; touch /x; " + wait_for(place.jobs / "go")))
    fake.start()
    fake.call.submit_scan("target")

    found = json.loads(place.engine.docker("inspect", running(place)))[0]
    (place.jobs / "go").touch()
    job = fake.call.finished(found["Config"]["Labels"]["org.vulsweb.job"])

    host = found["HostConfig"]
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges:true"])
    assert (host["ReadonlyRootfs"], host["Privileged"], host["Binds"]) == (True, False, None)
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (256 * 2**20, 256 * 2**20, 256)
    assert found["Config"]["User"] == "65534:65534"
    assert {(mount["Type"], mount["Name"].rpartition("-")[2], mount["RW"]) for mount in found["Mounts"]} == {
        ("volume", "jobs", True),
        ("volume", "ssh", False),
    }
    log = fake.call.log(job["id"])
    assert "CapEff:\t0000000000000000\n65534\n" in log
    assert "Read-only file system" in log


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
    place.behave(vuls("x=$(head -c 200000000 /dev/zero | tr '\\\\0' x)"))
    fake.start()

    job = fake.call.finished(fake.call.submit_scan("target"), seconds=60)

    assert job["error"] == "vuls did not come to its end: it needed more than the 32m of memory it may use."


def test_cancelling_ends_the_container_and_removes_it(place: Place, fake: Server) -> None:
    place.behave(vuls("trap '' TERM; while :; do sleep 1; done"))
    fake.start()
    job_id = fake.call.submit_scan("target")
    running(place)

    fake.call("DELETE", f"/jobs/{job_id}")

    assert fake.call.finished(job_id)["status"] == "cancelled"
    assert place.containers() == []


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


def test_a_container_that_takes_too_long_is_ended(place: Place, fake: Server) -> None:
    place.variables["EXECUTOR_STEP_TIMEOUT_SECONDS"] = "5"
    place.behave(vuls("sleep 600"))
    fake.start()

    job = fake.call.finished(fake.call.submit_scan("target"), seconds=60)

    assert job["error"] == "vuls did not end within 5 seconds."
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


def test_an_image_that_is_nowhere_is_named_with_what_to_do(place: Place, fake: Server) -> None:
    # Nobody listens there: a registry that cannot be reached.
    place.variables["EXECUTOR_VULS_IMAGE"] = "127.0.0.1:9/vuls/vuls:v9"
    fake.start()

    job = fake.call.finished(fake.call.submit_scan("target"), seconds=60)

    assert job["error"].startswith(
        "The image 127.0.0.1:9/vuls/vuls:v9 is not on this machine and could not be pulled"
    )
    assert "EXECUTOR_VULS_IMAGE" in job["error"]


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
    fake.start()

    job = fake.call.finished(fake.call.submit_scan("target"))

    assert (job["status"], job["error"][:40]) == ("failed", "Docker could not be asked about vuls: Er")
    assert fake.call("GET", "/health")[1]["tools"]["vuls"] is None


def test_health_names_the_images(place: Place, server: Server) -> None:
    server.start()

    health = server.call("GET", "/health")[1]

    assert health["engine"] == "docker"
    assert health["tools"]["vuls"] == {"path": "vuls/vuls:v0.26.0", "version": "v0.26.0"}
