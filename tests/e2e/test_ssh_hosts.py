"""From SSH configuration to findings on many hosts: the whole stack, the real Vuls and real SSH servers."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browsing import sign_in
from tests.e2e.conftest import stack_on
from tests.e2e.stack import Program, Stack, running
from tests.mirror.documents import Tracker, shipped_documents
from tests.mirror.expected import expected_findings
from tests.mirror.server import mirror
from tests.support.sshd import Server, hanging, jump_host, sshd
from tests.support.waiting import patience, wait_for

ALL = f"Host *\n    IdentityFile scanner\n    ConnectTimeout {round(patience(10))}\n"
BAD = {
    "refusing": "key_refused",
    "changed": "changed_host_key",
    "hanging": "timeout",
}


@pytest.fixture(scope="module")
def started(open_folder: Path) -> Iterator[Stack]:
    """A stack that gives up soon on a host that hangs.

    But late enough that Vuls, in one such time, can connect anew behind a jump host and look at the system.
    """
    with mirror(shipped_documents()) as feeds:
        stack = stack_on(open_folder / "ssh-hosts" / "data", feeds)
        stack.environ["EXECUTOR_CONNECT_TIMEOUT_SECONDS"] = str(round(patience(6)))
        with running(stack):
            yield stack


@pytest.fixture(scope="module")
def program(started: Stack) -> Program:
    return Program(started.url, started.command("token", "create", "tests").strip())


@pytest.fixture(scope="module")
def servers(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """Servers of every kind that know the stack's key, their host keys accepted; one has changed since."""
    key = program.post("/api/keys/generate", {"name": "scanner"})["public_key"]
    folder = tmp_path_factory.mktemp("servers")
    with ExitStack() as opened:
        start = opened.enter_context
        found = {
            "direct": start(sshd(folder / "direct", "127.0.0.11", authorized=[key])),
            "jump": start(jump_host(folder / "jump", "127.0.0.12", authorized=[key])),
            "behind": start(sshd(folder / "behind", "127.0.0.13", authorized=[key])),
            "refusing": start(sshd(folder / "refusing", "127.0.0.14")),
            "changed": start(sshd(folder / "changed", "127.0.0.15", authorized=[key])),
            "hanging": start(hanging(folder / "hanging", "127.0.0.16", authorized=[key])),
        }
        yield found


@pytest.fixture(scope="module")
def hosts(program: Program, servers: dict[str, Server]) -> dict[str, int]:
    """The hosts' ids by name, once the SSH configuration is saved and synced."""
    settings = {name: server.settings(name) for name, server in servers.items()}
    settings["behind"] += "    ProxyJump jump\n"
    content = "".join(settings.values()) + ALL
    saved = program.put("/api/ssh-config", {"content": content})
    assert (saved["left_out"], sorted(saved["added"])) == (["jump"], sorted(set(servers) - {"jump"}))
    known: dict[str, int] = {}

    def synced() -> bool:
        known.update((host["name"], host["id"]) for host in program.get("/api/hosts")["items"])
        return set(saved["added"]) <= set(known)

    wait_for(synced, 60)
    return known


def accept(program: Program, servers: dict[str, Server]) -> None:
    for server in servers.values():
        body = {"hostname": server.address, "port": server.port, "lines": server.host_key}
        offer = program.post("/api/known-hosts/offers", body)
        program.post(f"/api/known-hosts/offers/{offer['id']}/accept", {"accept_changed": False})


def tag(program: Program, hosts: dict[str, int], *names: str) -> None:
    for name in names:
        program.patch(f"/api/hosts/{hosts[name]}", {"tags": ["night"]})


