"""The real Vuls and real OpenSSH servers: tests of connections, and scans beside servers that hang."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.executor.callers import Caller
from tests.executor.conftest import caller_of
from tests.executor.sshd import SshLab, ssh_lab

HANG = "sleep 600"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[SshLab]:
    with ssh_lab(tmp_path / "ssh") as made:
        yield made


@pytest.fixture
def call(
    lab: SshLab, variables: dict[str, str], tools_dir: Path, start: Callable[[], Flask]
) -> Callable[[], Caller]:
    """Start an executor that knows the lab's servers."""

    def start_one() -> Caller:
        Path(variables["EXECUTOR_VULS_CONFIG"]).write_text(lab.servers)
        variables["VULSWEB_TOOLS_DIR"] = str(tools_dir)
        # Long enough for a sound server on a busy machine.
        variables["EXECUTOR_CONNECT_TIMEOUT_SECONDS"] = "40"
        variables["EXECUTOR_HOSTS_AT_ONCE"] = "3"
        return caller_of(start())

    return start_one


def test_a_connection_test_tells_each_servers_trouble(lab: SshLab, call: Callable[[], Caller]) -> None:
    lab.sshd("good")
    lab.sshd("unknown", known="none")
    lab.sshd("changed", known="other")
    lab.sshd("refusing", key=lab.stranger)
    lab.sshd("hanging", command=HANG)
    lab.sshd("strange", command="exit 1")
    lab.mute("mute")
    lab.closed("closed")
    caller = call()

    names = ["good", "unknown", "changed", "refusing", "hanging", "strange", "mute", "closed"]
    job = caller.finished(caller.submit_scan(*names, scan_type="configtest"), seconds=200)

    assert job["status"] == "completed"
    assert {test["server"]: test["outcome"] for test in job["tests"]} == {
        "good": "ok",
        "unknown": "unknown_host_key",
        "changed": "changed_host_key",
        "refusing": "key_refused",
        "hanging": "timeout",
        "strange": "unsupported_os",
        "mute": "unreachable",
        "closed": "unreachable",
    }
    assert [step["name"] for step in job["steps"]] == ["configtest"]
    assert (job["steps"][0]["done"], job["steps"][0]["unit"]) == (8, "hosts")


def test_servers_that_hang_neither_fail_nor_hold_up_the_others(
    lab: SshLab, call: Callable[[], Caller]
) -> None:
    lab.sshd("good")
    # Two: in a process of their own, Vuls would wait for the second for ever.
    lab.sshd("hanging", command=HANG)
    lab.sshd("waiting", command=HANG)
    caller = call()

    job = caller.finished(caller.submit_scan("hanging", "good", "waiting"), seconds=200)

    documents = {result["server"]: caller("GET", result["url"])[1] for result in job["results"]}
    assert documents["good"]["errors"] == []
    assert len(documents["good"]["packages"]) > 50
    assert [documents[name]["errors"][0][:9] for name in ("hanging", "waiting")] == ["Timed out"] * 2
    assert (job["status"], job["steps"][1]["done"], job["steps"][1]["total"]) == ("completed", 3, 3)
