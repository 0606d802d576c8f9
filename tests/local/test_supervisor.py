import os
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.local.conftest import eventually
from vulsweb.local.children import LARGEST_LOG_BYTES, Child
from vulsweb.local.errors import StackError, StopRequested
from vulsweb.local.supervisor import Restarts, Supervisor

MakeChild = Callable[..., Child]

WRITE = """
import os, signal, sys, time
def write(words):
    with open(os.environ["journal"], "a") as journal:
        journal.write(words + "\\n")
"""
LIVE_UNTIL_TOLD = (
    WRITE
    + """
def stop(*_):
    write("stop " + name)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
write("start " + name)
while True:
    time.sleep(60)
"""
)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    path.touch()
    return path


def test_children_start_in_order_and_stop_in_reverse(
    python_child: MakeChild, journal: Path, tmp_path: Path
) -> None:
    def child(name: str) -> Child:
        lines = f"name = {name!r}\n{LIVE_UNTIL_TOLD}"
        return python_child(name, lines, ready=lambda: f"start {name}" in journal.read_text())

    with Supervisor(tmp_path, print) as supervisor:
        for name in ("database", "web", "worker"):
            supervisor.start(child(name))

    assert journal.read_text().split("\n")[:-1] == [
        *("start database", "start web", "start worker"),
        *("stop worker", "stop web", "stop database"),
    ]


def test_a_child_that_ends_is_restarted_and_reported(
    python_child: MakeChild, journal: Path, tmp_path: Path
) -> None:
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        supervisor.request_stop()

    lines = WRITE + "write('born')\nsys.exit(3)"
    with Supervisor(tmp_path, say) as supervisor:
        supervisor.start(python_child("web", lines))
        supervisor.watch()
        assert eventually(lambda: journal.read_text().count("born") == 2)

    assert said == ["web ended with exit code 3; restarted (1 of 3 this minute)."]


def test_a_child_that_keeps_ending_stops_the_stack_and_its_log_is_named(
    python_child: MakeChild, tmp_path: Path
) -> None:
    said: list[str] = []

    with Supervisor(tmp_path, said.append) as supervisor:
        supervisor.start(python_child("web", "import os; os.kill(os.getpid(), 9)"))
        with pytest.raises(StackError) as caught:
            supervisor.watch()

    assert str(caught.value) == (
        "web ended with signal SIGKILL and was not restarted, because it was restarted 3 times "
        f"within a minute; its log is {tmp_path / 'web.log'}."
    )
    assert len(said) == 3


def test_restarts_are_forgotten_after_a_minute() -> None:
    restarts = Restarts()

    counts = [restarts.count(now) for now in (0, 1, 2, 3, 59, 60, 61, 61.5)]

    assert counts == [1, 2, 3, None, None, 3, 3, None]


def test_a_child_that_ends_while_starting_ends_the_start(python_child: MakeChild, tmp_path: Path) -> None:
    with Supervisor(tmp_path, print) as supervisor, pytest.raises(StackError) as caught:
        supervisor.start(python_child("web", "raise SystemExit(4)", ready=lambda: False))

    assert str(caught.value) == (
        f"web ended with exit code 4 while starting; its log is {tmp_path / 'web.log'}."
    )


def test_a_child_that_never_answers_ends_the_start(python_child: MakeChild, tmp_path: Path) -> None:
    child = python_child("web", "import time; time.sleep(60)", ready=lambda: False)

    with Supervisor(tmp_path, print, ready_seconds=0.3) as supervisor, pytest.raises(StackError) as caught:
        supervisor.start(child)

    assert str(caught.value).startswith("web did not answer within")


def test_a_child_that_does_not_stop_is_killed_with_its_helpers(
    python_child: MakeChild, journal: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    lines = WRITE + (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.fork()\nwrite(str(os.getpid()))\nwhile True: time.sleep(60)"
    )
    ready = lambda: len(journal.read_text().split()) == 2  # noqa: E731

    with Supervisor(tmp_path, said.append) as supervisor:
        supervisor.start(python_child("web", lines, ready=ready, stop_seconds=0.2))

    assert said == ["web did not stop in time and was killed."]
    assert eventually(lambda: not any(psutil.pid_exists(int(pid)) for pid in journal.read_text().split()))


def test_a_stop_is_possible_while_children_are_starting(python_child: MakeChild, tmp_path: Path) -> None:
    child = python_child("web", "import time; time.sleep(60)", ready=lambda: False)

    with Supervisor(tmp_path, print) as supervisor:
        threading.Timer(0.2, supervisor.request_stop).start()
        with pytest.raises(StopRequested):
            supervisor.start(child)


def test_a_finished_program_returns_its_exit_code(python_child: MakeChild, tmp_path: Path) -> None:
    with Supervisor(tmp_path, print) as supervisor:
        code = supervisor.finish(python_child("prepare", "print('done'); raise SystemExit(5)"))

    assert code == 5
    assert (tmp_path / "prepare.log").read_text() == "done\n"


def test_the_terminals_interrupt_does_not_reach_a_child(
    python_child: MakeChild, journal: Path, tmp_path: Path
) -> None:
    lines = WRITE + "write(str(os.getsid(0)))\ntime.sleep(60)"

    with Supervisor(tmp_path, print) as supervisor:
        supervisor.start(python_child("web", lines, ready=lambda: journal.read_text().endswith("\n")))

    assert int(journal.read_text()) != os.getsid(0)


def test_a_large_log_is_moved_before_the_child_starts(python_child: MakeChild, tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    log.write_bytes(b"x" * (LARGEST_LOG_BYTES + 1))

    with Supervisor(tmp_path, print) as supervisor:
        supervisor.finish(python_child("web", "print('new')"))

    assert log.read_text() == "new\n"
    assert (tmp_path / "web.log.1").stat().st_size == LARGEST_LOG_BYTES + 1


def test_a_log_that_grows_large_is_moved_while_its_child_writes(
    python_child: MakeChild, tmp_path: Path
) -> None:
    lines = f"import os, sys, time\nprint('x' * {LARGEST_LOG_BYTES + 1}, flush=True)\n"
    lines += "while not os.path.exists('web.log.1') or os.path.getsize('web.log'):\n    time.sleep(0.05)\n"

    with Supervisor(tmp_path, lambda _: supervisor.request_stop()) as supervisor:
        supervisor.start(python_child("web", lines + "sys.exit(3)"))
        supervisor.watch()

    assert (tmp_path / "web.log.1").stat().st_size > LARGEST_LOG_BYTES
