"""Starts children in order, restarts them, and stops them in reverse order."""

import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from vulsweb.local.children import Child, Process, rotate_log
from vulsweb.local.errors import StackError, StopRequested

RESTARTS_PER_MINUTE = 3
POLL_SECONDS = 0.05
# Time for the helper processes of a dead server to release its memory and sockets.
RESTART_PAUSE_SECONDS = 0.5


class Restarts:
    """Counts a child's restarts within the last minute."""

    def __init__(self) -> None:
        self._at: deque[float] = deque()

    def count(self, now: float) -> int | None:
        """Count a restart; return its number this minute, None if too many."""
        while self._at and self._at[0] <= now - 60:
            self._at.popleft()
        if len(self._at) == RESTARTS_PER_MINUTE:
            return None
        self._at.append(now)
        return len(self._at)


class Supervisor:
    """Runs children and stops them when the context ends.

    Use it from the main thread: on Linux, a child ends with the thread that started it.
    """

    def __init__(
        self,
        logs: Path,
        say: Callable[[str], None],
        *,
        inherited: Sequence[int] = (),
        ready_seconds: float = 60,
    ) -> None:
        if shutil.which("setpriv") is None:
            raise StackError("The program setpriv is missing; install the package util-linux.")
        self._logs = logs
        self._say = say
        self._inherited = inherited
        self._ready_seconds = ready_seconds
        self._running: list[Process] = []
        self._restarts: dict[str, Restarts] = {}
        self._stop_requested = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def request_stop(self) -> None:
        """Make `start`, `finish` and `watch` return soon; safe in a signal handler."""
        self._stop_requested = True

    def start(self, *children: Child) -> None:
        """Start the children in this order; wait until all are ready."""
        for child in children:
            self._running.append(self._launch(child))
        waiting = list(children)
        deadline = time.monotonic() + self._ready_seconds
        while waiting := [child for child in waiting if not child.ready()]:
            self._raise_if_stopping()
            for process in self._running:
                if process.exit_code() is not None:
                    raise StackError(
                        f"{process.child.name} ended with {process.how_it_ended()} while starting; "
                        f"its log is {process.log}."
                    )
            if time.monotonic() > deadline:
                log = self._log(waiting[0])
                raise StackError(
                    f"{waiting[0].name} did not answer within {self._ready_seconds:.0f} seconds; "
                    f"its log is {log}."
                )
            time.sleep(POLL_SECONDS)

    def finish(self, child: Child) -> int:
        """Run a program until it ends; return its exit code."""
        process = self._launch(child)
        try:
            while (code := process.exit_code()) is None:
                self._raise_if_stopping()
                time.sleep(POLL_SECONDS)
            return code
        finally:
            process.stop()

    def watch(self) -> None:
        """Restart children that end; raise StackError after too many restarts."""
        while not self._stop_requested:
            for index, process in enumerate(self._running):
                rotate_log(process.log)
                if process.exit_code() is None or self._stop_requested:
                    continue
                name = process.child.name
                process.kill_group()
                count = self._restarts.setdefault(name, Restarts()).count(time.monotonic())
                if count is None:
                    raise StackError(
                        f"{name} ended with {process.how_it_ended()} and was not restarted, because it was "
                        f"restarted {RESTARTS_PER_MINUTE} times within a minute; its log is {process.log}."
                    )
                time.sleep(RESTART_PAUSE_SECONDS)
                self._running[index] = self._launch(process.child)
                self._say(
                    f"{name} ended with {process.how_it_ended()}; "
                    f"restarted ({count} of {RESTARTS_PER_MINUTE} this minute)."
                )
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop the children, the last one first."""
        while self._running:
            process = self._running.pop()
            if not process.stop():
                self._say(f"{process.child.name} did not stop in time and was killed.")

    def _launch(self, child: Child) -> Process:
        self._raise_if_stopping()
        return Process(child, self._log(child), self._inherited)

    def _log(self, child: Child) -> Path:
        return self._logs / f"{child.name}.log"

    def _raise_if_stopping(self) -> None:
        if self._stop_requested:
            raise StopRequested
