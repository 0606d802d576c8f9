"""Runs each command in a container of its own.

A container gets no path of the host, no capability and no socket. It outlives the runner that started it:
a later runner finds it by its labels and continues reading its log.
"""

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.models.images import Image

from executor.config import DockerSettings, Settings
from executor.engines import Command, Outcome, PullReporter, container_options, images
from executor.engines.container_options import COMMAND_LABEL, EXECUTOR_LABEL, JOB_LABEL
from executor.engines.streams import FAILURES, LogReader
from executor.errors import ShutDownError, StepError, ToolMissingError, ToolTimeoutError

MAX_CONNECTIONS = 64
RETRY_SECONDS = 0.5
PROXY_ADVICE = (
    "Check that Docker runs, and that DOCKER_GID in .env is the group of its socket:"
    " `stat -c %g /var/run/docker.sock`; `make up` writes it."
)
DAEMON_ADVICE = "Check that Docker and the docker-proxy service run: `deploy/compose ps docker-proxy`."
REMOVED = "The container of {tool} was removed by someone else."

Answer = TypeVar("Answer")


def socket_rights(address: str) -> str | None:
    """Say who may use Docker's socket, if we may not."""
    path = Path(address.removeprefix("unix://"))
    try:
        found = path.stat()
    except OSError:
        return None
    if not path.is_absolute() or os.access(path, os.W_OK, effective_ids=True):
        return None
    ours = ", ".join(map(str, sorted({os.getegid(), *os.getgroups()})))
    return (
        f"The socket belongs to user {found.st_uid} and group {found.st_gid} with mode"
        f" {found.st_mode & 0o777:o};"
        f" the executor runs as user {os.geteuid()} with the groups {ours}. Add group {found.st_gid} to it."
    )


