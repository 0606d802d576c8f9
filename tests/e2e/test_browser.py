"""The main job by hand: a person signs in, updates a database, presses Run Now and reads the CVEs."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browsing import sign_in
from tests.e2e.stack import Stack
from tests.mirror.documents import Tracker
from tests.mirror.expected import already_fixed, expected_findings
from tests.support.waiting import patience


def new_task(page: Page, stack: Stack, kind: str, name: str) -> None:
    page.goto(f"{stack.url}/tasks/new")
    page.get_by_role("radio", name=kind).check()
    page.get_by_label("Task name").fill(name)


def make_update(page: Page, stack: Stack) -> None:
    new_task(page, stack, "Database Update", "Debian's tracker")
    page.get_by_label("Database type").select_option(label="GOST Debian")
    page.get_by_role("button", name="First day of month at 3 AM").click()
    page.get_by_role("button", name="Create task").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Debian's tracker")


def make_scan(page: Page, stack: Stack) -> None:
    new_task(page, stack, "Vulnerability Scan", "This very machine")
    page.get_by_label("Target host").select_option(label="localhost")
    page.get_by_label("Cron expression").fill("30 4 * * 1-5")
    expect(page.get_by_text("At 04:30")).to_be_visible()
    page.get_by_role("button", name="Create task").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("This very machine")


def run_now(page: Page, outcome: str) -> None:
    page.get_by_role("button", name="Run Now").first.click()
    page.wait_for_url(re.compile(r"/runs/\d+"))
    expect(page.locator("#run-status")).to_contain_text(outcome, timeout=patience(60_000))


def test_a_person_scans_this_machine_and_reads_what_the_real_vuls_found(
    page: Page, started: Stack, facts: Tracker, pictures: Path
) -> None:
    expected, fixed = expected_findings(facts), already_fixed(facts)
    page.goto(started.url)
    page.screenshot(path=pictures / "sign-in.png")
    sign_in(page, started.url)

    make_scan(page, started)
    run_now(page, "Partial")
    expect(page.get_by_text("no vulnerability database for debian")).to_be_visible()
    page.screenshot(path=pictures / "run-partial.png")

    make_update(page, started)
    run_now(page, "Success")
    expect(page.get_by_role("main")).to_contain_text("GOST Debian")
    page.screenshot(path=pictures / "database-update.png")

    page.goto(f"{started.url}/tasks/")
    page.screenshot(path=pictures / "scheduler.png")
    page.get_by_role("row", name="This very machine").get_by_role("button", name="Run Now").click()
    page.wait_for_url(re.compile(r"/runs/\d+"))
    expect(page.locator("#run-status")).to_contain_text("Success", timeout=patience(60_000))

    expect(page.get_by_role("main")).to_contain_text(f"{len(expected)}")
    shown = page.get_by_role("main").inner_text()
    found = set(re.findall(r"CVE-\d+-\d+", shown))
    assert found <= set(expected)
    assert not found & fixed
    page.set_viewport_size({"width": 1440, "height": 1300})
    page.screenshot(path=pictures / "run.png")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(started.url)
    page.screenshot(path=pictures / "overview.png")


def test_without_javascript_a_person_gets_as_far(browser: Browser, started: Stack) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    sign_in(page, started.url)
    page.goto(f"{started.url}/tasks/new?type=scan")
    page.get_by_label("Task name").fill("By hand")
    page.get_by_label("Target host").select_option(label="localhost")
    page.get_by_role("button", name="Create task").click()
    page.get_by_role("button", name="Run Now").first.click()

    status = page.locator("#run-status")
    for _ in range(240):
        if "Partial" in status.inner_text():
            break
        page.wait_for_timeout(500)
        page.reload()
    expect(status).to_contain_text("Partial")
    page.context.close()


@pytest.mark.parametrize("path", ["/", "/tasks/", "/tasks/new", "/runs/"])
def test_a_stranger_sees_no_page_but_the_sign_in(page: Page, shared: Stack, path: str) -> None:
    page.goto(shared.url + path)

    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
