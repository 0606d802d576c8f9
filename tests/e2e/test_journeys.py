"""What a person does while things happen: watches a log, looks into it, follows numbers to their lists."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.browsing import hide, sign_in, stop_clock
from tests.support.waiting import wait_for
from tests.views.conftest import MakeRun, add_log
from vulsweb.models import Run, RunStatus, ScheduledTask


def test_a_log_is_watched_paused_and_gone_on_with(page: Page, url: str, make_run: MakeRun) -> None:
    run = make_run(RunStatus.RUNNING)
    add_log(run, "".join(f"line {number}\n" for number in range(1, 101)))
    sign_in(page, url)
    page.clock.install()
    page.goto(f"{url}/runs/{run.id}")
    log = page.locator("#log")

    add_log(run, "came while watching\n")
    expect(log).to_contain_text("came while watching")
    expect(page.locator("#L101")).to_be_in_viewport()

    on_the_way: list[Route] = []
    with page.expect_request("**/log/tail?**"):
        page.route("**/log/tail?**", lambda route: on_the_way.append(route), times=1)
    page.get_by_role("button", name="Pause").click()
    log.evaluate("log => { log.scrollTop = 400 }")
    add_log(run, "one in the pause\ntwo in the pause\n")
    on_the_way[0].continue_()
    expect(page.locator("#log-waiting")).to_have_text("2 new lines")
    expect(log).not_to_contain_text("in the pause")
    assert log.evaluate("log => log.scrollTop") == 400

    log.focus()
    stop_clock(page)
    with page.expect_request("**/log/tail?**"):  # at once: the clock stands still
        page.keyboard.press("p")
    page.clock.resume()
    expect(log).to_contain_text("two in the pause")
    expect(page.locator("#log-waiting")).to_have_text("")
    assert log.evaluate("log => log.scrollTop") == 400, "whoever has scrolled up stays there"

    page.keyboard.press("f")
    run.status = RunStatus.SUCCESS
    add_log(run, "".join(f"last {number}\n" for number in range(1, 10)) + "the end")
    expect(page.locator("#L113")).to_have_text(re.compile("the end"))
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    # Within the log: what the end of a run adds to the page may move all of it.
    wait_for(lambda: log.evaluate("log => log.scrollTop + log.clientHeight > log.scrollHeight - 2"))


def test_letters_do_nothing_elsewhere_and_the_slash_can_be_switched_off(
    page: Page, url: str, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.RUNNING)
    add_log(run, "one\n")
    sign_in(page, url)
    page.goto(f"{url}/runs/{run.id}")
    pause = page.get_by_role("button", name="Pause")

    page.keyboard.press("p")
    expect(pause).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("/")
    expect(page.locator("#log-words")).to_be_focused()
    page.keyboard.type("/p")
    expect(page.locator("#log-words")).to_have_value("/p")

    page.locator("#slash").uncheck()
    page.goto(f"{url}/runs/{run.id}")
    page.keyboard.press("/")
    expect(page.locator("#log-words")).not_to_be_focused()


def test_a_log_is_searched_while_one_types_and_a_lines_number_is_an_address(
    page: Page, url: str, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.SUCCESS)
    add_log(run, "".join(f"package {number} <b>is</b> fine\n" for number in range(1, 3001)))
    sign_in(page, url)
    page.goto(f"{url}/runs/{run.id}")

    page.get_by_label("Search the log").press_sequentially("PACKAGE 17")
    expect(page.locator("#log-view")).to_contain_text("111 lines with PACKAGE 17")
    expect(page.locator("#log mark").first).to_have_text("package 17")
    expect(page.get_by_label("Search the log")).to_be_focused()
    page.wait_for_url(f"{url}/runs/{run.id}?q=PACKAGE+17")

    page.get_by_role("link", name="1700", exact=True).click()
    page.wait_for_url(f"{url}/runs/{run.id}?line=1700#L1700")
    expect(page.locator("#L1700")).to_be_in_viewport()
    expect(page.locator("#log-view")).to_contain_text("Lines 1,501 to 2,000 of 3,000")
    page.get_by_role("link", name="1,500 earlier lines").click()
    expect(page.locator("#L1001")).to_be_attached()
    page.go_back()
    page.go_back()
    expect(page.locator("#log-view")).to_contain_text("111 lines with")


def test_a_number_on_the_overview_leads_to_what_it_counts(page: Page, url: str, finished: Run) -> None:
    sign_in(page, url)

    for number in ("#stat-open", "#stat-critical", "#stat-low"):
        page.goto(url)
        counted = re.findall(r"\d+", page.locator(number).inner_text())[0]
        page.locator(number).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Findings")
        expect(page.get_by_role("main")).to_contain_text(f"{counted} open finding")
        expect(page.locator("table.findings tbody tr")).to_have_count(int(counted))

    page.locator("a.cve").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("CVE-2026-")
    expect(page.get_by_role("main")).to_contain_text("Open on 1 host")


def test_the_counts_change_with_the_list_and_the_focus_stays(
    page: Page, url: str, finished: Run, make_task: Callable[..., ScheduledTask]
) -> None:
    sign_in(page, url)
    page.goto(f"{url}/tasks/")
    scans = page.locator("#count-3")
    before = int(scans.locator("b").inner_text())
    scans.focus()
    page.get_by_label("Search tasks").evaluate("field => { field.value = 'half a word' }")

    make_task(name="A new one")
    expect(scans.locator("b")).to_have_text(str(before + 1))

    expect(page.get_by_role("main")).to_contain_text("A new one")
    assert page.evaluate("document.activeElement.id") == "count-3"
    expect(page.get_by_label("Search tasks")).to_have_value("half a word")


def test_a_page_says_which_requests_nobody_made(page: Page, url: str, finished: Run) -> None:
    sign_in(page, url)
    page.goto(f"{url}/tasks/")

    with page.expect_request(lambda request: "seen=" in request.url) as poll:
        pass
    page.goto(f"{url}/runs/{finished.id}")
    with page.expect_request("**q=two**") as search:
        page.get_by_label("Search the log").press_sequentially("two")

    assert poll.value.headers.get("x-poll") == "yes"
    assert "x-poll" not in search.value.headers


@pytest.mark.parametrize("path", ["/", "/runs/1"])
def test_a_hidden_tab_asks_neither_for_the_overview_nor_for_the_log(
    page: Page, url: str, make_run: MakeRun, path: str
) -> None:
    make_run(RunStatus.RUNNING)
    sign_in(page, url)
    page.clock.install()
    page.goto(url + path)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    hide(page, hidden=True)
    stop_clock(page)
    asked.clear()
    page.clock.run_for("01:00")
    in_hiding = list(asked)
    hide(page, hidden=False)
    with page.expect_request("**"):
        page.clock.run_for("01:00")

    assert in_hiding == []
