"""Child processes of the stack."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

LARGEST_LOG_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True)
class Owner:
    """The user and group that a program runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Child:
    """A program of the stack: how to start, check and stop it."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    folder: Path = field(default_factory=Path.cwd)
    ready: Callable[[], bool] = lambda: True
    stop_signal: signal.Signals = signal.SIGTERM
    owner: Owner | None = None  # None: the user who runs the stack
    listener: socket.socket | None = None  # a bound socket that the program inherits
    stop_seconds: float = 20


def as_owner(owner: Owner | None) -> list[str]:
    """Return the command prefix that runs a program as `owner`."""
    if owner is None:
        return ["setpriv"]
    return ["setpriv", f"--reuid={owner.uid}", f"--regid={owner.gid}", "--clear-groups", "--no-new-privs"]


def rotate_log(path: Path) -> None:
    """Move a large log's content to a file beside it.

    The log stays the same file, as a running program has it open. A line that comes in the same moment is
    lost.
    """
    if path.exists() and path.stat().st_size > LARGEST_LOG_BYTES:
        shutil.copyfile(path, f"{path}.1")
        os.truncate(path, 0)


class Process:
    """A running child."""

    def __init__(self, child: Child, log: Path, inherited: Sequence[int] = ()) -> None:
        self.child = child
        self.log = log
        files = [*inherited, *([child.listener.fileno()] if child.listener else [])]
        # setpriv makes the child end with its parent, so that even `kill -9` leaves no orphans. preexec_fn
        # could do so too, but Python code between fork and exec can deadlock.
        command = [*as_owner(child.owner), f"--pdeathsig={child.stop_signal.name[3:]}", *child.command]
        rotate_log(log)
        with log.open("ab") as output:
            self._popen = subprocess.Popen(  # noqa: S603 - a fixed command, no shell
                command,
                cwd=child.folder,
                env=dict(child.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=files,
                # A separate session: Ctrl-C in the terminal only reaches the supervisor.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._popen.pid

    def exit_code(self) -> int | None:
        """Return the exit code (negative for a signal), or None while running."""
        return self._popen.poll()

    def how_it_ended(self) -> str:
        """Describe the exit code or signal of an ended process."""
        code = self._popen.returncode
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def stop(self) -> bool:
        """Stop the process; return False if it had to be killed."""
        if self.exit_code() is None:
            self._popen.send_signal(self.child.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(self.child.stop_seconds)
        ended = self.exit_code() is not None
        self.kill_group()
        return ended

    def kill_group(self) -> None:
        """Kill whatever is left of the process and its group."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll `condition`; return whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
