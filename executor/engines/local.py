"""Runs the tools as processes on this machine."""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from executor import locks
from executor.config import Settings
from executor.databases.catalogue import CURRENT
from executor.engines import POLL_SECONDS, TAIL_BYTES, Command, Outcome, PullReporter
from executor.errors import ToolMissingError, ToolTimeoutError

CHUNK = 64 * 1024
# Locked while a tool's process group lives; holds the group's number.
GROUP_LOCK = "tool.lock"
# How long to read on after a tool has exited whose descendants keep its output open.
DRAIN_SECONDS = 1.0


class LocalEngine:
    """Runs commands with the tools that are installed on this machine.

    They come from the tools folder, or else from the search path.
    """

    # The output of a process whose parent died cannot be read any more.
    can_reattach = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, command: Command, reporter: PullReporter) -> None:  # noqa: ARG002 (it pulls nothing)
        """Raise ToolMissingError if the tool is not installed."""
        self._program(command.tool)

    def run(
        self,
        command: Command,
        *,
        job_id: str,  # noqa: ARG002 (its processes are found by their folder)
        folder: Path,
        write: Callable[[bytes], None],
        check: Callable[[], None],
    ) -> Outcome:
        """Run a command in `folder` and pass on its output.

        The output goes to `write` as it comes. `check` is called many times a second and raises to stop the
        command. Whether this returns or raises, no process of the command's group is left.
        """
        with self._start(self._program(command.tool), command, folder) as process:
            output = _Output(process, write)
            deadline = time.monotonic() + command.timeout_seconds
            try:
                while not _has_exited(process):
                    check()
                    if time.monotonic() > deadline:
                        raise ToolTimeoutError(
                            f"{command.tool} did not end within {command.timeout_seconds} seconds."
                        )
                    output.pump()
            except BaseException:
                _signal_group(process, signal.SIGTERM)
                grace = time.monotonic() + self.settings.kill_grace_seconds
                while not _has_exited(process) and time.monotonic() < grace:
                    output.pump()
                raise
            finally:
                _signal_group(process, signal.SIGKILL)
                # What a cancelled tool said last is in the log too.
                output.drain()
            return Outcome(process.wait(), output.tail)

    def is_started(self, job_id: str, command: Command, check: Callable[[], None]) -> bool:  # noqa: ARG002
        """Return False: commands end with their runner."""
        return False

    def discard(self, job_id: str, command: Command) -> None:
        """Do nothing: an ended process needs no cleanup."""

    def remove_orphans(self, is_open: Callable[[str], bool]) -> tuple[str, ...]:  # noqa: ARG002
        """Do nothing: whoever finds a lost job ends its leftovers."""
        return ()

    def end_leftovers(self, job_id: str, folder: Path) -> None:  # noqa: ARG002
        """Kill the processes that a dead runner left in `folder`.

        Processes in its subfolders are killed too.
        """
        for path in folder.rglob(GROUP_LOCK):
            with locks.try_lock(path) as is_free:
                number = path.read_text()
                if not is_free and number.isdigit():
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(int(number), signal.SIGKILL)

    def find(self, tool: str) -> Path | None:
        """Return the tool's path, or None if it is not installed."""
        folder = self.settings.tools_dir
        if folder and self.settings.profile == CURRENT:
            # A folder of its own, because both profiles have a `vuls`.
            folder /= CURRENT
        for search_path in (folder, self.settings.search_path):
            found = shutil.which(tool, path=str(search_path)) if search_path else None
            if found:
                return Path(found).absolute()
        return None

    def _program(self, tool: str) -> Path:
        if found := self.find(tool):
            return found
        raise ToolMissingError(
            f"{tool} was not found on this machine: run `make tools`"
            f" or set VULSWEB_TOOLS_DIR to the folder that holds it."
        )

    def problem(self) -> str | None:
        """Return None: processes need nothing but this machine."""
        return None

    def tools(self) -> dict[str, dict[str, str | None] | None]:
        """Return the path and version of each of the profile's tools.

        A missing tool has None instead.
        """
        described: dict[str, dict[str, str | None] | None] = {}
        for tool in self.settings.tools:
            if (path := self.find(tool)) is None:
                described[tool] = None
                continue
            # `go install` puts no version into the binary, so the build writes a file of versions beside it.
            try:
                versions = json.loads((path.parent / "versions.json").read_text())
            except (OSError, ValueError):
                versions = {}
            version = versions.get(tool) if isinstance(versions, dict) else None
            described[tool] = {"path": str(path), "version": version if isinstance(version, str) else None}
        return described

    def environment(self, command: Command, folder: Path) -> dict[str, str]:
        """Return the whole environment of a command that runs in `folder`."""
        variables = {
            "HOME": str(self.settings.home),
            "PATH": self.settings.search_path,
            "LANG": "C.UTF-8",
        }
        if command.fetches:
            # A download may be larger than /tmp, and goes away with the job's folder.
            variables |= dict.fromkeys(("TMPDIR", "XDG_CACHE_HOME"), str(folder))
        if self.settings.https_proxy:
            variables |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), self.settings.https_proxy)
            # Earlier versions of the fetching tools want their own option of this name. It is set here
            # because everyone on the machine could read a proxy password on the command line.
            variables["HTTP-PROXY"] = self.settings.https_proxy
            variables["NO_PROXY"] = "localhost,127.0.0.1,::1"
        if self.settings.ca_bundle:
            # The second is for git: some versions of gost clone a repository.
            variables |= dict.fromkeys(("SSL_CERT_FILE", "GIT_SSL_CAINFO"), str(self.settings.ca_bundle))
        return variables

    def _start(self, program: Path, command: Command, folder: Path) -> subprocess.Popen[bytes]:
        # The tool inherits the locked descriptor. So the lock says whether its group still lives after this
        # process has died, when the group's number may belong to another process. The file is a new one
        # each time, because a process that left an earlier group may still hold the old lock.
        path = folder / GROUP_LOCK
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            process = subprocess.Popen(  # noqa: S603 (a list of arguments made by recipes/commands.py)
                [str(program), *command.arguments],
                cwd=folder,
                env=self.environment(command, folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(descriptor,),
            )
            os.write(descriptor, str(process.pid).encode())
        except OSError as error:
            raise ToolMissingError(f"{program} could not be started: {error.strerror}.") from error
        finally:
            os.close(descriptor)
        return process


class _Output:
    """Reads a process's output without blocking."""

    def __init__(self, process: subprocess.Popen[bytes], write: Callable[[bytes], None]) -> None:
        if process.stdout is None:
            raise ValueError("the process was started without a pipe for its output")
        self.descriptor = process.stdout.fileno()
        self.write = write
        self.tail = b""
        self.ended = False

    def pump(self) -> bool:
        """Pass on the available output, waiting a moment for it.

        Return whether there was any.
        """
        if self.ended:
            time.sleep(POLL_SECONDS)
            return False
        if not select.select([self.descriptor], [], [], POLL_SECONDS)[0]:
            return False
        data = os.read(self.descriptor, CHUNK)
        self.ended = not data
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        self.write(data)
        return bool(data)

    def drain(self) -> None:
        """Pass on the last output of a process that has exited."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while not self.ended and time.monotonic() < deadline:
            if not self.pump():
                return


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    # WNOWAIT leaves it unreaped, so that its number stays reserved until its group has been ended.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # PermissionError: the rest of the group runs as another user (sudo) and ends without a signal.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
