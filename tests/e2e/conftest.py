"""The mirror in front of the feeds, the complete stack behind it, and a browser."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import NOW
from tests.e2e.stack import Program, Stack, running
from tests.mirror.__main__ import settings
from tests.mirror.documents import Tracker, debian_tracker, shipped_documents
from tests.mirror.server import Mirror, mirror
from tests.support.needs import lacking, tool
from tests.support.quiet_network import quiet_network
from tests.support.serving import KeepAlive, serving
from tests.support.waiting import patience
from tests.views.conftest import MakeRun, add_log, cve, store
from tests.views.conftest import make_run as make_run
from vulsweb.extensions import db
from vulsweb.models import Host, Run, RunHost, RunStatus, ScheduledTask, User
from vulsweb.vuls.results import Outcome

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def shared(open_folder: Path) -> Iterator[Stack]:
    """A running stack for tests that neither stop it nor mind what others have added."""
    with (
        mirror(shipped_documents()) as server,
        running(stack_on(open_folder / "shared" / "data", server)) as made,
    ):
        yield made


@pytest.fixture(scope="session")
def shared_program(shared: Stack) -> Program:
    return Program(shared.url, shared.command("token", "create", "tests").strip())


def stack_on(data: Path, feeds: Mirror) -> Stack:
    tools = [tool(name).parent for name in ("vuls", "gost", "go-cve-dictionary", "goval-dictionary")]
    chosen = {"VULSWEB_TOOLS_DIR": str(tools[0]), "EXECUTOR_PROFILE": "classic"}
    return Stack(data, {**chosen, **settings(feeds)})


@pytest.fixture
def feeds() -> Iterator[Mirror]:
    """The mirror, in front of all feeds."""
    with mirror(shipped_documents()) as server:
        yield server


@pytest.fixture(scope="session")
def facts() -> Tracker:
    return debian_tracker()


@pytest.fixture
def stack(feeds: Mirror, tmp_path: Path, open_folder: Path) -> Stack:
    """A stack that has not been started, with a data folder of its own and the mirror for the internet."""
    return stack_on(open_folder / tmp_path.name / "data", feeds)


@pytest.fixture
def started(stack: Stack) -> Iterator[Stack]:
    with running(stack):
        yield stack


@pytest.fixture
def program(started: Stack) -> Program:
    return Program(started.url, started.command("token", "create", "tests").strip())


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not CHROMIUM.exists():
        lacking("Chromium is missing: `apt-get install chromium`.")
    # A deadline, not a measure: how fast a page is stands in docs/bench.md.
    expect.set_options(timeout=patience(20_000))
    folder = tmp_path_factory.mktemp("browser")
    with quiet_network(CHROMIUM, folder) as (program, more), sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=[*CHROMIUM_ARGUMENTS, *more])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh profile; an error in the page's console fails the test, but for a form that was refused."""
    # The page goes before the server does, or what it asks by itself would find nobody.
    for server in {"url", "started", "shared"} & set(request.fixturenames):
        request.getfixturevalue(server)
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert [error for error in errors if "status of 422" not in error] == []


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: VULSWEB_SCREENSHOTS, to renew those in docs/, or nowhere to stay."""
    folder = Path(os.environ.get("VULSWEB_SCREENSHOTS", tmp_path / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def url(app: Flask, admin: User) -> Iterator[str]:
    """The application alone, on a thread; rows are put in by the tests."""
    with serving(app, KeepAlive) as address:
        yield address


@pytest.fixture
def finished(
    make_run: MakeRun, make_task: Callable[..., ScheduledTask], make_host: Callable[..., Host]
) -> Run:
    """A finished scan with findings, among hosts, runs and tasks in every state."""
    run = make_run(RunStatus.SUCCESS, make_task(name="Nightly web tier", description="All front ends."))
    store(run, {f"CVE-2026-{number}": cve(number / 2) for number in range(1, 20)})
    add_log(run, "[Jan 1]  INFO [a] one\n[Jan 1]  WARN [a] two\n[Jan 1] ERROR [a] three\n")
    for status in RunStatus:
        make_run(status, reason=None if status.is_active else "Run 1 was still in progress.")
    make_task(is_active=False)
    make_task(task_type="db_update", database_type="all")
    host = run.task.host
    assert host is not None
    host.tags, host.notes, host.last_outcome, host.last_scan_at = ["web"], "Rack 7", Outcome.SUCCESS, NOW
    make_host("gone", retired_at=NOW, problem="Its host is missing.")
    tagged = make_run(RunStatus.PARTIAL, make_task(host_id="", host_tag="web"), reason="gone: no.")
    for name, outcome in ((host.name, Outcome.SUCCESS), ("gone", Outcome.FAILED)):
        db.session.add(RunHost(run_id=tagged.id, name=name, host_id=host.id, outcome=outcome))
    db.session.commit()
    return run
