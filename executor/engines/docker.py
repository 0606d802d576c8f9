"""Runs each command in a container of its own.

A container gets no path of the host, no capability and no socket. It outlives whoever started it, so a runner
that comes later finds it by its labels and goes on listening.
"""

import contextlib
import os
import secrets
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.models.images import Image
from docker.types import LogConfig, Mount

from executor.config import DockerSettings, Settings
from executor.engines import Command, Outcome, Waiting, images
from executor.engines.streams import FAILURES, Heard, Stream
from executor.errors import ShutDownError, StepError, ToolMissingError, ToolTimeoutError

EXECUTOR_LABEL = "org.vulsweb.executor"
JOB_LABEL = "org.vulsweb.job"
COMMAND_LABEL = "org.vulsweb.command"
MOST_PROCESSES = 256
MOST_CONNECTIONS = 64
# Far more than a job's log takes in; Docker keeps it until the container goes.
DOCKER_LOG = LogConfig(type="json-file", config={"max-size": "64m", "max-file": "1"})
RETRY_SECONDS = 0.5
REMOVED = "The container of {tool} was removed by someone else."


Answer = TypeVar("Answer")


class DockerEngine:
    """Runs commands in containers that Docker makes from the tools' images."""

    adopts = True

    def __init__(self, settings: Settings, docker_settings: DockerSettings) -> None:
        self.settings = settings
        self.docker = docker_settings
        self._preparing = threading.Lock()
        self._images: dict[str, Image | ToolMissingError] = {}

    def prepare(self, command: Command, waiting: Waiting) -> None:
        """Find or pull the tool's image once for this engine, and say which one it is."""
        with self._preparing:
            if command.tool not in self._images:
                try:
                    self._images[command.tool] = images.find(
                        self._client,
                        self.docker.images[command.tool],
                        command,
                        waiting,
                        self.settings.connect_timeout_seconds,
                    )
                except ToolMissingError as error:
                    # A job of many hosts must not wait for the same registry once for each.
                    self._images[command.tool] = error
            if isinstance(found := self._images[command.tool], ToolMissingError):
                raise found

    def run(
        self,
        command: Command,
        *,
        job_id: str,
        folder: Path,
        write: Callable[[bytes], None],
        check: Callable[[], None],
    ) -> Outcome:
        """Run one command in a container, or adopt the one that an earlier runner began.

        The container stays until `forget`, so that what it came to is never lost. It also stays where the
        runner is told to end; however else this raises, it is gone.
        """
        try:
            # Found, too, where the answer to its making was lost.
            container = self._patiently(
                check, lambda: self._find(job_id, command) or self._create(command, job_id, folder)
            )
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
            raise StepError(REMOVED.format(tool=command.tool)) from error
        except FAILURES as error:
            raise StepError(f"Docker could not run {command.tool}: {images.reason(error)}") from error

    def is_underway(self, job_id: str, command: Command, check: Callable[[], None]) -> bool:
        """Say whether the command has a container."""
        try:
            return self._patiently(check, lambda: self._find(job_id, command)) is not None
        except FAILURES as error:
            raise StepError(
                f"Docker could not be asked about {command.tool}: {images.reason(error)}"
            ) from error

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
        try:
            return images.describe(self._client, self.docker.images[tool])
        except FAILURES:
            return None

    def _patiently(self, check: Callable[[], None], ask: Callable[[], Answer]) -> Answer:
        """Ask Docker something that may be asked twice, again and again while it cannot be reached."""
        deadline = time.monotonic() + self.settings.connect_timeout_seconds
        while True:
            check()
            try:
                return ask()
            except FAILURES as error:
                # A proxy in between says so where Docker itself is away.
                is_away = not isinstance(error, APIError) or error.status_code in (502, 503, 504)
                if not is_away or time.monotonic() > deadline:
                    raise
            time.sleep(RETRY_SECONDS)

    def _labelled(self, *labels: str) -> list[Container]:
        wanted = [f"{EXECUTOR_LABEL}={self._instance}", *labels]
        found: list[Container] = self._client.containers.list(
            all=True, ignore_removed=True, filters={"label": wanted}
        )
        return found

    def _find(self, job_id: str, command: Command) -> Container | None:
        found = self._labelled(f"{JOB_LABEL}={job_id}", f"{COMMAND_LABEL}={command.key}")
        return found[0] if found else None

    def _create(self, command: Command, job_id: str, folder: Path) -> Container:
        image = self._images.get(command.tool)
        if not isinstance(image, Image):
            # There was a container a moment ago, so nothing was prepared.
            raise StepError(REMOVED.format(tool=command.tool))
        with self._preparing:
            self._make_network()
        environment = self._environment(command, folder)
        self._hand_over(folder)
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

    def _hand_over(self, folder: Path) -> None:
        """Make the job's folder the tools' own; an executor that is not root has their number already.

        The folder of all jobs they may enter and not list, so that none finds another job's.
        """
        if os.geteuid() != 0 or self.settings.work_dir is None:
            return
        self.settings.work_dir.chmod(0o711)
        user, _, group = self.docker.user.partition(":")
        own = self.settings.work_dir / folder.relative_to(self.settings.work_dir).parts[0]
        for parent, folders, files in os.walk(own):
            for path in (parent, *(os.path.join(parent, name) for name in (*folders, *files))):  # noqa: PTH118
                os.chown(path, int(user), int(group), follow_symlinks=False)

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
        """Listen until the container has ended; where Docker breaks off, begin again where it was."""
        began = self._patiently(check, lambda: _started(container))

        def watch() -> None:
            check()
            if time.time() > began + command.timeout_seconds:
                raise ToolTimeoutError(
                    f"{command.tool} did not end within {command.timeout_seconds} seconds."
                )

        heard, patience = Heard(write), self.settings.connect_timeout_seconds
        while True:
            listening = time.monotonic()
            failure = self._listen(container, heard, watch)
            try:
                if failure is None and (outcome := self._outcome(container, heard.tail)):
                    return outcome
            except NotFound:
                raise
            except FAILURES as error:
                failure = error
            # A proxy in between that is started again, or Docker itself: the container lives on.
            if heard.is_more or time.monotonic() > listening + patience:
                heard.lost_at = time.monotonic()
            if failure and time.monotonic() > heard.lost_at + patience:
                raise failure
            watch()
            time.sleep(RETRY_SECONDS)

    def _listen(self, container: Container, heard: Heard, watch: Callable[[], None]) -> Exception | None:
        """Read the container's log to its end; return what kept Docker from going on."""
        heard.begin()
        log: Stream[bytes] = Stream(
            f"log of {container.short_id}", lambda: container.logs(stream=True, follow=True)
        )
        with contextlib.closing(log):
            while True:
                try:
                    pieces = log.take()
                except NotFound:
                    raise
                except FAILURES as error:
                    return error
                if pieces is None:
                    return None
                watch()
                for piece in pieces:
                    heard.take(piece)

    def _outcome(self, container: Container, tail: bytes) -> Outcome | None:
        """Return what a container came to, None where it still runs."""
        container.reload()
        state = container.attrs["State"]
        if state["Running"]:
            return None
        code = int(state["ExitCode"])
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


def _started(container: Container) -> float:
    """Have a container run that does not yet, and return when it began."""
    container.reload()
    if container.status == "created":
        container.start()
        container.reload()
    # By Docker's clock: it began when an earlier runner lived, perhaps.
    return datetime.fromisoformat(container.attrs["State"]["StartedAt"][:19] + "+00:00").timestamp()


def _remove_links(folder: Path) -> None:
    """Leave only files and folders: what a tool leaves is read here, where links lead elsewhere."""
    for path in _entries(folder):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            path.unlink()


def _entries(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in files)
        yield from (Path(parent, name) for name in folders if Path(parent, name).is_symlink())
