"""The first screen, and the one thing that it says to do."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import TOOLS, Installation
from tests.views.conftest import MakeRun, cve, store
from vulsweb.extensions import db
from vulsweb.models import RunStatus, ScheduledTask

MakeTask = Callable[..., ScheduledTask]
LIVE = {"HX-Request": "true"}


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_counts_lead_to_the_tasks_that_they_count(signed_in: FlaskClient, make_task: MakeTask) -> None:
    make_task()
    make_task(is_active=False)
    make_task(task_type="db_update", database_type="nvd")

    page = flat(signed_in.get("/").text)

    for address, count in [
        ("/tasks/", 3),
        ("/tasks/?status=active", 2),
        ("/tasks/?type=scan", 2),
        ("/tasks/?type=db_update", 1),
    ]:
        figure = re.search(rf'href="{re.escape(address)}"> <span.*?<strong>(\d+)</strong>', page)
        assert figure is not None, address
        assert int(figure[1]) == count


def test_open_findings_are_counted_by_severity(signed_in: FlaskClient, make_run: MakeRun) -> None:
    store(
        make_run(RunStatus.SUCCESS),
        {"CVE-2026-1": cve(9.8), "CVE-2026-2": cve(9.0), "CVE-2026-3": cve(5.0)},
    )

    page = flat(signed_in.get("/").text)

    assert "<strong>3</strong>" in page
    assert "<b>2</b> critical" in page
    assert "<b>1</b> medium" in page
    assert "<title>2 critical, 1 medium</title>" in page


def test_it_shows_what_runs_with_the_step_at_which_it_is(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    steps = [{"name": "configtest", "status": "completed"}, {"name": "scan", "status": "running"}]
    run = make_run(RunStatus.RUNNING, make_task(name="Busy one"), steps=steps)

    page = flat(signed_in.get("/").text)

    assert f'href="/runs/{run.id}"><bdi>Busy one</bdi>' in page
    assert "Read the installed packages" in page


def test_it_shows_what_went_wrong_last_and_why(signed_in: FlaskClient, make_run: MakeRun) -> None:
    for status in (RunStatus.FAILED, RunStatus.PARTIAL, RunStatus.TIMEOUT):
        make_run(status, reason=f"Reason of {status.value}.")
    make_run(RunStatus.CANCELLED, reason="Reason of nobody.")

    page = signed_in.get("/").text

    for reason in ("Reason of failed.", "Reason of partial.", "Reason of timeout."):
        assert reason in page
    assert "Reason of nobody." not in page


def test_it_shows_what_comes_next_soonest_first(signed_in: FlaskClient, make_task: MakeTask) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=12, seconds=20)
    make_task(name="Later", next_run_at=soon + timedelta(hours=9))
    make_task(name="Soon", next_run_at=soon)
    make_task(name="Overdue", next_run_at=soon - timedelta(hours=1))
    make_task(name="Asleep", is_active=False)

    page = flat(signed_in.get("/").text)

    assert page.index("Overdue") < page.index("Soon") < page.index("Later")
    assert ">in 12 min</time>" in page
    assert ">due now</time>" in page
    assert "Asleep" not in page


def test_an_empty_overview_says_how_to_begin(signed_in: FlaskClient) -> None:
    page = signed_in.get("/").text

    assert "Nothing is running." in page
    assert "No run has failed." in page
    assert "Schedule a scan" in page


def test_the_live_part_is_silent_until_something_changes(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.RUNNING)
    found = re.search(r'id="overview-live"[^>]*?hx-get="([^"]+)"', signed_in.get("/").text)
    assert found is not None

    unchanged = signed_in.get(found[1], headers=LIVE)
    run.status, run.reason = RunStatus.FAILED, "It broke."
    db.session.commit()
    changed = signed_in.get(found[1], headers=LIVE)

    assert unchanged.status_code == 204
    assert changed.status_code == 200
    assert "It broke." in changed.text


def test_the_page_does_not_wait_for_the_executor(signed_in: FlaskClient) -> None:
    page = signed_in.get("/").text

    assert 'hx-get="/system-notice"' in page
    assert "executor" not in page


def test_an_executor_that_does_not_answer_is_said_so(signed_in: FlaskClient) -> None:
    answer = signed_in.get("/system-notice")

    assert answer.status_code == 200
    assert "The executor does not answer." in answer.text


def test_a_key_that_the_executor_refuses_is_said_so(
    signed_in: FlaskClient, app: Flask, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "EXECUTOR_API_KEY", "some other key, just as long as ours")

    assert "EXECUTOR_API_KEY must be the same on both sides." in signed_in.get("/system-notice").text


def test_without_vuls_it_says_what_to_install(signed_in: FlaskClient, installation: Installation) -> None:
    notice = flat(signed_in.get("/system-notice").text)

    assert "Vuls is not installed here." in notice
    assert "<code>make tools</code>" in notice


def test_without_one_of_the_other_tools_it_names_that_tool(
    signed_in: FlaskClient, installation: Installation
) -> None:
    installation.add_tools("vuls", "go-cve-dictionary", "goval-dictionary")

    notice = flat(signed_in.get("/system-notice").text)

    assert "gost is not installed here." in notice
    assert "Vuls is" not in notice


def test_without_a_database_it_offers_the_update_of_the_most(
    signed_in: FlaskClient, installation: Installation, make_task: MakeTask
) -> None:
    installation.add_tools(*TOOLS)
    make_task(task_type="db_update", database_type="nvd")
    task = make_task(task_type="db_update", database_type="all")

    notice = signed_in.get("/system-notice").text

    assert "No vulnerability database yet." in notice
    assert f'action="/tasks/{task.id}/run"' in notice


def test_without_a_database_or_a_task_for_it_it_leads_to_a_new_one(
    signed_in: FlaskClient, installation: Installation
) -> None:
    installation.add_tools(*TOOLS)

    assert 'href="/tasks/new?type=db_update"' in signed_in.get("/system-notice").text


def test_when_all_is_there_it_says_nothing(signed_in: FlaskClient, installation: Installation) -> None:
    installation.add_tools(*TOOLS)
    installation.add_database()

    answer = signed_in.get("/system-notice")

    assert (answer.status_code, answer.text.strip()) == (200, "")
