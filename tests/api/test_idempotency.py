"""`Idempotency-Key`: a request that is sent twice is carried out once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from tests.conftest import NOW, PASSWORD
from vulsweb import idempotency
from vulsweb.accounts import tokens, users
from vulsweb.extensions import db
from vulsweb.models import IdempotencyKey, Role, Run, ScheduledTask, Scope

MakeTask = Callable[..., ScheduledTask]
KEY = {"Idempotency-Key": "one"}
UPDATE: dict[str, Any] = {
    "name": "Monthly",
    "task_type": "db_update",
    "config": {"database_type": "all"},
    "cron_expression": "0 2 1 * *",
}


def tasks_kept() -> int | None:
    return db.session.scalar(select(func.count()).select_from(ScheduledTask))


def test_the_same_key_returns_the_first_response_again(api: FlaskClient) -> None:
    first = api.post("/api/scheduled-tasks/", json=UPDATE, headers=KEY)

    again = api.post("/api/scheduled-tasks/", json=UPDATE, headers=KEY)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.get_json() == first.get_json()
    assert again.headers["Location"] == first.headers["Location"]
    assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (
        None,
        "true",
    )
    assert tasks_kept() == 1


def test_a_run_is_started_and_cancelled_once(api: FlaskClient, make_task: MakeTask, sent: list[int]) -> None:
    start = f"/api/scheduled-tasks/{make_task().id}/run"
    run = api.post(start, headers=KEY).get_json()
    cancel = f"/api/runs/{run['id']}/cancel"

    started_again = api.post(start, headers=KEY)
    cancelled = [api.post(cancel, headers={"Idempotency-Key": "two"}).status_code for _ in range(2)]

    assert (started_again.status_code, started_again.get_json()) == (202, run)
    assert cancelled == [202, 202]
    assert sent == [run["id"]]
    assert db.session.scalar(select(func.count()).select_from(Run)) == 1


def test_an_error_response_is_repeated_too(api: FlaskClient, make_task: MakeTask) -> None:
    taken = make_task(name="Monthly")
    refused = api.post("/api/scheduled-tasks/", json=UPDATE, headers=KEY)
    api.delete(f"/api/scheduled-tasks/{taken.id}")

    again = api.post("/api/scheduled-tasks/", json=UPDATE, headers=KEY)

    assert (refused.status_code, again.status_code) == (409, 409)
    assert again.content_type == "application/problem+json"
    assert again.get_json() == refused.get_json()


def test_the_same_key_for_another_request_is_refused(api: FlaskClient, make_task: MakeTask) -> None:
    api.post("/api/scheduled-tasks/", json=UPDATE, headers=KEY)

    other_body = api.post("/api/scheduled-tasks/", json=UPDATE | {"name": "Other"}, headers=KEY)
    other_path = api.post(f"/api/scheduled-tasks/{make_task().id}/run", headers=KEY)

    assert (other_body.status_code, other_path.status_code) == (422, 422)
    assert "another request" in other_body.get_json()["detail"]


def test_two_users_may_use_the_same_key(api: FlaskClient) -> None:
    other = tokens.create(
        "other", users.create_user("other", PASSWORD, Role.OPERATOR, NOW), Scope.OPERATE, 0, NOW
    )
    db.session.commit()
    api.post("/api/scheduled-tasks/", json=UPDATE, headers=KEY)

    answer = api.post(
        "/api/scheduled-tasks/",
        json=UPDATE | {"name": "Other"},
        headers={**KEY, "Authorization": f"Bearer {other}"},
    )

    assert answer.status_code == 201


def test_a_key_is_valid_for_a_day(api: FlaskClient, make_task: MakeTask) -> None:
    api.post("/api/scheduled-tasks/", json=UPDATE, headers=KEY)
    db.session.execute(update(IdempotencyKey).values(created_at=NOW - timedelta(days=400)))
    db.session.commit()

    answer = api.post("/api/scheduled-tasks/", json=UPDATE | {"name": "Other"}, headers=KEY)

    assert answer.status_code == 201
    assert "Idempotency-Replayed" not in answer.headers


def test_two_requests_at_once_do_the_work_once(api: FlaskClient) -> None:
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(api.post, "/api/scheduled-tasks/", json=UPDATE, headers=KEY) for _ in range(8)]
        answers = [each.result() for each in asked]

    first = [
        each for each in answers if each.status_code == 201 and "Idempotency-Replayed" not in each.headers
    ]
    others = [each for each in answers if each not in first]
    assert len(first) == 1
    assert all(each.status_code == 409 or each.get_json() == first[0].get_json() for each in others)
    assert tasks_kept() == 1


def test_a_request_without_a_response_is_not_repeated(api: FlaskClient) -> None:
    api.post("/api/scheduled-tasks/", json=UPDATE, headers=KEY)
    db.session.execute(update(IdempotencyKey).values(status=None))
    db.session.commit()

    answer = api.post("/api/scheduled-tasks/", json=UPDATE, headers=KEY)

    assert answer.status_code == 409
    assert tasks_kept() == 1


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "tab\there"])
def test_an_invalid_key_is_refused(api: FlaskClient, key: str) -> None:
    answer = api.post("/api/scheduled-tasks/", json=UPDATE, headers={"Idempotency-Key": key})

    assert answer.status_code == 400
    assert tasks_kept() == 0


def test_old_keys_are_pruned(api: FlaskClient) -> None:
    api.post("/api/scheduled-tasks/", json=UPDATE, headers=KEY)
    made_at = db.session.scalars(select(IdempotencyKey.created_at)).one()

    kept = idempotency.prune_keys(made_at + timedelta(hours=24))
    gone = idempotency.prune_keys(made_at + timedelta(hours=24, seconds=1))

    assert (kept, gone) == (0, 1)
