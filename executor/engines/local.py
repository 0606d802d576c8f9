"""Runs the tools as processes of this machine."""

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
from executor.databases.catalogue import CURRENT
from executor.config import Settings
from executor.engines import POLL_SECONDS, TAIL_BYTES, Command, Outcome, Waiting
from executor.errors import ToolMissingError, ToolTimeoutError

CHUNK = 64 * 1024
GUARD = "tool.lock"
# How long to wait for the last words of a tool whose descendants keep its output open.
DRAIN_SECONDS = 1.0


class LocalEngine:
    """Runs commands with the tools found in the tools folder, else on the search path."""

    # A process whose parent died cannot be listened to any more.
    adopts = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self, command: Command, waiting: Waiting) -> None:  # noqa: ARG002 (it waits for nothing)
        """Raise ToolMissingError where the tool is not installed."""
        self._program(command.tool)

    def run(
        self,
        command: Command,
        *,
        job_id: str,  # noqa: ARG002 (its processes are known by their folder)
        folder: Path,
        write: Callable[[bytes], None],
        check: Callable[[], None],
    ) -> Outcome:
        """Run one command in `folder` to its end, handing its output to `write` as it comes.

        `check` is called many times a second and raises to end the command early; however this
        returns or raises, no process of the command's group is left.
        """
        with self._start(self._program(command.tool), command, folder) as process:
            return self._follow(process, command, write, check)

    def is_underway(self, job_id: str, command: Command, check: Callable[[], None]) -> bool:  # noqa: ARG002
        """Say no: nothing is adopted."""
        return False

    def forget(self, job_id: str, command: Command) -> None:
        """Do nothing: a process that ended is gone."""

    def sweep(self, is_open: Callable[[str], bool]) -> tuple[str, ...]:  # noqa: ARG002
        """Do nothing: what a dead runner left is ended by whoever finds its job."""
        return ()

    def end_leftover(self, job_id: str, folder: Path) -> None:  # noqa: ARG002
        """End what a runner that died left running in `folder` and the folders in it."""
        for path in folder.rglob(GUARD):
            with locks.attempt(path) as free:
                number = path.read_text()
                if not free and number.isdigit():
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(int(number), signal.SIGKILL)

    def find(self, tool: str) -> Path | None:
        """Return the tool's path, or None where it is not installed."""
        folder = self.settings.tools_dir
        if folder and self.settings.profile == CURRENT:
            # Both generations have a `vuls`.
            folder /= CURRENT
        places = (folder, self.settings.search_path)
        for place in places:
            found = shutil.which(tool, path=str(place)) if place else None
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

    def tools(self) -> dict[str, dict[str, str | None] | None]:
        """Describe each tool of the profile: its path and version, or None where it is missing."""
        return {tool: self._describe(tool) for tool in self.settings.tools}

    def environment(self) -> dict[str, str]:
        """Return all that a tool gets to see of the environment."""
        variables = {
            "HOME": str(self.settings.home),
            "PATH": self.settings.search_path,
            "LANG": "C.UTF-8",
        }
        if self.settings.https_proxy:
            variables |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), self.settings.https_proxy)
            # The fetching tools' own option of that name, which some of their downloaders want: on a
            # command line everyone on the machine would read the password in it.
            variables["HTTP-PROXY"] = self.settings.https_proxy
            variables["NO_PROXY"] = "localhost,127.0.0.1,::1"
        if self.settings.ca_bundle:
            # git: some versions of gost clone a repository.
            variables |= dict.fromkeys(("SSL_CERT_FILE", "GIT_SSL_CAINFO"), str(self.settings.ca_bundle))
        return variables

    def _start(self, program: Path, command: Command, folder: Path) -> subprocess.Popen[bytes]:
        # The tool inherits the locked descriptor, so the lock says whether anything of its group is
        # left when this process has died and its number in the file may be another's by now. The
        # file is a new one each time: something that left an earlier group may still hold the old.
        _guard(folder).unlink(missing_ok=True)
        guard = os.open(_guard(folder), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(guard, fcntl.LOCK_EX)
        try:
            process = subprocess.Popen(  # noqa: S603 (a list of arguments that kinds.py made)
                [str(program), *command.arguments],
                cwd=folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(guard,),
            )
            os.write(guard, str(process.pid).encode())
        except OSError as error:
            raise ToolMissingError(f"{program} could not be started: {error.strerror}.") from error
        finally:
            os.close(guard)
        return process

    def _describe(self, tool: str) -> dict[str, str | None] | None:
        path = self.find(tool)
        if path is None:
            return None
        # `go install` leaves no version in the binary's own output, so the build writes it beside.
        try:
            versions = json.loads((path.parent / "versions.json").read_text())
        except (OSError, ValueError):
            versions = {}
        version = versions.get(tool) if isinstance(versions, dict) else None
        return {"path": str(path), "version": version if isinstance(version, str) else None}

    def _follow(
        self,
        process: subprocess.Popen[bytes],
        command: Command,
        write: Callable[[bytes], None],
        check: Callable[[], None],
    ) -> Outcome:
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
            self._terminate(process, output)
            raise
        finally:
            _signal_group(process, signal.SIGKILL)
        output.drain()
        return Outcome(process.wait(), output.tail)

    def _terminate(self, process: subprocess.Popen[bytes], output: "_Output") -> None:
        _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + self.settings.kill_grace_seconds
        while not _has_exited(process) and time.monotonic() < deadline:
            output.pump()


class _Output:
    """Reads a process's output without ever waiting for it."""

    def __init__(self, process: subprocess.Popen[bytes], write: Callable[[bytes], None]) -> None:
        if process.stdout is None:
            raise ValueError("the process was started without a pipe for its output")
        self.descriptor = process.stdout.fileno()
        self.write = write
        self.tail = b""
        self.ended = False

    def pump(self) -> bool:
        """Pass on what is there, waiting a moment for it; say whether anything came."""
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
        """Pass on what a process that has ended wrote last."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while not self.ended and time.monotonic() < deadline:
            if not self.pump():
                return


def _guard(folder: Path) -> Path:
    return folder / GUARD


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    # WNOWAIT leaves it unreaped: until its group has been ended, its number must stay its own.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # PermissionError: all that is left of the group runs as another user (sudo) and ends by itself.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
