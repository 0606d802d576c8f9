"""The overlap rule over the API."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import NOW
from vulsweb.extensions import db
from vulsweb.models import Overlap, Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import starting

MakeTask = Callable[..., ScheduledTask]
UPDATE = {
    "name": "Monthly",
    "task_type": "db_update",
    "config": {"database_type": "all"},
    "cron_expression": "0 2 1 * *",
}


@pytest.fixture
def make_busy(make_task: MakeTask) -> Callable[[str], Run]:
    """Make a running run of a task with an overlap rule."""

    def make(rule: str) -> Run:
        run = starting.start(make_task(name="Busy", overlap=rule), trigger=Trigger.PERSON, now=NOW)
        run.status = RunStatus.RUNNING
        db.session.commit()
        return run

    return make


def test_tasks_skip_by_default(api: FlaskClient) -> None:
    task = api.post("/api/scheduled-tasks/", json=UPDATE).get_json()
    changed = api.put(f"/api/scheduled-tasks/{task['id']}", json=UPDATE | {"overlap": "wait"}).get_json()

    assert (task["overlap"], changed["overlap"]) == ("skip", "wait")


def test_an_unknown_rule_answers_422_and_is_named(api: FlaskClient) -> None:
    answer = api.post("/api/scheduled-tasks/", json=UPDATE | {"overlap": "explode"})

    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["overlap"])


def test_the_document_lists_the_rules(client: FlaskClient) -> None:
    schemas = client.get("/api/openapi.json").get_json()["components"]["schemas"]

    assert schemas["TaskIn"]["properties"]["overlap"]["enum"] == list(Overlap)
    assert schemas["TaskIn"]["properties"]["overlap"]["default"] == "skip"
    assert "overlap" not in schemas["TaskIn"]["required"]
    assert "overlap" in schemas["TaskOut"]["required"]


def test_a_task_that_skips_answers_409_with_the_url_of_its_run(
    api: FlaskClient, make_busy: Callable[[str], Run]
) -> None:
    run = make_busy("skip")

    answer = api.post(f"/api/scheduled-tasks/{run.task_id}/run")

    assert answer.status_code == 409
    assert answer.get_json()["detail"] == (
        "Busy is already running. Its overlap rule skips new runs until that ends. See /api/runs/1."
    )
    assert db.session.scalars(select(Run.id)).all() == [run.id]


@pytest.mark.parametrize(
    ("rule", "said"), [("wait", "Waiting for run 1 to end."), ("replace", "Waiting for run 1 to stop.")]
)
def test_a_waiting_run_is_accepted_and_says_what_it_waits_for(
    api: FlaskClient, make_busy: Callable[[str], Run], sent: list[int], rule: str, said: str
) -> None:
    busy = make_busy(rule)

    answer = api.post(f"/api/scheduled-tasks/{busy.task_id}/run")

    run = answer.get_json()
    assert (answer.status_code, run["status"], run["error_message"]) == (202, "queued", said)
    assert sent == [run["id"]]
    db.session.refresh(busy)
    assert (busy.cancel_requested_at is not None) is (rule == "replace")


def test_a_waiting_run_can_be_cancelled(
    api: FlaskClient, make_busy: Callable[[str], Run], sent: list[int]
) -> None:
    busy = make_busy("wait")
    waiting = api.post(f"/api/scheduled-tasks/{busy.task_id}/run").get_json()["id"]

    answer = api.post(f"/api/runs/{waiting}/cancel")

    assert (answer.status_code, answer.get_json()["status"]) == (202, "cancelled")
    assert api.get(f"/api/runs/{busy.id}").get_json()["status"] == "running"
