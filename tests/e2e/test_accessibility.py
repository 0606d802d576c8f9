"""WCAG 2.2 AA as axe-core checks it, and the keyboard, on pages with data in them."""

from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from tests.conftest import NOW
from tests.e2e.browsing import hide, sign_in, stop_clock
from tests.support.sshd import make_key
from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus, Trigger, User
from vulsweb.ssh import keys, known_hosts, versions
from vulsweb.vuls.ssh.config import TEMPLATES

AXE = (Path(__file__).parent / "vendor" / "axe-core-4.14.1.min.js").read_text()
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Dark pages have other colors, and nothing else.
COLORS = ["color-contrast"]
SWEEP = """async (rules) => {
    const { violations } = await axe.run(document, { runOnly: rules });
    return violations.map((each) => `${each.id}: ${each.help}: ${each.nodes.map((n) => n.html).join(" | ")}`);
}"""


@pytest.fixture
def ssh_pages(app: Flask, admin: User, tmp_path: Path) -> list[str]:
    """The pages of SSH, with every kind of thing on them, and a key that has changed."""
    places = versions.paths_from(app.config)
    keys.generate(places.folder, "scanner")
    content = "".join(text for _, text in TEMPLATES) + "Host *\n    IdentityFile scanner\n"
    for each in ("# The first.\n", content):
        versions.save(each, places, expected=None, now=NOW, saved_by=admin, trigger=Trigger.PERSON)
    for name in ("first", "second"):
        line = make_key(tmp_path / name).with_suffix(".pub").read_text()
        offer = known_hosts.offer_pasted("192.0.2.10", 22, line, now=NOW, requested_by=admin)
        if name == "first":
            known_hosts.accept(offer, places.folder, changed_too=False, now=NOW, accepted_by=admin)
    known_hosts.record_error(
        known_hosts.request_fetch("web-1", 22, now=NOW, requested_by=admin), "No answer.", NOW
    )
    db.session.commit()
    return [
        "/ssh-config/",
        "/ssh-config/versions/1",
        "/keys/",
        "/keys/scanner/delete",
        "/known-hosts/",
        *(f"/known-hosts/offers/{number}" for number in (1, 2, 3)),
        "/known-hosts/1/remove",
    ]


def violations(page: Page, rules: list[str] = TAGS) -> list[str]:
    # Evaluated by the debugger, which the content security policy does not stop.
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(AXE)
    found: list[str] = page.evaluate(SWEEP, rules)
    return found


def pages_of(finished: Run) -> list[str]:
    """Return the addresses of pages in their different states."""
    return [
        "/",
        "/tasks/",
        "/tasks/?search=nothing+like+it",
        "/tasks/new",
        f"/tasks/{finished.task_id}",
        f"/tasks/{finished.task_id}/delete",
        f"/runs/{finished.id}",
        f"/runs/{finished.id + 3}",
        f"/runs/{finished.id}?q=INFO",
        f"/runs/{finished.id}?line=2",
        "/findings/",
        "/findings/?severity=low&severity=high&host=host-*",
        "/findings/?search=nothing+like+it",
        "/findings/?status=fixed",
        "/findings/CVE-2026-19",
        "/databases/",
        f"/runs/{finished.id + len(RunStatus)}",
        "/runs/",
        f"/runs/{finished.id + 10}",
        "/hosts/",
        "/hosts/?search=nothing+like+it",
        f"/hosts/{finished.task.host_id}",
        f"/hosts/{finished.task.host_id}/test",
        "/hosts/?show=retired",
        "/tasks/new?type=scan&tag=web",
        "/account/",
        "/account/second-factor",
        "/people/",
        "/people/1/delete",
    ]


def test_axe_finds_nothing(browser: Browser, url: str, finished: Run, ssh_pages: list[str]) -> None:
    context = browser.new_context(reduced_motion="reduce")  # or colors would be seen half changed
    page = context.new_page()
    found: dict[tuple[str, str, int], list[str]] = {}

    def look(path: str) -> None:
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme="light")
            found[path, "light", width] = violations(page)
            page.emulate_media(color_scheme="dark")
            found[path, "dark", width] = violations(page, COLORS)

    page.goto(f"{url}/sign-in")
    look("/sign-in")
    sign_in(page, url)
    for path in (*pages_of(finished), *ssh_pages, "/nowhere"):
        page.goto(url + path)
        look(path)
    page.goto(f"{url}/hosts/")
    page.locator("input[name=ids]").first.check()
    look("/hosts/ with a selection")
    page.goto(f"{url}/tasks/")
    page.locator("input[name=ids]").first.check()
    look("/tasks/ with a selection")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Delete 1 task")
    look("/tasks/bulk")
    context.close()

    assert {where: problems for where, problems in found.items() if problems} == {}


def test_a_selection_focus_and_scroll_outlive_a_live_change(page: Page, url: str, finished: Run) -> None:
    sign_in(page, url)
    page.goto(f"{url}/tasks/")
    first, last = page.locator("input[name=ids]").first, page.locator("input[name=ids]").last
    first.check()
    last.check()
    last.focus()
    place, focused = page.evaluate("scrollY"), last.get_attribute("id")

    row = page.locator(f"#task-{finished.task_id}")
    finished.status = RunStatus.PARTIAL
    db.session.commit()

    expect(row).to_contain_text("Partial")
    expect(first).to_be_checked()
    expect(last).to_be_checked()
    expect(page.locator("#selected")).to_have_text("2 selected")
    assert page.evaluate("document.activeElement.id") == focused
    assert page.evaluate("scrollY") == place


def test_a_hidden_tab_asks_nothing_and_asks_at_once_when_seen(page: Page, url: str, finished: Run) -> None:
    sign_in(page, url)
    page.clock.install()
    page.goto(f"{url}/tasks/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/tasks/" in request.url else None)

    hide(page, hidden=True)
    stop_clock(page)
    asked.clear()
    page.clock.run_for("01:00")
    in_hiding = list(asked)
    finished.status = RunStatus.PARTIAL
    db.session.commit()
    with page.expect_request("**/tasks/**"):  # at once: the clock stands still
        hide(page, hidden=False)

    assert in_hiding == []
    expect(page.locator(f"#task-{finished.task_id}")).to_contain_text("Partial")


def test_the_list_can_be_used_by_keyboard_alone(page: Page, url: str, finished: Run) -> None:
    sign_in(page, url)
    page.goto(f"{url}/tasks/")

    page.keyboard.press("/")
    page.keyboard.type("nightly")
    page.keyboard.press("Enter")
    page.wait_for_url("**search=nightly**")
    visited = []
    for _ in range(40):
        page.keyboard.press("Tab")
        visited.append(page.evaluate("document.activeElement.id"))
        if visited[-1] == f"select-{finished.task_id}":
            page.keyboard.press("Space")
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")

    assert "sort-next_run" in visited
    assert outline == "solid"
    expect(page.locator("#selected")).to_have_text("1 selected")
