"""The scheduler as a person uses it, page by page; each journey leaves its pictures."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import func, select

from tests.conftest import Installation
from tests.e2e.browsing import sign_in
from tests.views.conftest import MakeRun
from vulsweb import worker
from vulsweb.extensions import db
from vulsweb.models import Host, Run, RunStatus, ScheduledTask

MakeTask = Callable[..., ScheduledTask]
MakeHost = Callable[..., Host]


@pytest.fixture
def signed(page: Page, url: str) -> Page:
    """The page of a person who has signed in."""
    sign_in(page, url)
    return page


def picture(page: Page, pictures: Path, name: str) -> None:
    page.screenshot(path=pictures / f"journey-{name}.png", full_page=True)


def expect_names(page: Page, *names: str) -> None:
    expect(page.locator("[id^=task-link-]")).to_have_text(names)


def test_1_the_list_is_filtered_searched_sorted_and_found_again_by_its_address(
    signed: Page, url: str, make_task: MakeTask, make_run: MakeRun, make_host: MakeHost, pictures: Path
) -> None:
    front = make_task(name="Front ends", description="The web tier.", host_id=make_host("web-1").id)
    make_task(name="Mail", host_id=make_host("mail-1").id, is_active=False)
    make_task(name="Databases", task_type="db_update", database_type="all")
    make_run(RunStatus.FAILED, front, reason="The host does not answer.")

    signed.goto(f"{url}/tasks/")
    expect(signed.get_by_role("navigation", name="Counts")).to_contain_text("All 3")
    signed.get_by_label("Search tasks").fill("WEB")
    signed.get_by_label("Type").select_option(label="Scans")
    signed.get_by_label("Status").select_option(label="Active")
    signed.get_by_label("Last result").select_option(label="Failed")
    signed.get_by_role("button", name="Filter").click()
    signed.wait_for_url("**search=WEB**")
    expect_names(signed, "Front ends")
    filtered = signed.url
    picture(signed, pictures, "1-filtered")

    signed.get_by_role("link", name="Clear").click()
    signed.wait_for_url(f"{url}/tasks/")
    signed.get_by_role("link", name="Task", exact=True).click()
    signed.wait_for_url("**sort=-name**")
    expect_names(signed, "Mail", "Front ends", "Databases")
    signed.go_back()
    signed.go_back()
    expect_names(signed, "Front ends")
    signed.goto(filtered)
    expect_names(signed, "Front ends")


def test_1_rows_and_counts_change_by_themselves_within_two_seconds(
    signed: Page, url: str, make_task: MakeTask, make_run: MakeRun
) -> None:
    task = make_task(name="Front ends")
    run = make_run(RunStatus.RUNNING, task)
    signed.goto(f"{url}/tasks/")
    row = signed.locator(f"#task-{task.id}")
    expect(row).to_contain_text("Running")

    run.status = RunStatus.SUCCESS
    db.session.commit()
    expect(row).to_contain_text("Success")
    make_task(name="Another")

    expect(signed.get_by_role("navigation", name="Counts")).to_contain_text("All 2")


def test_2_a_task_is_made_changed_copied_and_deleted_and_nothing_typed_is_lost(
    signed: Page, url: str, make_host: MakeHost, pictures: Path
) -> None:
    make_host("web-1")
    signed.goto(f"{url}/tasks/")
    signed.get_by_role("link", name="Create New Task").click()
    signed.get_by_role("radio", name="Database Update").check()
    expect(signed.get_by_label("Database type")).to_be_visible()
    expect(signed.get_by_label("Target host", exact=True)).to_be_hidden()
    # The ten, and the one of Vuls v0.40 apart from them.
    expect(signed.get_by_label("Database type").locator("> option")).to_have_count(10)
    expect(signed.get_by_label("Database type").locator("optgroup > option")).to_have_count(1)
    signed.get_by_role("radio", name="Vulnerability Scan").check()
    expect(signed.get_by_label("Database type")).to_be_hidden()
    signed.get_by_label("Description").fill("Every front end.")
    signed.get_by_role("button", name="Weekdays at 6 AM").click()
    expect(signed.locator("#cron-place")).to_contain_text("At 06:00")
    expect(signed.locator("#cron-place time")).to_have_count(5)
    signed.get_by_label("Cron expression").fill("61 * * * *")
    expect(signed.locator("#cron-place")).to_contain_text("61")
    signed.get_by_role("button", name="Create task").click()

    expect(signed.get_by_role("alert")).to_contain_text("Not saved yet:")
    expect(signed.get_by_label("Description")).to_have_value("Every front end.")
    picture(signed, pictures, "2-refused")
    signed.get_by_label("Task name").fill("Front ends")
    signed.get_by_label("Target host", exact=True).select_option(label="web-1")
    signed.get_by_label("Cron expression").fill("30 2 * * *")
    expect(signed.locator("#cron-place")).to_contain_text("At 02:30")
    picture(signed, pictures, "2-form")
    signed.get_by_role("button", name="Create task").click()
    expect(signed.get_by_text("Front ends scheduled.")).to_be_visible()

    signed.get_by_role("link", name="Edit").click()
    signed.get_by_label("Task name").fill("Front ends by night")
    signed.get_by_role("button", name="Save changes").click()
    signed.get_by_role("link", name="Duplicate").click()
    expect(signed.get_by_label("Task name")).to_have_value("Copy of Front ends by night")
    signed.get_by_role("button", name="Create task").click()
    expect(signed.get_by_role("heading", level=1)).to_contain_text("Inactive")
    signed.get_by_role("link", name="Delete").click()
    expect(signed.get_by_role("main")).to_contain_text("It has never run")
    signed.get_by_role("button", name="Delete task").click()
    expect(signed.get_by_text("Copy of Front ends by night deleted.")).to_be_visible()
    expect_names(signed, "Front ends by night")


def test_2_many_tasks_are_switched_and_deleted_at_once(
    signed: Page, url: str, make_task: MakeTask, make_run: MakeRun, pictures: Path
) -> None:
    make_run(RunStatus.SUCCESS, make_task(name="One"))
    make_task(name="Two")
    signed.goto(f"{url}/tasks/")

    signed.get_by_label("Select all tasks on this page").check()
    signed.get_by_role("button", name="Deactivate").click()
    expect(signed.get_by_text("2 tasks deactivated.")).to_be_visible()
    signed.get_by_label("Select all tasks on this page").check()
    signed.get_by_role("button", name="Delete…").click()
    expect(signed.get_by_role("heading", level=1)).to_contain_text("Delete 2 tasks and their 1 run")
    picture(signed, pictures, "2-delete-many")
    signed.get_by_role("button", name=re.compile("Delete")).click()

    expect(signed.get_by_text("2 tasks deleted.")).to_be_visible()


def test_3_two_clicks_on_run_now_make_one_run_that_is_seen_at_once(
    signed: Page, url: str, make_task: MakeTask
) -> None:
    task = make_task(name="Front ends")
    signed.goto(f"{url}/tasks/")

    signed.locator(f"#run-{task.id}").dblclick()
    signed.wait_for_url(re.compile(r"/runs/\d+"))

    expect(signed.locator("#run-status")).to_contain_text("Queued")
    signed.goto(f"{url}/tasks/")
    expect(signed.locator(f"#task-{task.id}")).to_contain_text("Queued")
    signed.locator(f"#run-{task.id}").click()
    expect(signed.get_by_text("Front ends is already queued")).to_be_visible()
    assert db.session.scalar(select(func.count()).select_from(Run)) == 1


def test_4_the_history_of_a_task_and_of_all_is_read_filtered_and_paged(
    signed: Page, url: str, make_task: MakeTask, make_run: MakeRun, pictures: Path
) -> None:
    task = make_task(name="Front ends")
    counts = {"critical": 2, "high": 1, "medium": 0, "low": 0, "unknown": 0}
    data = {"severity_counts": counts, "opened": 3, "fixed": 0, "hosts": []}
    runs = [make_run(RunStatus.SUCCESS, task, result_data=data) for _ in range(30)]
    failed = make_run(RunStatus.FAILED, task, reason="The host does not answer.")
    make_run(RunStatus.SUCCESS, make_task(name="Elsewhere"))

    signed.goto(f"{url}/tasks/{task.id}")
    expect(signed.locator("#history tbody tr")).to_have_count(25)
    expect(signed.locator("#history")).to_contain_text("2 critical")
    picture(signed, pictures, "4-history")
    signed.get_by_role("link", name="Older").click()
    expect(signed.locator(f"#run-link-{runs[0].id}")).to_be_visible()
    signed.goto(f"{url}/tasks/{task.id}")
    signed.get_by_label("Status").select_option(label="Failed")
    signed.get_by_role("button", name="Filter").click()
    expect(signed.locator("#history tbody tr")).to_have_count(1)
    expect(signed.locator("#history")).to_contain_text("The host does not answer.")

    signed.goto(f"{url}/runs/?status=failed")
    signed.locator(f"#run-link-{failed.id}").click()
    expect(signed.get_by_role("main")).to_contain_text("The host does not answer.")
    expect(signed.get_by_role("button", name="Run again")).to_be_visible()


@pytest.mark.parametrize(
    ("status", "word", "hue"),
    [
        (RunStatus.SUCCESS, "Success", "green"),
        (RunStatus.FAILED, "Failed", "red"),
        (RunStatus.RUNNING, "Running", "blue"),
        (RunStatus.PARTIAL, "Partial", "amber"),
        (None, "Never run", "grey"),
    ],
)
def test_5_every_state_has_its_colour_its_icon_and_its_word(
    signed: Page,
    url: str,
    make_task: MakeTask,
    make_run: MakeRun,
    status: RunStatus | None,
    word: str,
    hue: str,
) -> None:
    task = make_task()
    if status is not None:
        make_run(status, task)

    signed.goto(f"{url}/tasks/")
    badge = signed.locator(f"#task-{task.id} .badge")

    expect(badge).to_have_text(word)
    expect(badge.locator("svg")).to_be_visible()
    assert hue_of(badge.evaluate("(e) => getComputedStyle(e).color")) == hue


def hue_of(colour: str) -> str:
    red, green, blue = (int(part) for part in re.findall(r"\d+", colour)[:3])
    if max(red, green, blue) - min(red, green, blue) < 30:
        return "grey"
    if blue == max(red, green, blue):
        return "blue"
    if green == max(red, green, blue):
        return "green"
    return "amber" if green > 1.4 * blue else "red"


def test_6_a_run_shows_how_far_it_is_and_how_long_it_usually_takes(
    signed: Page, url: str, make_task: MakeTask, make_run: MakeRun, pictures: Path
) -> None:
    task = make_task(name="Front ends")
    make_run(RunStatus.SUCCESS, task)
    now = datetime.now(UTC)
    began = (now - timedelta(seconds=90)).isoformat()
    steps: list[dict[str, Any]] = [
        {
            "name": "configtest",
            "status": "completed",
            "started_at": began,
            "ended_at": began,
            "message": None,
        },
        {"name": "scan", "status": "running", "started_at": began, "ended_at": None, "message": None}
        | {"done": 3, "total": 12, "unit": "hosts"},
        {"name": "report", "status": "waiting", "started_at": None, "ended_at": None, "message": None},
    ]
    run = make_run(RunStatus.RUNNING, task, started_at=now - timedelta(seconds=90), steps=steps)

    signed.goto(f"{url}/runs/{run.id}")
    expect(signed.locator("#run-status")).to_contain_text("3 of 12 hosts")
    expect(signed.locator("#run-status")).to_contain_text("usually about 1 min")
    expect(signed.locator("#run-status")).to_contain_text("so far")
    picture(signed, pictures, "6-progress")
    run.jobs[0].steps = [*steps[:1], steps[1] | {"done": 9}, steps[2]]
    db.session.commit()

    expect(signed.locator("#run-status")).to_contain_text("9 of 12 hosts")


@pytest.mark.parametrize("path", ["/", "/tasks/", "/runs/", "/hosts/", "/findings/", "/tasks/new"])
def test_7_an_empty_page_says_what_to_do_next(signed: Page, url: str, pictures: Path, path: str) -> None:
    signed.goto(url + path)

    expect(
        signed.get_by_role("main").get_by_role("link").or_(signed.get_by_role("button")).first
    ).to_be_visible()
    picture(signed, pictures, f"7-empty{path.replace('/', '-')}")


def test_7_a_task_is_made_and_run_by_keyboard_alone(signed: Page, url: str, make_host: MakeHost) -> None:
    make_host("web-1")
    signed.goto(f"{url}/tasks/new?type=db_update")

    signed.get_by_label("Task name").focus()
    signed.keyboard.type("By keyboard")
    signed.keyboard.press("Enter")
    signed.wait_for_url(re.compile(r"/tasks/\d+"))
    reached = False
    for _ in range(30):
        signed.keyboard.press("Tab")
        reached = signed.evaluate("document.activeElement.id").startswith("run-")
        if reached:
            break
    signed.keyboard.press("Enter")

    assert reached
    signed.wait_for_url(re.compile(r"/runs/\d+"))


def test_7_everything_works_without_javascript(
    browser: Browser, url: str, make_task: MakeTask, make_run: MakeRun
) -> None:
    make_run(RunStatus.FAILED, make_task(name="Front ends"))
    page = browser.new_context(java_script_enabled=False).new_page()
    sign_in(page, url)

    page.goto(f"{url}/tasks/")
    page.get_by_label("Search tasks").fill("front")
    page.get_by_role("button", name="Filter").click()
    expect_names(page, "Front ends")
    page.locator("input[name=ids]").check()
    page.get_by_role("button", name="Deactivate").click()
    expect(page.get_by_text("1 task deactivated.")).to_be_visible()
    page.get_by_role("link", name="Front ends").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Front ends")
    page.get_by_role("button", name="Run Now").click()
    expect(page.locator("#run-status")).to_contain_text("Queued")
    page.get_by_role("button", name="Cancel run").click()
    expect(page.locator("#run-status")).to_contain_text("Cancelled")
    page.context.close()


def test_8_the_api_is_browsed_and_tried_on_its_own_page(signed: Page, url: str, pictures: Path) -> None:
    asked_for: list[str] = []
    signed.on("request", lambda request: asked_for.append(request.url))

    signed.goto(f"{url}/api/docs")
    expect(signed.get_by_text("/api/scheduled-tasks/{task_id}/run", exact=True)).to_be_visible()
    picture(signed, pictures, "8-api")

    assert [asked for asked in asked_for if not asked.startswith((url, "data:"))] == []


def test_9_the_night_deletes_old_runs_and_keeps_the_newest_of_each_task(
    signed: Page, url: str, make_task: MakeTask, make_run: MakeRun
) -> None:
    task, long_ago = make_task(name="Front ends"), datetime.now(UTC) - timedelta(days=31)
    old = make_run(RunStatus.SUCCESS, task, created_at=long_ago)
    newest = make_run(RunStatus.SUCCESS, task, created_at=long_ago)

    links = [f"#run-link-{run.id}" for run in (old, newest)]

    assert worker.prune() == 1
    signed.goto(f"{url}/tasks/{task.id}")

    expect(signed.locator(links[0])).to_have_count(0)
    expect(signed.locator(links[1])).to_be_visible()


def test_10_the_system_page_says_what_to_do_about_each_part_that_is_not_well(
    app: Flask, installation: Installation, signed: Page, url: str, pictures: Path
) -> None:
    signed.goto(f"{url}/system/")

    for sentence in ("Redis", "Celery worker", "Executor", "PostgreSQL"):
        expect(signed.get_by_role("main")).to_contain_text(sentence)
    expect(signed.get_by_role("main")).to_contain_text("Verify")
    picture(signed, pictures, "10-system")
