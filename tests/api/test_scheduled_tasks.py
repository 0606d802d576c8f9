"""`/api/scheduled-tasks`: the seven calls of the specification, and authentication."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from tests.conftest import NOW
from vulsweb.extensions import db
from vulsweb.models import Host, Run, ScheduledTask, Trigger
from vulsweb.runs import starting

MakeTask = Callable[..., ScheduledTask]
MakeHost = Callable[..., Host]

UPDATE: dict[str, Any] = {
    "name": "Monthly",
    "description": "Keeps them current.",
    "task_type": "db_update",
    "config": {"database_type": "all"},
    "cron_expression": "0 2 1 * *",
}


def test_create_answers_201_with_the_task_and_its_url(api: FlaskClient) -> None:
    answer = api.post("/api/scheduled-tasks/", json=UPDATE)

    assert answer.status_code == 201
    task = answer.get_json()
    assert answer.headers["Location"] == f"/api/scheduled-tasks/{task['id']}"
    assert set(task) == {
        "id",
        "name",
        "description",
        "task_type",
        "config",
        "host_id",
        "host_name",
        "host_tag",
        "cron_expression",
        "timezone",
        "overlap",
        "absence",
        "database_hours",
        "old_databases",
        "is_active",
        "next_run_at",
        "paused_at",
        "paused_reason",
        "last_run_at",
        "last_status",
        "last_error",
        "created_at",
        "updated_at",
    }
    assert (task["task_type"], task["config"], task["timezone"]) == (
        "db_update",
        {"database_type": "all"},
        "UTC",
    )
    assert task["next_run_at"] > task["created_at"]


def test_only_a_scan_demands_databases(api: FlaskClient) -> None:
    made = api.post("/api/scheduled-tasks/", json=UPDATE)
    refused = api.post("/api/scheduled-tasks/", json=UPDATE | {"name": "Other", "database_hours": 24})

    assert (made.get_json()["database_hours"], made.get_json()["old_databases"]) == (None, None)
    assert refused.status_code == 422
    assert list(refused.get_json()["errors"]) == ["database_hours"]


def test_a_repeated_detection_has_no_target(api: FlaskClient) -> None:
    again = {"name": "Again", "task_type": "detection", "config": {}, "cron_expression": "0 6 * * 0"}

    task = api.post("/api/scheduled-tasks/", json=again).get_json()
    changed = api.patch(f"/api/scheduled-tasks/{task['id']}", json={"is_active": False})
    refused = api.post("/api/scheduled-tasks/", json=again | {"name": "Not so", "host_tag": "web"})

    assert (task["task_type"], task["config"], task["host_id"]) == ("detection", {}, None)
    assert (changed.status_code, changed.get_json()["is_active"]) == (200, False)
    assert refused.status_code == 422
    assert "host_tag" in refused.get_json()["errors"]


def test_a_scan_names_its_host(api: FlaskClient, make_host: MakeHost) -> None:
    body = UPDATE | {"task_type": "scan", "config": {"scan_type": "full"}, "host_id": make_host("db-1").id}

    task = api.post("/api/scheduled-tasks/", json=body).get_json()

    assert (task["host_name"], task["config"]) == ("db-1", {"scan_type": "full"})


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"cron_expression": "99 * * * *"}, "cron_expression"),
        ({"cron_expression": "0 0 2 1 * *"}, "cron_expression"),
        ({"config": {"database_type": "oracle"}}, "config.database_type"),
        ({"config": {}}, "config.database_type"),
        ({"config": {"database_type": "all", "image": "evil"}}, "config.image"),
        ({"config": 3}, "config"),
        ({"task_type": "wish"}, "task_type"),
        ({"task_type": "scan", "config": {"scan_type": "fast"}, "host_id": 999}, "host_id"),
        ({"task_type": "scan", "config": {"scan_type": "fast"}}, "host_id"),
        ({"host_id": "1"}, "host_id"),
        ({"is_active": "perhaps"}, "is_active"),
        ({"timezone": "Mars"}, "timezone"),
        ({"nmae": "typo"}, "nmae"),
    ],
)
def test_an_invalid_field_answers_422_and_nothing_is_saved(
    api: FlaskClient, wrong: dict[str, Any], field: str
) -> None:
    answer = api.post("/api/scheduled-tasks/", json=UPDATE | wrong)

    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert field in answer.get_json()["errors"]
    assert db.session.scalar(select(func.count()).select_from(ScheduledTask)) == 0


def test_a_name_that_is_taken_answers_409(api: FlaskClient, make_task: MakeTask) -> None:
    make_task(name="monthly")

    answer = api.post("/api/scheduled-tasks/", json=UPDATE)

    assert answer.status_code == 409
    assert "name" in answer.get_json()["errors"]


@pytest.mark.parametrize(("body", "status"), [("{", 400), ("", 422), ("[]", 422), ("null", 422)])
def test_a_body_that_is_not_a_task_is_refused(api: FlaskClient, body: str, status: int) -> None:
    answer = api.post("/api/scheduled-tasks/", data=body, content_type="application/json")

    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"


def test_the_list_filters_and_pages_with_links(api: FlaskClient, make_task: MakeTask) -> None:
    for _ in range(3):
        make_task()
    make_task(name="off", is_active=False)

    first = api.get("/api/scheduled-tasks/?task_type=scan&is_active=true&search=task&per_page=2").get_json()
    second = api.get(first["links"]["next"]).get_json()

    assert [task["name"] for task in first["items"] + second["items"]] == ["task 1", "task 2", "task 3"]
    assert (first["total"], first["links"]["prev"], second["links"]["next"]) == (3, None, None)


@pytest.mark.parametrize("query", ["page=0", "per_page=501", "page=x", "task_type=wish", "page=99999999999"])
def test_an_invalid_query_is_refused(api: FlaskClient, query: str) -> None:
    assert api.get(f"/api/scheduled-tasks/?{query}").status_code == 422


def test_an_update_replaces_the_definition_and_keeps_the_history(
    api: FlaskClient, make_task: MakeTask
) -> None:
    task = make_task()
    starting.start(task, trigger=Trigger.PERSON, now=NOW)
    db.session.commit()

    answer = api.put(f"/api/scheduled-tasks/{task.id}", json=UPDATE)

    assert answer.status_code == 200
    assert (answer.get_json()["name"], answer.get_json()["host_id"]) == ("Monthly", None)
    assert len(api.get(f"/api/scheduled-tasks/{task.id}/runs").get_json()["items"]) == 1


def test_a_refused_update_changes_nothing(api: FlaskClient, make_task: MakeTask) -> None:
    task = make_task(name="kept")

    answer = api.put(f"/api/scheduled-tasks/{task.id}", json=UPDATE | {"cron_expression": "x"})

    assert answer.status_code == 422
    assert api.get(f"/api/scheduled-tasks/{task.id}").get_json()["name"] == "kept"


def test_delete_answers_204_and_the_task_is_gone(api: FlaskClient, make_task: MakeTask) -> None:
    task_id = make_task().id

    assert api.delete(f"/api/scheduled-tasks/{task_id}").status_code == 204
    assert api.get(f"/api/scheduled-tasks/{task_id}").status_code == 404


def test_run_queues_a_run_and_returns_its_url(api: FlaskClient, make_task: MakeTask, sent: list[int]) -> None:
    task = make_task()

    answer = api.post(f"/api/scheduled-tasks/{task.id}/run")

    assert answer.status_code == 202
    run = answer.get_json()
    assert (run["status"], run["trigger"], run["scheduled_task_id"]) == ("queued", "api", task.id)
    assert sent == [run["id"]]
    assert api.get(answer.headers["Location"]).get_json() == run
    listed = api.get(f"/api/scheduled-tasks/{task.id}").get_json()
    assert listed["last_status"] == "queued"


def test_a_second_run_during_the_first_answers_409_and_names_the_first(
    api: FlaskClient, make_task: MakeTask, sent: list[int]
) -> None:
    task = make_task()
    first = api.post(f"/api/scheduled-tasks/{task.id}/run").get_json()

    answer = api.post(f"/api/scheduled-tasks/{task.id}/run")

    assert answer.status_code == 409
    assert f"/api/runs/{first['id']}" in answer.get_json()["detail"]
    assert db.session.scalar(select(func.count()).select_from(Run)) == 1


def test_hosts_are_listed(api: FlaskClient, make_host: MakeHost) -> None:
    make_host("b")
    make_host("a", retired_at=NOW)

    listed = api.get("/api/hosts").get_json()["items"]

    assert [(host["name"], "retired" if host["retired_at"] else "in service") for host in listed] == [
        ("a", "retired"),
        ("b", "in service"),
    ]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/scheduled-tasks/7"),
        ("PUT", "/api/scheduled-tasks/7"),
        ("DELETE", "/api/scheduled-tasks/7"),
        ("POST", "/api/scheduled-tasks/7/run"),
        ("GET", "/api/scheduled-tasks/7/runs"),
        ("GET", "/api/runs/7"),
        ("GET", "/api/runs/7/findings"),
        ("GET", "/api/runs/7/logs"),
        ("POST", "/api/runs/7/cancel"),
        ("GET", "/api/runs/99999999999"),
        ("GET", "/api/nothing"),
    ],
)
def test_unknown_ids_answer_404_as_a_problem(api: FlaskClient, method: str, path: str) -> None:
    answer = api.open(path, method=method, json=UPDATE if method == "PUT" else None)

    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"
    assert answer.get_json()["detail"]


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "Basic YTpi", "Bearer \u00fc"])
def test_a_wrong_token_answers_401_as_a_problem(client: FlaskClient, header: str) -> None:
    answer = client.get("/api/hosts", headers={"Authorization": header})

    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"


def test_a_token_is_only_valid_for_the_api(api: FlaskClient) -> None:
    assert api.get("/api/hosts").status_code == 200
    assert api.get("/").status_code != 200


def test_a_session_may_read_and_with_a_csrf_token_also_write(
    app: Flask, signed_in: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", True)

    reading = signed_in.get("/api/scheduled-tasks/")
    writing = signed_in.post("/api/scheduled-tasks/", json=UPDATE)

    assert reading.status_code == 200
    assert writing.status_code == 400
    assert "CSRF" in writing.get_json()["detail"]


def test_the_openapi_document_describes_every_call(api: FlaskClient) -> None:
    document = api.get("/api/openapi.json").get_json()

    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {
        "/api/scheduled-tasks/",
        "/api/scheduled-tasks/{task_id}",
        "/api/scheduled-tasks/{task_id}/run",
        "/api/scheduled-tasks/{task_id}/runs",
        "/api/runs/{run_id}",
        "/api/runs",
        "/api/runs/{run_id}/cancel",
        "/api/runs/{run_id}/findings",
        "/api/runs/{run_id}/logs",
        "/api/ssh-config",
        "/api/keys",
        "/api/keys/generate",
        "/api/keys/{name}",
        "/api/known-hosts",
        "/api/known-hosts/offers",
        "/api/known-hosts/offers/{offer_id}",
        "/api/known-hosts/offers/{offer_id}/accept",
        "/api/known-hosts/{known_host_id}",
        "/api/hosts",
        "/api/hosts/{host_id}",
        "/api/hosts/sync-from-vuls-config",
        "/api/runs/{run_id}/hosts",
        "/api/audit",
        "/api/databases",
        "/api/findings",
        "/api/hosts/{host_id}/connection-test",
        "/api/system",
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("@daily", "Write 0 0 * * * instead of @daily."),
        ("CRON_TZ=Europe/London 0 2 * * *", "time zone"),
        (",".join(map(str, range(60))) + " " + ",".join(map(str, range(24))) + " * * *", "at most 120"),
    ],
)
def test_a_cron_line_of_another_program_answers_422_with_what_to_write(
    api: FlaskClient, line: str, said: str
) -> None:
    answer = api.post("/api/scheduled-tasks/", json=UPDATE | {"cron_expression": line})

    assert answer.status_code == 422
    assert said in answer.get_json()["errors"]["cron_expression"][0]
