"""People are told: a channel is set up by hand, and a real mail server gets what happens."""

import os
import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browsing import sign_in
from tests.e2e.stack import Program, Stack
from tests.mirror.server import Fault, Mirror
from tests.support.mail import Mailbox, mail_server
from tests.support.waiting import patience, wait_for


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as started:
        yield started


def add_mail(page: Page, stack: Stack, mailbox: Mailbox) -> None:
    page.goto(stack.url)
    page.get_by_role("link", name="Set up notifications").click()
    form = page.locator("form", has=page.get_by_role("heading", name="Add mail"))
    form.get_by_label("Name").fill("Security team")
    form.get_by_label("Mail server").fill("127.0.0.1")
    form.get_by_label("Port").fill(str(mailbox.port))
    form.get_by_label("Connection").select_option(label="Not encrypted (usually port 25)")
    form.get_by_label("From").fill("vuls@example.org")
    form.get_by_label("To", exact=True).fill("nobody")
    form.get_by_role("button", name="Add mail").click()
    expect(page.get_by_text("nobody is not a mail address.")).to_be_visible()
    expect(form.get_by_label("Mail server")).to_have_value("127.0.0.1")
    form.get_by_label("To", exact=True).fill("team@example.org, duty@example.org")
    form.get_by_role("button", name="Add mail").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Security team")


def worker(stack: Stack) -> psutil.Process:
    """Return the main process of the stack's Celery worker."""
    assert stack.process is not None
    children = psutil.Process(stack.process.pid).children(recursive=True)
    found = [each for each in children if "worker" in each.cmdline() and "celery" in " ".join(each.cmdline())]
    return min(found, key=lambda each: each.pid)


def test_a_person_is_told_of_a_failure_its_end_and_the_day_even_if_the_worker_is_killed(
    page: Page, started: Stack, program: Program, feeds: Mirror, mailbox: Mailbox, pictures: Path
) -> None:
    sign_in(page, started.url)
    add_mail(page, started, mailbox)
    page.get_by_role("button", name="Send a test").click()
    expect(page.locator("#channel-messages")).to_contain_text("Sent")
    assert mailbox.subjects == ["Vuls Web: Test of the channel Security team"] * 2  # one for each recipient
    page.screenshot(path=pictures / "notifications.png", full_page=True)

    mailbox.arrived.clear()
    feeds.fault = Fault.ERROR
    task = program.post(
        "/api/scheduled-tasks/",
        {
            "name": "Debian's tracker",
            "task_type": "db_update",
            "config": {"database_type": "gost_debian"},
            "cron_expression": "0 3 1 * *",
        },
    )
    mailbox.reply = "451 Try later"
    failed = program.run_to_end(task["id"])
    assert failed["status"] == "failed"
    page.reload()
    expect(page.locator("#channel-messages")).to_contain_text("Try later")

    # Between commit and send: the message waits, its worker is killed, and the next one sends it.
    os.kill(worker(started).pid, signal.SIGKILL)
    mailbox.reply = "250 OK"
    page.get_by_role("button", name="Try now").click()
    wait_for(lambda: len(mailbox.arrived) >= 2, 60)
    assert mailbox.subjects == ["Vuls Web: Debian's tracker: failed"] * 2

    feeds.fault = Fault.NONE
    assert program.run_to_end(task["id"])["status"] == "success"
    wait_for(lambda: any("works again" in subject for subject in mailbox.subjects), 60)
    soon = datetime.now(UTC) + timedelta(minutes=1)
    page.get_by_label("How often").select_option(label="Every day")
    page.get_by_label("At", exact=True).fill(f"{soon:%H:%M}")
    page.get_by_role("button", name="Save settings").click()
    expect(page.get_by_text("Settings saved.")).to_be_visible()
    wait_for(lambda: any("Day in short" in subject for subject in mailbox.subjects), 90)

    digest = next(mail for mail in mailbox.arrived if "Day in short" in mail["Subject"])
    rich = digest.get_body(("html",))
    assert rich is not None
    assert re.search("Not complete:.*Debian&#39;s tracker: failed", rich.get_content(), re.DOTALL)
    expect(page.locator("#channel-messages")).to_contain_text("Day in short", timeout=patience(20_000))
