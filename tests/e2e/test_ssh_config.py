"""From an empty page to hosts that can be scanned: by hand, on the whole stack, with a real SSH server."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from tests.e2e.browsing import sign_in
from tests.e2e.stack import Stack, wait_for
from tests.support.sshd import Server, sshd
from tests.support.waiting import patience


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with sshd(tmp_path / "sshd") as running:
        yield running


def test_a_person_writes_the_configuration_and_the_hosts_appear(
    page: Page, started: Stack, server: Server, pictures: Path
) -> None:
    sign_in(page, started.url)
    page.get_by_role("link", name="SSH config").click()
    text = page.get_by_label("Configuration", exact=True)

    page.get_by_role("button", name="Direct SSH").click()
    expect(text).to_have_value(re.compile("^Host web-1\n"))
    expect(page.locator("#problems")).to_contain_text("No key is named for web-1")

    good = server.settings("loopback") + "\nHost *\n    ServerAliveInterval 10\n"
    text.fill(good + "    LocalCommand curl http://192.0.2.1/\n")
    line = good.count("\n") + 1
    link = page.locator("#problems").get_by_role("link", name=f"Line {line}")
    expect(page.locator("#problems")).to_contain_text("It can run a program on the machine that scans")
    expect(page.locator("#content-lines .wrong")).to_have_count(1)
    link.click()
    chosen = "(text) => text.value.slice(text.selectionStart, text.selectionEnd)"
    assert text.evaluate(chosen) == "    LocalCommand curl http://192.0.2.1/"
    page.screenshot(path=pictures / "ssh-config-refused.png", full_page=True)

    page.keyboard.press("Delete")
    expect(page.locator("#problems")).to_contain_text("No key is named for loopback")
    page.get_by_role("button", name="Preview").click()
    preview = page.locator("#preview")
    expect(preview).to_contain_text("1 added")
    expect(preview).to_contain_text("+[servers.loopback]")
    page.screenshot(path=pictures / "ssh-config-preview.png", full_page=True)

    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved as version 1.")).to_be_visible()
    expect(page.locator("#host-sync")).to_contain_text("1 added", timeout=patience(10_000))
    page.screenshot(path=pictures / "ssh-config.png", full_page=True)

    accept_the_key(page, started, server)
    page.goto(f"{started.url}/hosts/")
    expect(page.get_by_role("row", name="loopback")).to_be_visible()
    page.goto("about:blank")  # or its live parts would miss the stack that stops first


def accept_the_key(page: Page, started: Stack, server: Server) -> None:
    page.get_by_role("link", name="Not accepted yet").click()
    page.get_by_role("button", name="Fetch key for loopback").click()
    expect(page.locator("#offer")).to_contain_text(server.fingerprint, timeout=patience(30_000))
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("row", name=server.place)).to_contain_text("by admin, fetched")
    page.goto(f"{started.url}/ssh-config/")
    expect(page.get_by_role("row", name="loopback")).to_contain_text("Accepted")


def test_text_that_was_not_saved_is_not_lost_without_a_question(page: Page, shared: Stack) -> None:
    sign_in(page, shared.url)
    page.goto(f"{shared.url}/ssh-config/")
    text = page.get_by_label("Configuration", exact=True)
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    text.press_sequentially("Host web")
    page.get_by_role("link", name="Hosts", exact=True).first.click(no_wait_after=True)

    expect(text).to_have_value(re.compile("^Host web"))
    wait_for(lambda: asked == ["beforeunload"], 30)


def test_without_javascript_a_person_gets_as_far(browser: Browser, shared: Stack) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    sign_in(page, shared.url)
    page.goto(f"{shared.url}/ssh-config/")
    expect(page.get_by_text("Templates to copy")).to_be_visible()

    page.get_by_label("Configuration", exact=True).fill("Host a\n    HostName 192.0.2.1\n    Include x\n")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Other files are not read")).to_be_visible()
    page.get_by_label("Configuration", exact=True).fill("Host a\n    HostName 192.0.2.1\n")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("[servers.a]")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text(re.compile(r"Saved as version \d"))).to_be_visible()
    page.context.close()