class DockerEngine:
    """Runs commands in containers made from the tools' images."""

    can_reattach = True

    def __init__(self, settings: Settings, docker_settings: DockerSettings) -> None:
        self.settings = settings
        self.docker = docker_settings
        self._preparing = threading.Lock()
        self._images: dict[str, Image | ToolMissingError] = {}

    def prepare(self, command: Command, reporter: PullReporter) -> None:
        """Find or pull the tool's image, once for this engine.

        Log which image it is. Raise ToolMissingError if there is none.
        """
        with self._preparing:
            if command.tool not in self._images:
                try:
                    self._images[command.tool] = images.find_or_pull(
                        self._client,
                        self.docker.images[command.tool],
                        command,
                        reporter,
                        self.settings.connect_timeout_seconds,
                    )
                except ToolMissingError as error:
                    # A job of many hosts must not wait for the same registry once for each host.
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
        """Run a command in a container, or reattach to its container.

        An earlier runner may have started the container. It stays until `discard`, so that its outcome cannot
        be lost. It also stays when the runner is told to exit. If this raises anything else, it is removed.
        """
        try:
            # Look again on each try: it may have been created although Docker's reply was lost.
            container = self._retry(
                check, lambda: self._find(job_id, command) or self._create(command, job_id, folder)
            )
            try:
                return self._follow(container, command, write, check)
            except ShutDownError:
                raise
            except BaseException:
                self._stop_and_remove(container)
                raise
            finally:
                container_options.remove_special_files(folder)
        except NotFound as error:
            raise StepError(REMOVED.format(tool=command.tool)) from error
        except FAILURES as error:
            raise StepError(f"Docker could not run {command.tool}: {images.reason(error)}") from error

    def is_started(self, job_id: str, command: Command, check: Callable[[], None]) -> bool:
        """Return whether the command has a container."""
        try:
            return self._retry(check, lambda: self._find(job_id, command)) is not None
        except FAILURES as error:
            raise StepError(
                f"Docker could not be asked about {command.tool}: {images.reason(error)}"
            ) from error

    def discard(self, job_id: str, command: Command) -> None:
        """Remove the container of a command whose outcome has been saved."""
        with contextlib.suppress(*FAILURES):
            if container := self._find(job_id, command):
                container.remove(force=True, v=True)

    def end_leftovers(self, job_id: str, folder: Path) -> None:  # noqa: ARG002 (they are found by label)
        """Remove the job's containers, running or not."""
        with contextlib.suppress(*FAILURES):
            for container in self._labelled(f"{JOB_LABEL}={job_id}"):
                self._stop_and_remove(container)

    def remove_orphans(self, is_open: Callable[[str], bool]) -> list[str]:
        """Remove the containers of jobs that are not open.

        Return the ids of those jobs.
        """
        removed: list[str] = []
        with contextlib.suppress(*FAILURES):
            for container in self._labelled():
                job_id = container.labels.get(JOB_LABEL, "")
                if not is_open(job_id):
                    self._stop_and_remove(container)
                    removed.append(job_id)
        return removed

    def problem(self) -> str | None:
        """Return why Docker cannot be used, with what to do, or None."""
        address = self.docker.variables.get("DOCKER_HOST", "/var/run/docker.sock")
        try:
            self._client.version()
        except FAILURES as error:
            # The SDK puts the proxy's own 503 into a sentence of its own.
            if "503" in str(error):
                return f"The Docker proxy at {address} cannot reach Docker. {PROXY_ADVICE}"
            return f"Docker does not answer at {address}. {socket_rights(address) or DAEMON_ADVICE}"
        return None

    def tools(self) -> dict[str, dict[str, str | None] | None]:
        """Return the image of each tool.

        A tool has None instead if Docker does not answer. The version is None if the image has not been
        pulled.
        """
        described: dict[str, dict[str, str | None] | None] = {}
        for tool in self.settings.tools:
            described[tool] = None
            with contextlib.suppress(*FAILURES):
                described[tool] = images.describe(self._client, self.docker.images[tool])
        return described

    @cached_property
    def _client(self) -> docker.DockerClient:
        # `auto`: any version of Docker's API will do, whether newer or older than the SDK's own.
        return docker.from_env(
            version="auto", max_pool_size=MAX_CONNECTIONS, environment=dict(self.docker.variables)
        )

    @cached_property
    def _instance(self) -> str:
        # Executors may share one Docker, and none may remove another's containers.
        path = self.settings.data_dir / "instance"
        with contextlib.suppress(FileExistsError), path.open("x") as file:
            file.write(secrets.token_hex(8))
        return path.read_text()

    def _retry(self, check: Callable[[], None], call: Callable[[], Answer]) -> Answer:
        """Retry an idempotent Docker call while Docker is unreachable."""
        deadline = time.monotonic() + self.settings.connect_timeout_seconds
        while True:
            check()
            try:
                return call()
            except FAILURES as error:
                # A proxy in between answers with these statuses while Docker itself is down.
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
            # Its container existed a moment ago, so the image was not prepared.
            raise StepError(REMOVED.format(tool=command.tool))
        network = self.docker.network
        with self._preparing:
            if network not in {each.name for each in self._client.networks.list(names=[network])}:
                # If another runner was quicker, Docker refuses the second network of the same name.
                with contextlib.suppress(APIError):
                    self._client.networks.create(network, driver="bridge", check_duplicate=True)
        options = container_options.options(self.settings, self.docker, command, folder)
        container_options.give_to_tools(self.settings, self.docker, folder)
        return self._client.containers.create(
            image.id,
            list(command.arguments),
            labels={EXECUTOR_LABEL: self._instance, JOB_LABEL: job_id, COMMAND_LABEL: command.key},
            **options,
        )

    def _follow(
        self,
        container: Container,
        command: Command,
        write: Callable[[bytes], None],
        check: Callable[[], None],
    ) -> Outcome:
        """Start the container if needed and read its log until it ends.

        If the connection to Docker breaks, read on where it broke off.
        """
        started_at = self._retry(check, lambda: container_options.start_once(container))

        def watch() -> None:
            check()
            if time.time() > started_at + command.timeout_seconds:
                raise ToolTimeoutError(
                    f"{command.tool} did not end within {command.timeout_seconds} seconds."
                )

        log, timeout = LogReader(container, write), self.settings.connect_timeout_seconds
        unreachable_since = time.monotonic()
        while True:
            reading_since = time.monotonic()
            failure = log.read(watch)
            try:
                if failure is None:
                    outcome = container_options.outcome(container, log.tail, self.docker.memory)
                    if outcome:
                        return outcome
            except NotFound:
                raise
            except FAILURES as error:
                failure = error
            # Docker, or a proxy in between, is restarting: the container lives on.
            if log.has_new_output or time.monotonic() > reading_since + timeout:
                unreachable_since = time.monotonic()
            if failure and time.monotonic() > unreachable_since + timeout:
                raise failure
            watch()
            time.sleep(RETRY_SECONDS)

    def _stop_and_remove(self, container: Container) -> None:
        with contextlib.suppress(*FAILURES):
            # Docker kills it after the timeout.
            container.stop(timeout=self.settings.kill_grace_seconds)
        with contextlib.suppress(*FAILURES):
            container.remove(force=True, v=True)
