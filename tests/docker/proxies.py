"""The proxy before Docker, as a process of its own."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.docker.place import CONFINED, TOOLS_USER, Place, confinement
from tests.support.waiting import patience, wait_for
from vulsweb.local.valkey import free_port

REPOSITORY = Path(__file__).parents[2]


class DockerProxy:
    """The proxy between the executor of a place and Docker."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.host = f"tcp://127.0.0.1:{self.port}"  # as in DOCKER_HOST
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it with the settings that the executor has, and wait until it answers."""
        words = [sys.executable, "-m", "executor.docker_proxy", f"127.0.0.1:{self.port}"]
        environ = {**self.place.variables, "DOCKER_HOST": self.place.engine.host}
        self._process = subprocess.Popen(words, env=environ, cwd=REPOSITORY)
        wait_for(self._answers, seconds=30)

    def stop(self) -> None:
        """End it, if it was started."""
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(patience(30))

    def open_calls(self) -> int:
        """Return how many connections it has with Docker, and one or two of its own."""
        assert self._process
        return len(psutil.Process(self._process.pid).net_connections("unix"))

    def send(self, raw: bytes) -> bytes:
        """Send bytes as they are; return the first line of the answer, or nothing if it hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=patience(30)) as connection:
            connection.sendall(raw)
            with connection.makefile("rb") as answer:
                return answer.readline()

    def create(self, body: bytes | dict[str, Any], **headers: str) -> requests.Response:
        """Ask for a container."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url, headers = f"{self.url}/v1.41/containers/create", {"Content-Type": "application/json", **headers}
        return requests.post(url, data=data, headers=headers, timeout=patience(60))

    def judged(self, answer: requests.Response) -> int:
        """Return the status of an answer; whatever was created has to be confined."""
        if answer.status_code == 201:
            container = answer.json()["Id"]
            found = json.loads(self.place.engine.docker("inspect", container))[0]
            self.place.engine.docker("rm", "--volumes", container)
            host = found["HostConfig"]
            assert confinement(found) == CONFINED
            assert (found["Config"]["User"], host["NetworkMode"]) == (TOOLS_USER, self.place.name)
            assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (2 * 2**30, 2 * 2**30, 10**9)
            assert host["PidMode"] == host["UTSMode"] == host["UsernsMode"] == host["CgroupParent"] == ""
            assert host["MaskedPaths"]
            assert host["ReadonlyPaths"]
            assert host["RestartPolicy"]["Name"] in ("", "no")
            own = {f"{self.place.name}-{kind}" for kind in ("jobs", "databases", "ssh")}
            assert {mount["Name"] for mount in found["Mounts"]} <= own
        return answer.status_code

    def mount(self, volume: str, **more: Any) -> dict[str, Any]:
        """Return a volume of the executor at its own path, as it asks for it."""
        place = self.place
        where = {"jobs": place.jobs, "databases": place.databases, "ssh": place.ssh}[volume]
        shown = {"Type": "volume", "Source": f"{place.name}-{volume}", "Target": str(where)}
        return {**shown, "ReadOnly": volume != "jobs", **more}

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/_ping", timeout=patience(5)).ok
        except requests.ConnectionError:
            return False
