"""PUT and PATCH of a task change what they name, and nothing of a body is lost."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from vulsweb.extensions import db
from vulsweb.models import Host, ScheduledTask

MakeTask = Callable[..., ScheduledTask]
SCAN: dict[str, Any] = {
    "name": "Nightly",
    "task_type": "scan",
    "config": {"scan_type": "fast"},
    "host_tag": "web",
    "cron_expression": "0 2 * * *",
}
UPDATE = SCAN | {"task_type": "db_update", "config": {"database_type": "all"}, "host_tag": None}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (UPDATE | {"host_id": 1}, "host_id"),
        (UPDATE | {"host_tag": "web"}, "host_tag"),
        (UPDATE | {"config": {"database_type": "all", "scan_type": "fast"}}, "config.scan_type"),
        (SCAN | {"config": {"scan_type": "fast", "database_type": "all"}}, "config.database_type"),
        (SCAN | {"host_id": 1}, "host_tag"),
        (SCAN | {"host_id": 0}, "host_id"),
        (SCAN | {"host_id": True}, "host_id"),
        (SCAN | {"host_id": 1.5}, "host_id"),
        (SCAN | {"is_active": 1}, "is_active"),
        (SCAN | {"is_active": 0}, "is_active"),
        (SCAN | {"is_active": 1.0}, "is_active"),
        (SCAN | {"is_active": "true"}, "is_active"),
        (SCAN | {"is_active": None}, "is_active"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_what_a_task_would_not_keep_is_refused_at_the_field(
    api: FlaskClient, make_host: Callable[..., Host], method: str, body: dict[str, Any], field: str
) -> None:
    make_host()
    path = "/api/scheduled-tasks/"
    if method != "POST":
        path += str(api.post(path, json=SCAN | {"name": "kept"}).get_json()["id"])
    before = api.get(path).get_json()

    answer = api.open(path, method=method, json=body)

    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])
    assert api.get(path).get_json() == before


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"name": "other"},
        {"description": "Why."},
        {"cron_expression": "30 4 * * 1"},
        {"timezone": "Europe/London"},
        {"overlap": "wait"},
        {"absence": "fail"},
        {"database_hours": 24},
        {"old_databases": "wait"},
        {"is_active": False},
        {"config": {"scan_type": "full"}},
        {"host_tag": "db"},
    ],
)
def test_a_change_keeps_all_other_fields(api: FlaskClient, method: str, change: dict[str, Any]) -> None:
    whole = SCAN | {"description": "Old.", "timezone": "Asia/Tokyo", "overlap": "replace", "absence": "fail"}
    made = api.post("/api/scheduled-tasks/", json=whole)
    before = made.get_json()

    after = api.open(made.location, method=method, json=change).get_json()

    for moving in ("updated_at", "next_run_at"):
        before.pop(moving), after.pop(moving)
    assert after == before | change


def test_a_host_replaces_a_tag_and_a_tag_a_host(api: FlaskClient, make_host: Callable[..., Host]) -> None:
    host = make_host()
    path = api.post("/api/scheduled-tasks/", json=SCAN).location

    to_host = api.patch(path, json={"host_id": host.id}).get_json()
    to_tag = api.patch(path, json={"host_tag": "web"}).get_json()
    to_none = api.patch(path, json={"host_tag": None})

    assert (to_host["host_id"], to_host["host_tag"]) == (host.id, None)
    assert (to_tag["host_id"], to_tag["host_tag"]) == (None, "web")
    assert list(to_none.get_json()["errors"]) == ["host_id"]


def test_another_type_needs_its_own_fields_and_drops_the_others(api: FlaskClient) -> None:
    path = api.post("/api/scheduled-tasks/", json=SCAN).location

    alone = api.patch(path, json={"task_type": "db_update"})
    whole = api.patch(path, json={"task_type": "db_update", "config": {"database_type": "debian"}}).get_json()

    assert list(alone.get_json()["errors"]) == ["config.database_type"]
    assert (whole["task_type"], whole["config"], whole["host_tag"]) == (
        "db_update",
        {"database_type": "debian"},
        None,
    )


def test_a_field_that_belongs_to_another_type_may_be_null(api: FlaskClient) -> None:
    answer = api.post("/api/scheduled-tasks/", json=UPDATE | {"host_id": None})

    assert answer.status_code == 201
    assert db.session.scalar(select(func.count()).select_from(ScheduledTask)) == 1


@pytest.mark.parametrize("wrong", [1, 0, "true", None])
def test_a_changed_host_key_is_accepted_by_true_only(api: FlaskClient, wrong: object) -> None:
    answer = api.post("/api/known-hosts/offers/1/accept", json={"accept_changed": wrong})

    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["accept_changed"])