def test_one_bad_host_holds_up_and_fails_no_other(
    page: Page,
    started: Stack,
    program: Program,
    servers: dict[str, Server],
    hosts: dict[str, int],
    facts: Tracker,
    pictures: Path,
) -> None:
    accept(program, servers)
    servers["changed"].change_host_key()
    tag(program, hosts, "direct", "behind", *BAD)
    update: dict[str, Any] = {"name": "Data", "task_type": "db_update", "cron_expression": "0 1 * * *"}
    update["config"] = {"database_type": "gost_debian"}
    scan: dict[str, Any] = {"name": "By night", "task_type": "scan", "cron_expression": "0 2 * * *"}
    scan |= {"config": {"scan_type": "fast"}, "host_tag": "night"}
    assert program.run_to_end(program.post("/api/scheduled-tasks/", update)["id"])["status"] == "success"

    run = program.run_to_end(program.post("/api/scheduled-tasks/", scan)["id"], seconds=240)

    lines = {line["name"]: line for line in program.get(f"/api/runs/{run['id']}/hosts")["items"]}
    assert run["status"] == "partial"
    expected_outcomes = {"direct": "success", "behind": "success", **dict.fromkeys(BAD, "failed")}
    assert {name: line["outcome"] for name, line in lines.items()} == expected_outcomes, lines
    expected = set(expected_findings(facts))
    for name in ("direct", "behind"):
        found = {each["cve_id"] for each in program.findings(run["id"]) if each["host_name"] == name}
        assert found == expected
    for name in BAD:
        assert lines[name]["message"]
    sign_in(page, started.url)
    page.goto(f"{started.url}/runs/{run['id']}")
    expect(page.get_by_role("main")).to_contain_text("hanging")
    page.screenshot(path=pictures / "run-hosts.png", full_page=True)
    page.goto(f"{started.url}/hosts/")
    page.screenshot(path=pictures / "hosts.png", full_page=True)
    each_connection_test_says_what_is_wrong(page, started, program, hosts, pictures)


def each_connection_test_says_what_is_wrong(
    page: Page, started: Stack, program: Program, hosts: dict[str, int], pictures: Path
) -> None:
    expected = {"direct": "ok", "behind": "ok", **BAD}
    paths = {name: f"/api/hosts/{hosts[name]}/connection-test" for name in expected}
    for path in paths.values():
        program.post(path)
    wait_for(lambda: all(program.get(path)["completed_at"] for path in paths.values()), 120)
    answers = {name: program.get(path)["servers"] for name, path in paths.items()}
    assert {name: [each["outcome"] for each in answers[name]] for name in answers} == {
        name: [outcome] for name, outcome in expected.items()
    }
    page.goto(f"{started.url}/hosts/{hosts['refusing']}/test")
    expect(page.get_by_role("main")).to_contain_text("The host rejected the key.")
    page.screenshot(path=pictures / "connection-test.png", full_page=True)


def test_a_host_that_vanishes_is_retired_with_its_tasks_and_returns_as_itself(
    program: Program, hosts: dict[str, int]
) -> None:
    scan: dict[str, Any] = {"name": "Direct", "task_type": "scan", "cron_expression": "0 2 * * *"}
    scan |= {"config": {"scan_type": "fast"}, "host_id": hosts["direct"]}
    task = program.post("/api/scheduled-tasks/", scan)["id"]
    whole = program.get("/api/ssh-config")["content"]
    start = whole.index("Host direct\n")
    without = whole[:start] + whole[whole.index("Host ", start + 1) :]

    def is_paused() -> bool:
        return program.get(f"/api/scheduled-tasks/{task}")["next_run_at"] is None

    assert program.put("/api/ssh-config?dry_run=true", {"content": without})["retired"] == ["direct"]
    assert not is_paused()
    assert program.put("/api/ssh-config", {"content": without})["retired"] == ["direct"]
    wait_for(is_paused, 60)
    assert program.get(f"/api/hosts/{hosts['direct']}")["retired_at"] is not None

    program.put("/api/ssh-config", {"content": whole})
    wait_for(lambda: not is_paused(), 60)

    assert program.get(f"/api/hosts/{hosts['direct']}")["retired_at"] is None
