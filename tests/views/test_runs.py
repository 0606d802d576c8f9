"""The runs' pages: live while something changes, silent when nothing does, over when the run is."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import NOW
from tests.views.conftest import (
    HOSTILE,
    LIVE,
    MakeRun,
    add_log,
    asked_again,
    cve,
    flat,
    job_of,
    store,
)
from vulsweb.extensions import db
from vulsweb.models import Host, Run, RunHost, RunStatus, ScheduledTask
from vulsweb.runs import starting

NOON = "2026-01-01T12:00:00Z"
STEPS: list[dict[str, Any]] = [
    {"name": "configtest", "status": "completed", "started_at": NOON, "ended_at": "2026-01-01T12:00:03Z"},
    {"name": "scan", "status": "running", "started_at": "2026-01-01T12:00:03Z", "ended_at": None},
    {"name": "report", "status": "waiting", "started_at": None, "ended_at": None},
]


def test_the_list_begins_with_the_newest(signed_in: FlaskClient, make_run: MakeRun) -> None:
    old, new = make_run(RunStatus.FAILED), make_run(RunStatus.SUCCESS)

    page = signed_in.get("/runs/").text

    assert page.index(f'href="/runs/{new.id}"') < page.index(f'href="/runs/{old.id}"')


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"running", "queued", "failed"}),
        ("?status=active", {"running", "queued"}),
        ("?status=failed", {"failed"}),
        ("?status=success", set()),
        ("?status=nonsense", {"running", "queued", "failed"}),
    ],
)
def test_the_list_shows_the_state_asked_for(
    signed_in: FlaskClient, make_run: MakeRun, query: str, expected: set[str]
) -> None:
    for status in (RunStatus.RUNNING, RunStatus.QUEUED, RunStatus.FAILED):
        make_run(status)

    page = signed_in.get(f"/runs/{query}").text

    assert set(re.findall(r'class="badge (\w+)"', page)) == expected


def test_an_active_run_shows_its_steps_and_can_be_cancelled(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.RUNNING, steps=STEPS)

    page = flat(signed_in.get(f"/runs/{run.id}").text)

    assert "Check configuration and connection</span>" in page
    assert "completed in 3 s" in page
    assert "running for" in page
    assert f'action="/runs/{run.id}/cancel"' in page
    assert "Run again" not in page


def test_a_queued_run_shows_the_steps_to_come(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.QUEUED, started_at=None)

    page = signed_in.get(f"/runs/{run.id}").text

    assert "Waiting for a worker. If this takes longer" in page
    assert page.count('<li class="waiting">') == 3


def test_a_run_of_several_executors_shows_the_steps_of_each(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.RUNNING, steps=STEPS)
    run.jobs.append(job_of(run, [], executor="dmz"))
    run.jobs[1].reason = f"The executor dmz does not answer. {HOSTILE}"
    db.session.commit()

    page = flat(signed_in.get(f"/runs/{run.id}").text)

    assert re.findall(r'<h3 class="job-name"> Executor (\w+)', page) == ["main", "dmz"]
    assert "The executor dmz does not answer." in page
    assert HOSTILE not in page
    assert page.count('<li class="waiting">') == 1 + 3


def test_the_parts_of_a_run_at_one_executor_are_numbered(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.RUNNING, steps=STEPS)
    run.jobs.append(job_of(run, STEPS))
    db.session.commit()

    page = flat(signed_in.get(f"/runs/{run.id}").text)

    assert re.findall(r"part \d of \d", page) == ["part 1 of 2", "part 2 of 2"]


def test_the_state_is_silent_while_nothing_changes_but_the_heartbeat(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.RUNNING, steps=STEPS)
    address = asked_again(signed_in.get(f"/runs/{run.id}").text, "run-status")
    run.heartbeat_at = NOW + timedelta(seconds=9)
    db.session.commit()

    answer = signed_in.get(address, headers=LIVE)

    assert (answer.status_code, answer.data) == (204, b"")


def test_the_state_comes_anew_when_a_step_ends(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.RUNNING, steps=STEPS)
    address = asked_again(signed_in.get(f"/runs/{run.id}").text, "run-status")
    run.jobs[0].steps = [STEPS[0], STEPS[1] | {"status": "failed", "message": "No route to host"}, STEPS[2]]
    db.session.commit()

    answer = signed_in.get(address, headers=LIVE)

    assert answer.status_code == 200
    assert "No route to host" in answer.text
    assert asked_again(answer.text, "run-status") != address
    assert "HX-Trigger-After-Swap" not in answer.headers


def test_once_over_the_state_asks_no_more_and_calls_for_the_findings(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.RUNNING, steps=STEPS)
    page = signed_in.get(f"/runs/{run.id}").text
    run.status, run.completed_at = RunStatus.SUCCESS, NOW
    db.session.commit()

    answer = signed_in.get(asked_again(page, "run-status"), headers=LIVE)

    assert 'hx-trigger="run-over from:body"' in page
    assert answer.headers["HX-Trigger-After-Swap"] == "run-over"
    assert "hx-get" not in answer.text
    assert "Run again" in answer.text


def test_a_run_that_is_over_has_nothing_that_asks_again(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.FAILED, reason="The host key changed.")

    page = signed_in.get(f"/runs/{run.id}").text

    assert "every " not in page[page.index("<main") :]  # the dot before it goes on, on every page
    assert "The host key changed." in page


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (RunStatus.PARTIAL, "warning"),
        (RunStatus.FAILED, "error"),
        (RunStatus.TIMEOUT, "error"),
        (RunStatus.SKIPPED, "info"),
    ],
)
def test_the_reason_has_the_colour_of_the_state(
    signed_in: FlaskClient, make_run: MakeRun, status: RunStatus, kind: str
) -> None:
    run = make_run(status, reason="Because.")

    page = flat(signed_in.get(f"/runs/{run.id}").text)

    assert re.search(rf'class="notice {kind} run-reason">.*Because\.', page)


def test_a_missed_slot_has_a_page_with_the_reason(
    signed_in: FlaskClient, make_task: Callable[..., ScheduledTask]
) -> None:
    task = make_task(cron_expression="* * * * *", next_run_at=NOW)
    starting.start_due_tasks(NOW + timedelta(minutes=1))
    db.session.commit()
    run_id = db.session.scalars(select(Run.id).where(Run.status == RunStatus.SKIPPED)).one()

    assert "Missed, because" in signed_in.get(f"/runs/{run_id}").text
    assert "Missed, because" in signed_in.get(f"/tasks/{task.id}").text


def test_cancel_asks_the_executor_by_way_of_the_worker(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.RUNNING)

    answer = signed_in.post(f"/runs/{run.id}/cancel")

    assert (answer.status_code, answer.location) == (303, f"/runs/{run.id}")
    db.session.refresh(run)
    assert run.status is RunStatus.RUNNING
    assert run.cancel_requested_at is not None
    assert "Cancelling" in signed_in.get(answer.location).text


def test_cancel_ends_a_queued_run_at_once(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.QUEUED)

    signed_in.post(f"/runs/{run.id}/cancel")

    db.session.refresh(run)
    assert run.status is RunStatus.CANCELLED


def test_cancel_leaves_a_run_that_is_over_alone(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.SUCCESS)

    answer = signed_in.post(f"/runs/{run.id}/cancel")

    db.session.refresh(run)
    assert run.status is RunStatus.SUCCESS
    assert "This run is already over." in signed_in.get(answer.location).text


def test_nothing_found_is_said_only_by_a_complete_run(signed_in: FlaskClient, make_run: MakeRun) -> None:
    complete, partial = make_run(RunStatus.SUCCESS), make_run(RunStatus.PARTIAL, reason="No database.")
    store(complete, {})
    store(partial, {})

    clean = signed_in.get(f"/runs/{complete.id}").text
    unclear = signed_in.get(f"/runs/{partial.id}").text

    assert "No vulnerabilities found" in clean
    assert "No vulnerabilities found" not in unclear
    assert "no findings is not a clean result" in unclear


def test_what_config_toml_hides_is_no_clean_result(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.SUCCESS)
    store(run, {})
    run.result_data = (run.result_data or {}) | {"hidden": 3}
    db.session.commit()

    page = flat(signed_in.get(f"/runs/{run.id}").text)

    assert "All 3 findings are hidden by config.toml" in page
    assert "No vulnerabilities found" not in page
    assert "All 3 findings hidden" in flat(signed_in.get("/runs/").text)


def test_a_run_shows_which_vuls_looked_into_which_databases(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    stamps = [
        {
            "executor": "main",
            "vuls": "v0.26.0",
            "databases": [
                {"name": "gost_debian", "rows": 3, "fetched_at": "2026-01-01T01:00:00Z"},
                {"name": "<b>", "rows": None, "fetched_at": None},
            ],
        },
        {"executor": "site", "vuls": "built from <b>source</b>", "databases": []},
    ]
    run = make_run(RunStatus.SUCCESS)
    store(run, {})
    run.result_data = (run.result_data or {}) | {"detected_by": stamps}
    db.session.commit()

    html = signed_in.get(f"/runs/{run.id}").text
    page = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", html))

    assert "Detected by (executor main) Vuls v0.26.0 with GOST Debian, fetched Thu 1 Jan, 01:00" in page
    assert "<b>source" not in html
    assert "Detected by (executor site) Vuls without a database" in page


def test_a_run_of_one_host_shows_what_vuls_warned_of(
    signed_in: FlaskClient, make_run: MakeRun, make_host: Callable[..., Host]
) -> None:
    run = make_run(RunStatus.SUCCESS)
    line = RunHost(run_id=run.id, name="web-1", host_id=make_host("web-1").id, warnings=["Ends soon."])
    db.session.add(line)
    db.session.commit()

    assert "Ends soon." in signed_in.get(f"/runs/{run.id}").text


def test_hostile_text_of_a_host_is_shown_as_text(signed_in: FlaskClient, make_run: MakeRun) -> None:
    steps = [STEPS[0] | {"message": HOSTILE, "status": "failed", "name": HOSTILE}]
    run = make_run(RunStatus.PARTIAL, reason=HOSTILE, steps=steps)
    store(run, {HOSTILE: cve(9.8, title=f"{HOSTILE} \u202e", package=f"{HOSTILE}\u202e", fixed_in=HOSTILE)})
    add_log(run, f"{HOSTILE}\n")

    for url in (f"/runs/{run.id}", "/runs/", f"/tasks/{run.task_id}", "/"):
        page = signed_in.get(url).text
        assert "alert(" in page, url
        assert HOSTILE not in page, url
        assert "\u202e" not in page, url


def test_a_database_run_shows_what_each_database_holds(
    signed_in: FlaskClient, make_run: MakeRun, make_task: object
) -> None:
    task = make_task(task_type="db_update", database_type="all")  # type: ignore[operator]
    steps = [
        STEPS[0] | {"name": "gost_debian"},
        STEPS[0] | {"name": "nvd", "status": "failed", "message": "503"},
    ]
    databases = [
        {
            "name": "gost_debian",
            "status": "completed",
            "message": None,
            "rows": 41234,
            "size_bytes": 278_528_000,
        },
        {"name": "nvd", "status": "failed", "message": "503", "rows": None, "size_bytes": None},
    ]
    run = make_run(
        RunStatus.PARTIAL, task, steps=steps, reason="1 of 2.", result_data={"databases": databases}
    )

    page = flat(signed_in.get(f"/runs/{run.id}").text)
    listed = flat(signed_in.get("/runs/").text)

    assert "GOST Debian" in page
    assert "41,234 rows, 279 MB" in page
    assert "503" in page
    assert 'id="run-findings"' not in page
    assert "1 of 2 databases updated" in listed
