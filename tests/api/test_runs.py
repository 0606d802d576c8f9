"""`/api/runs`: the list, the log and cancelling."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.api.conftest import CountQueries
from tests.conftest import NOW, executors_at
from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import logs, starting, targets

MakeTask = Callable[..., ScheduledTask]


def add(task: ScheduledTask, count: int, **fields: Any) -> list[int]:
    """Add ended runs, a minute apart; return their ids, newest first."""
    given: dict[str, Any] = {"status": RunStatus.SUCCESS, "trigger": Trigger.SCHEDULE, "request": {}}
    made = [
        Run(
            **(given | {"created_at": NOW + timedelta(minutes=n)} | fields),
            task_id=task.id,
        )
        for n in range(count)
    ]
    db.session.add_all(made)
    db.session.commit()
    return [run.id for run in reversed(made)]


def listed(api: FlaskClient, query: str = "") -> list[int]:
    return [run["id"] for run in api.get(f"/api/runs{query}").get_json()["items"]]


@pytest.fixture
def running(make_task: MakeTask) -> Run:
    """A running run with two pieces of log: bytes 0 to 6 and 6 to 10."""
    run = starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
    run.status = RunStatus.RUNNING
    targets.prepare(run, executors_at("http://127.0.0.1:1"))
    logs.append(run, run.jobs[0], "first\n", 6)
    logs.append(run, run.jobs[0], "züge", 11)
    db.session.commit()
    return run


def test_the_list_is_newest_first_and_has_links_to_more(api: FlaskClient, make_task: MakeTask) -> None:
    ids = add(make_task(), 5)

    first = api.get("/api/runs?per_page=2&status=success&status=failed").get_json()
    second = api.get(first["links"]["next"]).get_json()
    third = api.get(second["links"]["next"]).get_json()

    pages = [[run["id"] for run in page["items"]] for page in (first, second, third)]
    assert pages == [ids[:2], ids[2:4], ids[4:]]
    assert third["links"]["next"] is None
    assert "status=success&status=failed" in first["links"]["next"]


def test_a_new_run_does_not_shift_the_pages(api: FlaskClient, make_task: MakeTask) -> None:
    task = make_task()
    ids = add(task, 3)
    following = api.get("/api/runs?per_page=2").get_json()["links"]["next"]

    add(task, 2)

    assert [run["id"] for run in api.get(following).get_json()["items"]] == ids[2:]


def test_the_list_filters(api: FlaskClient, make_task: MakeTask) -> None:
    one, other = make_task(), make_task()
    old = add(one, 1)
    failed = add(other, 1, status=RunStatus.FAILED, trigger=Trigger.API, created_at=NOW + timedelta(days=1))

    assert listed(api, f"?scheduled_task_id={one.id}") == old
    assert listed(api, "?status=failed") == failed
    assert listed(api, "?status=failed&status=success") == failed + old
    assert listed(api, "?trigger=api") == failed
    assert listed(api, "?created_after=2026-01-01T13:00:00Z") == failed
    assert listed(api, "?created_before=2026-01-01T14:00:00%2B01:00") == old
    assert listed(api, "?created_after=2026-01-01T12:00:01") == failed


@pytest.mark.parametrize(
    "query",
    [
        "status=wish",
        "trigger=wish",
        "created_after=today",
        "before_id=0",
        "before_id=2147483648",
        "per_page=0",
    ],
)
def test_an_invalid_filter_answers_422_and_is_named(api: FlaskClient, query: str) -> None:
    answer = api.get(f"/api/runs?{query}")

    assert answer.status_code == 422
    assert query.partition("=")[0] in str(answer.get_json()["errors"])


def test_an_active_run_is_cancelled_with_202(api: FlaskClient, make_task: MakeTask) -> None:
    run = starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
    db.session.commit()

    answer = api.post(f"/api/runs/{run.id}/cancel")

    assert answer.status_code == 202
    assert answer.get_json()["status"] == "cancelled"


def test_a_running_run_is_requested_to_stop(api: FlaskClient, running: Run) -> None:
    answer = api.post(f"/api/runs/{running.id}/cancel")

    db.session.refresh(running)
    assert (answer.status_code, answer.get_json()["status"]) == (202, "running")
    assert running.cancel_requested_at is not None


def test_a_run_that_has_ended_cannot_be_cancelled(api: FlaskClient, make_task: MakeTask) -> None:
    (run_id,) = add(make_task(), 1)

    answer = api.post(f"/api/runs/{run_id}/cancel")

    assert answer.status_code == 409
    assert answer.get_json()["detail"].startswith(
        f"Run {run_id} has already ended: success. To run it again,"
    )


def test_the_log_is_read_piece_by_piece_to_its_end(api: FlaskClient, running: Run) -> None:
    address = f"/api/runs/{running.id}/logs"

    whole = api.get(address).get_json()
    rest = api.get(f"{address}?offset=6").get_json()
    nothing_new = api.get(f"{address}?offset=11").get_json()

    assert whole == {"offset": 0, "next_offset": 11, "text": "first\nzüge", "ended": False}
    assert rest == {"offset": 6, "next_offset": 11, "text": "züge", "ended": False}
    assert nothing_new == {"offset": 11, "next_offset": 11, "text": "", "ended": False}


def test_the_log_of_a_run_that_has_ended_has_ended(api: FlaskClient, make_task: MakeTask) -> None:
    (run_id,) = add(make_task(), 1)

    log = api.get(f"/api/runs/{run_id}/logs").get_json()

    assert log == {"offset": 0, "next_offset": 0, "text": "", "ended": True}


@pytest.mark.parametrize("offset", ["3", "8", "10", "-1", "x", "99999999999"])
def test_an_offset_that_no_response_had_is_refused(api: FlaskClient, running: Run, offset: str) -> None:
    assert api.get(f"/api/runs/{running.id}/logs?offset={offset}").status_code == 422


@pytest.mark.parametrize("path", ["/api/runs", "/api/scheduled-tasks/", "/api/hosts"])
def test_a_list_of_fifty_takes_as_many_queries_as_one_of_five(
    api: FlaskClient, make_task: MakeTask, queries: CountQueries, path: str
) -> None:
    for _ in range(50):
        add(make_task(), 1)
    api.get(path)

    with queries() as few:
        api.get(f"{path}?per_page=5")
    with queries() as many:
        answer = api.get(f"{path}?per_page=50")

    assert len(answer.get_json()["items"]) == 50
    assert len(many) == len(few) <= 4


def test_no_list_of_runs_counts_the_table(api: FlaskClient, queries: CountQueries) -> None:
    with queries() as asked:
        api.get("/api/runs")

    assert not [statement for statement in asked if "count(" in statement]


def test_severities_are_worst_first_although_the_database_does_not_keep_their_order(
    api: FlaskClient, make_task: MakeTask
) -> None:
    counts = {"low": 1, "unknown": 2, "medium": 3, "critical": 4, "high": 5}
    data = {"opened": 1, "severity_counts": counts}
    (run_id,) = add(make_task(), 1, result_data=data)

    shown = api.get(f"/api/runs/{run_id}")

    worst_first = '"severity_counts":{"critical":4,"high":5,"medium":3,"low":1,"unknown":2}'
    assert shown.text.replace(" ", "").replace("\n", "").count(worst_first) == 1
    assert shown.get_json()["result_data"] == data
