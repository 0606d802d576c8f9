"""`/api/runs`: logs and cancel."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from tests.conftest import NOW
from vulsweb import runs
from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus, ScheduledTask, Trigger


@pytest.fixture
def run(make_task: Callable[..., ScheduledTask]) -> Run:
    made = runs.start(make_task(), trigger=Trigger.SCHEDULE, now=NOW)
    db.session.commit()
    return made


def test_a_log_is_read_piece_by_piece(api: FlaskClient, run: Run) -> None:
    runs.append_log(run, "one\n", 4)
    db.session.commit()
    first = api.get(f"/api/runs/{run.id}/logs").get_json()
    runs.append_log(run, "zwölf\n", 11)
    runs.end(run, RunStatus.FAILED, "No.", NOW)
    db.session.commit()

    second = api.get(f"/api/runs/{run.id}/logs?offset={first['next_offset']}").get_json()

    assert first == {"offset": 0, "next_offset": 4, "text": "one\n", "ended": False}
    assert second == {"offset": 4, "next_offset": 11, "text": "zwölf\n", "ended": True}


@pytest.mark.parametrize("offset", ["3", "-1", "x", "99999999999"])
def test_an_offset_that_the_log_never_gave_is_refused(api: FlaskClient, run: Run, offset: str) -> None:
    runs.append_log(run, "one\n", 4)
    db.session.commit()

    answer = api.get(f"/api/runs/{run.id}/logs?offset={offset}")

    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"


def test_cancel_ends_a_queued_run_at_once(api: FlaskClient, run: Run) -> None:
    answer = api.post(f"/api/runs/{run.id}/cancel")

    assert answer.status_code == 202
    assert answer.get_json()["status"] == "cancelled"


def test_cancel_asks_for_the_end_of_a_running_one(api: FlaskClient, run: Run) -> None:
    run.status = RunStatus.RUNNING
    db.session.commit()

    answer = api.post(f"/api/runs/{run.id}/cancel")

    assert (answer.status_code, answer.get_json()["status"]) == (202, "running")
    db.session.refresh(run)
    assert run.cancel_requested_at is not None


def test_a_run_that_is_over_cannot_be_cancelled(api: FlaskClient, run: Run) -> None:
    runs.end(run, RunStatus.FAILED, "No.", NOW)
    db.session.commit()

    answer = api.post(f"/api/runs/{run.id}/cancel")

    assert answer.status_code == 409
    assert answer.get_json()["detail"] == f"Run {run.id} is over already: failed."
