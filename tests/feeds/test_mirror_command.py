import fcntl
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.mirror.documents import DEBIAN_TRACKER, shipped_documents
from tests.support.waiting import patience

ROOT = Path(__file__).parents[2]
FETCH = f"""
import os, requests
proxy, ca = os.environ["EXECUTOR_HTTPS_PROXY"], os.environ["EXECUTOR_CA_BUNDLE"]
answer = requests.get("{DEBIAN_TRACKER}", proxies={{"https": proxy}}, verify=ca, timeout=60)
print(len(answer.content))
"""
# Names each signal that it gets; SIGTERM ends it.
NAMES_SIGNALS = """
import signal
signals = {signal.SIGINT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("ready", flush=True)
while (number := signal.sigwait(signals)) != signal.SIGTERM:
    print(signal.Signals(number).name, flush=True)
print("SIGTERM", flush=True)
raise SystemExit(7)
"""


@contextmanager
def started(*words: str, terminal: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Start the mirror's command in a session of its own, with the terminal given or none at all."""

    def take_terminal() -> None:
        if terminal is not None:
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    command = [sys.executable, "-m", "tests.mirror", *words]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=take_terminal,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a pseudo-terminal: where keys are typed, and what a program sees."""
    ends = os.openpty()
    yield ends
    for end in ends:
        os.close(end)


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_command_finds_the_mirror_in_its_environment() -> None:
    with started("--", sys.executable, "-c", FETCH) as process:
        output = next_line(process)
        code = process.wait(patience(30))

    assert (code, output) == (0, str(len(shipped_documents()[DEBIAN_TRACKER])))


@pytest.mark.parametrize(
    ("script", "code"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)]
)
def test_the_commands_exit_code_is_ours(script: str, code: int) -> None:
    with started("--", sys.executable, "-c", script) as process:
        assert process.wait(patience(30)) == code


def test_a_signal_to_the_mirror_is_passed_on_and_the_command_waited_for() -> None:
    with started("--", sys.executable, "-c", NAMES_SIGNALS) as process:
        heard = [next_line(process)]
        process.send_signal(signal.SIGINT)
        heard.append(next_line(process))
        process.send_signal(signal.SIGTERM)
        heard.append(next_line(process))
        code = process.wait(patience(30))

    assert (heard, code) == (["ready", "SIGINT", "SIGTERM"], 7)


def test_ctrl_c_in_a_terminal_reaches_the_command_once(terminal: tuple[int, int]) -> None:
    keyboard, screen = terminal

    with started("--", sys.executable, "-c", NAMES_SIGNALS, terminal=screen) as process:
        heard = [next_line(process)]
        os.write(keyboard, b"\x03")
        heard.append(next_line(process))
        process.send_signal(signal.SIGTERM)
        heard.append(next_line(process))
        code = process.wait(patience(30))

    assert (heard, code) == (["ready", "SIGINT", "SIGTERM"], 7)


def test_without_a_command_the_settings_are_printed_and_served_until_ctrl_c() -> None:
    with started() as process:
        settings = dict(next_line(process).split("=", 1) for _ in range(2))
        proxies, ca = {"https": settings["EXECUTOR_HTTPS_PROXY"]}, settings["EXECUTOR_CA_BUNDLE"]
        answer = requests.head(DEBIAN_TRACKER, proxies=proxies, verify=ca, timeout=patience(10))
        process.send_signal(signal.SIGINT)
        code = process.wait(patience(30))

    assert (answer.status_code, code) == (200, 0)
