"""Connection tests, and scans next to hanging servers, with the real Vuls and OpenSSH."""

import getpass
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.executor.callers import Caller
from tests.executor.conftest import caller_of
from tests.support.sshd import FIRST_ADDRESS, Server, hanging, make_key, silent, sshd
from tests.support.waiting import patience


class Lab:
    """Servers, and the client's configuration for them."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        folder.mkdir()
        self.folder, self.running = folder, running
        self.key = make_key(folder / "key")
        self.known_hosts, self.config = folder / "known_hosts", folder / "config"
        self.servers = ""
        self.config.write_text(
            f"Host *\n User {getpass.getuser()}\n IdentityFile {self.key}\n IdentitiesOnly yes\n"
            f" UserKnownHostsFile {self.known_hosts}\n StrictHostKeyChecking yes\n"
            " BatchMode yes\n"
        )

    def serve(
        self,
        name: str,
        begin: Callable[..., AbstractContextManager[Server]] = sshd,
        *,
        known: bool = True,
        **how: Any,
    ) -> Server:
        """Start a server. By default it accepts the client's key, and the client knows its host key."""
        how.setdefault("authorized", [self.key.with_suffix(".pub").read_text()])
        server = self.running.enter_context(begin(self.folder / name, FIRST_ADDRESS, **how))
        if known:
            with self.known_hosts.open("a") as file:
                file.write(server.known_hosts_line)
        self.name(name, server.port)
        return server

    def name(self, name: str, port: int, connect_seconds: int = round(patience(10))) -> None:
        """Give a name to a server at a port."""
        lines = (
            f"Host {name}",
            f"HostName {FIRST_ADDRESS}",
            f"Port {port}",
            f"ConnectTimeout {connect_seconds}",
        )
        with self.config.open("a") as file:
            file.write("\n ".join(lines) + "\n")
        self.servers += f'[servers.{name}]\nhost = "{name}"\nsshConfigPath = "{self.config}"\n'


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with ExitStack() as running:
        yield Lab(tmp_path / "ssh", running)


@pytest.fixture
def call(
    lab: Lab, variables: dict[str, str], tools_dir: Path, start: Callable[[], Flask]
) -> Callable[..., Caller]:
    """Start an executor that knows the lab's servers, and waits for each for as long as given."""

    def start_one(connect_seconds: float = 4) -> Caller:
        Path(variables["EXECUTOR_VULS_CONFIG"]).write_text(lab.servers)
        variables["VULSWEB_TOOLS_DIR"] = str(tools_dir)
        variables["EXECUTOR_CONNECT_TIMEOUT_SECONDS"] = str(round(patience(connect_seconds)))
        variables["EXECUTOR_HOSTS_AT_ONCE"] = "3"
        return caller_of(start())

    return start_one


def test_a_connection_test_finds_each_servers_problem(lab: Lab, call: Callable[..., Caller]) -> None:
    lab.serve("good")
    lab.serve("unknown", known=False)
    lab.serve("changed").change_host_key()
    lab.serve("refusing", authorized=[])
    # It answers each of some dozen questions, so a busy machine needs long for all of them.
    lab.serve("strange", settings="ForceCommand exit 1\n")
    lab.name("closed", 1)
    caller = call(40)

    names = ["good", "unknown", "changed", "refusing", "strange", "closed"]
    job = caller.finished(caller.submit_scan(*names, scan_type="configtest"), seconds=200)

    assert job["status"] == "completed"
    assert {test["server"]: test["outcome"] for test in job["tests"]} == {
        "good": "ok",
        "unknown": "unknown_host_key",
        "changed": "changed_host_key",
        "refusing": "key_refused",
        "strange": "unsupported_os",
        "closed": "unreachable",
    }
    assert [step["name"] for step in job["steps"]] == ["configtest"]
    assert (job["steps"][0]["done"], job["steps"][0]["unit"]) == (6, "hosts")


def test_a_connection_test_waits_for_a_silent_server_only_so_long(
    lab: Lab, call: Callable[..., Caller]
) -> None:
    lab.serve("hanging", hanging)
    lab.name("mute", lab.running.enter_context(silent(FIRST_ADDRESS)), connect_seconds=5)
    caller = call()

    job = caller.finished(caller.submit_scan("hanging", "mute", scan_type="configtest"), seconds=200)

    found = {test["server"]: test["outcome"] for test in job["tests"]}
    assert found == {"hanging": "timeout", "mute": "unreachable"}


def test_hanging_servers_neither_fail_nor_delay_the_others(lab: Lab, call: Callable[..., Caller]) -> None:
    lab.serve("good")
    # Two of them: in one process, Vuls would wait for the second one forever.
    lab.serve("hanging", hanging)
    lab.serve("waiting", hanging)
    caller = call()

    job = caller.finished(caller.submit_scan("hanging", "good", "waiting"), seconds=200)

    documents = {result["server"]: caller("GET", result["url"])[1] for result in job["results"]}
    assert documents["good"]["errors"] == []
    assert len(documents["good"]["packages"]) > 50
    assert [documents[name]["errors"][0][:9] for name in ("hanging", "waiting")] == ["Timed out"] * 2
    assert (job["status"], job["steps"][1]["done"], job["steps"][1]["total"]) == ("completed", 3, 3)
