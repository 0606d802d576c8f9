"""Run a command with the mirror in front of the feeds, or serve until Ctrl-C.

python -m tests.mirror -- COMMAND ARG...
"""

import argparse
import os
import signal
import subprocess
import sys
from contextlib import suppress
from types import FrameType

from tests.mirror.documents import shipped_documents
from tests.mirror.server import Mirror, mirror

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def settings(server: Mirror) -> dict[str, str]:
    """Return what tells the executor to fetch through the mirror."""
    return {"EXECUTOR_HTTPS_PROXY": server.proxy_url, "EXECUTOR_CA_BUNDLE": str(server.ca_file)}


def in_foreground() -> bool:
    """Say whether a terminal delivers its Ctrl-C to our process group, and so to the child as well."""
    with suppress(OSError), open("/dev/tty", "rb") as terminal:  # noqa: PTH123 - a device, not a path
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    return False


def run(command: list[str], server: Mirror) -> int:
    """Run the command in the foreground and return its exit code, as a shell would name it."""
    # Before the command starts, which inherits the mask too.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    with subprocess.Popen(command, env=os.environ | settings(server)) as child:

        def pass_on(number: int, _frame: FrameType | None) -> None:
            # The terminal has sent Ctrl-C to the child itself; a second one might mean "at once" there.
            if not (number == signal.SIGINT and in_foreground()):
                child.send_signal(number)

        for number in SIGNALS:
            signal.signal(number, pass_on)
        code = child.wait()
    return code if code >= 0 else 128 - code


def serve(server: Mirror) -> None:
    for name, value in settings(server).items():
        print(f"{name}={value}", flush=True)
    # Blocked before the wait, so that a signal in between is not lost.
    signal.sigwait(SIGNALS)


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.mirror", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; for a container of its own")
    parser.add_argument("--port", type=int, default=0, help="the port; without it, any that is free")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run; nothing: serve until Ctrl-C")
    given = parser.parse_args()
    words = given.command
    command = words[1:] if words[:1] == ["--"] else words
    # The server's threads inherit the mask: a signal that one of them took would not wake up this one.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    with mirror(shipped_documents(), (given.host, given.port)) as server:
        if command:
            return run(command, server)
        serve(server)
        return 0


if __name__ == "__main__":
    sys.exit(main())
