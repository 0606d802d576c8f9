"""Runs each command in a container of its own; the only file that speaks to Docker.

A container gets no path of the host, no capability and no socket. It outlives whoever started it, so a runner
that comes later finds it by its labels and goes on listening.
"""

import contextlib
import os
import queue
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.models.images import Image
from docker.types import LogConfig, Mount

from executor.config import DockerSettings, Settings, image_variable
from executor.engines import POLL_SECONDS, TAIL_BYTES, Command, Outcome
from executor.errors import ShutDownError, StepError, ToolMissingError, ToolTimeoutError

EXECUTOR_LABEL = "org.vulsweb.executor"
JOB_LABEL = "org.vulsweb.job"
COMMAND_LABEL = "org.vulsweb.command"
MOST_PROCESSES = 256
MOST_CONNECTIONS = 64
# Far more than a job's log takes in; Docker keeps it until the container goes.
DOCKER_LOG = LogConfig(type="json-file", config={"max-size": "64m", "max-file": "1"})
SAY_EVERY_SECONDS = 2.0
WAIT_SECONDS = 30
# What the SDK raises where Docker fails or cannot be reached.
FAILURES = (DockerException, requests.RequestException, OSError)


class DockerEngine:
    """Runs commands in containers that Docker makes from the tools' images."""

    adopts = True

    def __init__(self, settings: Settings, docker_settings: DockerSettings) -> None:
        self.settings = settings
        self.docker = docker_settings
        self._preparing = threading.Lock()

    def run(
        self,
        command: Command,
        *,
        job_id: str,
        folder: Path,
        write: Callable[[bytes], None],
        say: Callable[[str], None],
        check: Callable[[], None],
    ) -> Outcome:
        """Run one command in a container, or adopt the one that an earlier runner began.

        The container stays until `forget`, so that what it came to is never lost. It also stays where the
        runner is told to end; however else this raises, it is gone.
        """
        try:
            container = self._find(job_id, command) or self._create(command, job_id, folder, say, check)
            try:
                return self._follow(container, command, write, check)
            except ShutDownError:
                raise
            except BaseException:
                self._end(container)
                raise
            finally:
                _remove_links(folder)
        except NotFound as error:
            raise StepError(f"The container of {command.tool} was removed by someone else.") from error
        except FAILURES as error:
            raise StepError(f"Docker could not run {command.tool}: {_reason(error)}") from error

    def is_underway(self, job_id: str, command: Command) -> bool:
        """Say whether the command has a container."""
        try:
            return self._find(job_id, command) is not None
        except FAILURES as error:
            raise StepError(f"Docker could not be asked about {command.tool}: {_reason(error)}") from error

    def forget(self, job_id: str, command: Command) -> None:
        """Remove the container of a command whose outcome is on disk."""
        with contextlib.suppress(*FAILURES):
            if container := self._find(job_id, command):
                container.remove(force=True, v=True)

    def end_leftover(self, job_id: str, folder: Path) -> None:  # noqa: ARG002 (they are known by label)
        """Remove the job's containers, running or not."""
        with contextlib.suppress(*FAILURES):
            for container in self._labelled(f"{JOB_LABEL}={job_id}"):
                self._end(container)

    def sweep(self, is_open: Callable[[str], bool]) -> list[str]:
        """Remove containers of jobs that are not open; return the jobs' ids."""
        swept: list[str] = []
        with contextlib.suppress(*FAILURES):
            for container in self._labelled():
                job_id = container.labels.get(JOB_LABEL, "")
                if not is_open(job_id):
                    self._end(container)
                    swept.append(job_id)
        return swept

    def tools(self) -> dict[str, dict[str, str | None] | None]:
        """Describe each tool by its image; without a version it is not here yet, None: Docker is silent."""
        return {tool: self._describe(tool) for tool in self.settings.tools}

    @cached_property
    def _client(self) -> docker.DockerClient:
        # `auto`, since Docker newer or older than the SDK's own version is as good.
        return docker.from_env(
            version="auto", max_pool_size=MOST_CONNECTIONS, environment=dict(self.docker.variables)
        )

    @cached_property
    def _instance(self) -> str:
        # Two executors may share one Docker, and neither may sweep the other's containers.
        path = self.settings.data_dir / "instance"
        with contextlib.suppress(FileExistsError), path.open("x") as file:
            file.write(secrets.token_hex(8))
        return path.read_text()

    def _describe(self, tool: str) -> dict[str, str | None] | None:
        name = self.docker.images[tool]
        try:
            self._client.images.get(name)
        except ImageNotFound:
            return {"path": name, "version": None}
        except FAILURES:
            return None
        return {"path": name, "version": name.rpartition(":")[2]}

    def _labelled(self, *labels: str) -> list[Container]:
        wanted = [f"{EXECUTOR_LABEL}={self._instance}", *labels]
        found: list[Container] = self._client.containers.list(
            all=True, ignore_removed=True, filters={"label": wanted}
        )
        return found

    def _find(self, job_id: str, command: Command) -> Container | None:
        found = self._labelled(f"{JOB_LABEL}={job_id}", f"{COMMAND_LABEL}={command.key}")
        return found[0] if found else None

    def _create(
        self,
        command: Command,
        job_id: str,
        folder: Path,
        say: Callable[[str], None],
        check: Callable[[], None],
    ) -> Container:
        with self._preparing:
            image = self._image(command.tool, say, check)
            self._make_network()
        environment = self._environment(command, folder)
        self._hand_over(job_id)
        return self._client.containers.create(
            image.id,
            list(command.arguments),
            labels={EXECUTOR_LABEL: self._instance, JOB_LABEL: job_id, COMMAND_LABEL: command.key},
            environment=environment,
            working_dir=str(folder),
            user=self.docker.user,
            mounts=self._mounts(command),
            network=self.docker.network,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            read_only=True,
            tmpfs={"/tmp": "size=256m,mode=1777"},  # noqa: S108 (the container's own)
            mem_limit=self.docker.memory,
            memswap_limit=self.docker.memory,
            nano_cpus=int(self.docker.cpus * 10**9),
            pids_limit=MOST_PROCESSES,
            log_config=DOCKER_LOG,
        )

    def _mounts(self, command: Command) -> list[Mount]:
        """Return the volumes that a command needs, each where the executor has it too."""
        mounts = [Mount(str(self.settings.work_dir), self.docker.jobs_volume, "volume")]
        if command.fetches:
            return mounts
        if command.tool == "vuls" and command.arguments[0] == "report":
            where = str(self.settings.databases_dir)
            mounts.append(Mount(where, self.docker.databases_volume, "volume", read_only=True))
        elif command.tool == "vuls" and self.docker.ssh_volume:
            mounts.append(Mount(str(self.docker.ssh_dir), self.docker.ssh_volume, "volume", read_only=True))
        return mounts

    def _environment(self, command: Command, folder: Path) -> dict[str, str]:
        # What is fetched may be larger than memory; Vuls' sockets need a short path.
        home = str(folder) if command.fetches else "/tmp"  # noqa: S108 (the container's own)
        variables = {"HOME": home, "TMPDIR": home, "LANG": "C.UTF-8"}
        if not command.fetches:
            return variables
        if self.settings.https_proxy:
            # The last is the fetching tools' own option; see the local engine.
            names = ("HTTP_PROXY", "HTTPS_PROXY", "HTTP-PROXY")
            variables |= dict.fromkeys(names, self.settings.https_proxy)
        if self.settings.ca_bundle:
            copy = folder / "ca.pem"
            shutil.copyfile(self.settings.ca_bundle, copy)
            variables |= dict.fromkeys(("SSL_CERT_FILE", "GIT_SSL_CAINFO"), str(copy))
        return variables

    def _hand_over(self, job_id: str) -> None:
        """Make the job's folder the tools' own; an executor that is not root has their number already."""
        if os.geteuid() != 0 or self.settings.work_dir is None:
            return
        user, _, group = self.docker.user.partition(":")
        for folder, folders, files in os.walk(self.settings.work_dir / job_id):
            for path in (folder, *(os.path.join(folder, name) for name in (*folders, *files))):  # noqa: PTH118
                os.chown(path, int(user), int(group), follow_symlinks=False)

    def _image(self, tool: str, say: Callable[[str], None], check: Callable[[], None]) -> Image:
        name = self.docker.images[tool]
        try:
            return self._client.images.get(name)
        except ImageNotFound:
            say(f"The image {name} is not on this machine; pulling it.")
        try:
            self._pull(name, say, check)
            return self._client.images.get(name)
        except FAILURES as error:
            raise ToolMissingError(
                f"The image {name} is not on this machine and could not be pulled ({_reason(error)})."
                f" Load it with `docker load`, or name one that is here with {image_variable(tool)}."
            ) from error

    def _pull(self, name: str, say: Callable[[str], None], check: Callable[[], None]) -> None:
        layers: dict[str, tuple[int, int]] = {}
        said_at = time.monotonic()
        for line in self._client.api.pull(name, stream=True, decode=True):
            check()
            if "error" in line:
                raise DockerException(str(line["error"]))
            detail = line.get("progressDetail") or {}
            if line.get("status") == "Downloading" and detail.get("total"):
                layers[line["id"]] = (detail["current"], detail["total"])
            if layers and time.monotonic() - said_at > SAY_EVERY_SECONDS:
                done, total = (sum(sizes) // 10**6 for sizes in zip(*layers.values(), strict=True))
                say(f"Pulling {name}: {done} of {total} MB.")
                said_at = time.monotonic()

    def _make_network(self) -> None:
        name = self.docker.network
        if name in {network.name for network in self._client.networks.list(names=[name])}:
            return
        with contextlib.suppress(APIError):
            # Where another runner was quicker, Docker refuses the second of the same name.
            self._client.networks.create(name, driver="bridge", check_duplicate=True)

    def _follow(
        self,
        container: Container,
        command: Command,
        write: Callable[[bytes], None],
        check: Callable[[], None],
    ) -> Outcome:
        if container.status == "created":
            container.start()
        container.reload()
        # By Docker's clock: it began when an earlier runner lived, perhaps.
        began = datetime.fromisoformat(container.attrs["State"]["StartedAt"][:19] + "+00:00").timestamp()
        tail = b""
        with contextlib.closing(_Output(container)) as output:
            while (data := output.take()) is not None:
                check()
                if time.time() > began + command.timeout_seconds:
                    raise ToolTimeoutError(
                        f"{command.tool} did not end within {command.timeout_seconds} seconds."
                    )
                if data:
                    tail = (tail + data)[-TAIL_BYTES:]
                    write(data)
        return self._outcome(container, tail)

    def _outcome(self, container: Container, tail: bytes) -> Outcome:
        code = int(container.wait(timeout=WAIT_SECONDS)["StatusCode"])
        container.reload()
        state = container.attrs["State"]
        if state.get("OOMKilled"):
            return Outcome(code, tail, f"it needed more than the {self.docker.memory} of memory it may use")
        if state.get("Error"):
            return Outcome(code, tail, f"Docker says: {state['Error']}")
        # As a shell has it, 128 and the number.
        return Outcome(128 - code if code > 128 else code, tail)

    def _end(self, container: Container) -> None:
        with contextlib.suppress(*FAILURES):
            # Which kills it when the time is up.
            container.stop(timeout=self.settings.kill_grace_seconds)
        with contextlib.suppress(*FAILURES):
            container.remove(force=True, v=True)


class _Output:
    """Reads a container's log from its beginning in a thread, since Docker's stream cannot be polled."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._pieces: queue.Queue[bytes | None] = queue.Queue(maxsize=64)
        self._closed = threading.Event()
        self._failure: Exception | None = None
        threading.Thread(target=self._read, name=f"log of {container.short_id}", daemon=True).start()

    def take(self) -> bytes | None:
        """Return what came next, nothing after a moment without, None at the end."""
        try:
            piece = self._pieces.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return b""
        if piece is None and self._failure:
            raise self._failure
        return piece

    def close(self) -> None:
        """Have the thread end with the next piece."""
        self._closed.set()

    def _read(self) -> None:
        try:
            for piece in self._container.logs(stream=True, follow=True):
                if not self._put(piece):
                    return
        except FAILURES as error:
            self._failure = error
        self._put(None)

    def _put(self, piece: bytes | None) -> bool:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._pieces.put(piece, timeout=1)
                return True
        return False


def _remove_links(folder: Path) -> None:
    """Leave only files and folders: what a tool leaves is read here, where links lead elsewhere."""
    for path in _entries(folder):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            path.unlink()


def _entries(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in files)
        yield from (Path(parent, name) for name in folders if Path(parent, name).is_symlink())


def _reason(error: Exception) -> str:
    said: Any = error.explanation if isinstance(error, APIError) and error.explanation else error
    return " ".join(str(said).split())[:500].rstrip(".")
