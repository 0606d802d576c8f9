"""Repeated detections on the pages."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import NOW
from tests.views.conftest import MakeHost, MakeRun, cve, document, flat
from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.models import Result, Run, RunHost, RunStatus, ScheduledTask, Trigger
from vulsweb.vuls import results
from vulsweb.vuls.results import Outcome

MakeTask = Callable[..., ScheduledTask]
FORM = {"name": "Look again", "task_type": "detection", "cron_expression": "0 6 * * 0", "timezone": "UTC"}


@pytest.fixture
def detect(make_run: MakeRun, make_task: MakeTask, make_host: MakeHost) -> Callable[..., Run]:
    """Make a run that checked one host, where it found these CVEs beside an older one."""

    def end(cves: dict[str, dict[str, Any]]) -> Run:
        host = make_host("web-1")
        before = make_run(RunStatus.SUCCESS, make_task(host_id=host.id))
        run = make_run(RunStatus.SUCCESS, make_task(task_type="detection"), trigger=Trigger.UPDATE)
        old = {"CVE-2025-1": cve(5)}
        for number, found in enumerate((old, old | cves)):
            left = document(found)
            change = storage.store(
                run_id=(before, run)[number].id,
                host=host,
                document=left,
                result=results.parse(left),
                complete=True,
                now=NOW,
                again=bool(number),
            )
        db.session.add(RunHost(run_id=run.id, name=host.name, host_id=host.id, outcome=Outcome.SUCCESS))
        run.result_data = {"severity_counts": {}, "opened": change.opened, "fixed": change.fixed}
        db.session.commit()
        return run

    return end


def test_the_form_makes_one_for_all_hosts_and_says_when_it_runs(signed_in: FlaskClient) -> None:
    form = signed_in.get("/tasks/new?type=detection").text
    answer = signed_in.post("/tasks/", data=FORM | {"is_active": "on"})

    assert "also runs after each database update" in form
    task = db.session.scalars(select(ScheduledTask)).one()
    assert (task.target, task.scan_type, task.database_type, task.active) == ("All hosts", None, None, True)
    page = flat(signed_in.get(answer.location).text)
    assert ("Repeated Detection" in page, "All hosts" in page) == (True, True)
    assert "Look again" in signed_in.get("/tasks/?type=detection").text
    assert "Look again" not in signed_in.get("/tasks/?type=scan").text


def test_a_run_without_news_says_so_and_keeps_no_second_document(
    signed_in: FlaskClient, detect: Callable[..., Run]
) -> None:
    run = detect({})

    page = flat(signed_in.get(f"/runs/{run.id}").text)

    assert "No new findings" in page
    assert "packages of the latest scans, checked with the latest databases" in page
    assert "Database update" in page
    assert db.session.scalars(select(Result.run_id)).all() == [run.id - 1]


def test_a_run_with_news_shows_the_hosts_where_something_changed(
    signed_in: FlaskClient, detect: Callable[..., Run]
) -> None:
    run = detect({"CVE-2026-7": cve(9.8)})

    page = flat(signed_in.get(f"/runs/{run.id}").text)

    assert "on the 1 host where something changed" in page
    assert ("CVE-2026-7" in page, "CVE-2025-1" in page) == (True, True)
    assert "CVE-2025-1" not in signed_in.get(f"/runs/{run.id}/findings?new=1").text


def test_runs_that_followed_an_update_can_be_listed(
    signed_in: FlaskClient, detect: Callable[..., Run]
) -> None:
    run = detect({})

    page = signed_in.get("/runs/?trigger=update").text

    assert f"run-link-{run.id}" in page
    assert f"run-link-{run.id - 1}" not in page


def test_before_the_executor_answers_the_one_step_is_shown(
    signed_in: FlaskClient, make_run: MakeRun, make_task: MakeTask
) -> None:
    run = make_run(RunStatus.QUEUED, make_task(task_type="detection"))

    page = signed_in.get(f"/runs/{run.id}").text

    assert "Look up known vulnerabilities" in page
    assert "Read the installed packages" not in page
