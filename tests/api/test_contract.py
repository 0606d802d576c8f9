"""The API keeps to its OpenAPI document, also for generated requests."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.core.result import Ok

from tests.conftest import NOW
from vulsweb.extensions import db
from vulsweb.models import ScheduledTask, Trigger
from vulsweb.runs import starting

METHODS = {"get", "put", "post", "patch", "delete"}


def test_the_document_lists_every_call_its_authentication_and_its_errors(client: FlaskClient) -> None:
    document = client.get("/api/openapi.json").get_json()

    operations = [each[method] for each in document["paths"].values() for method in METHODS & set(each)]

    assert len({operation["operationId"] for operation in operations}) == len(operations) == 35
    assert document["security"] == [{"token": []}, {"session": []}]
    assert set(document["components"]["securitySchemes"]) == {"token", "session"}
    for operation in operations:
        assert "401" in operation["responses"]
        assert "default" not in operation["responses"]
        for status, response in operation["responses"].items():
            assert status[0] == "2" or list(response["content"]) == ["application/problem+json"]


def test_every_post_takes_an_idempotency_key(client: FlaskClient) -> None:
    paths = client.get("/api/openapi.json").get_json()["paths"]

    posts = [path["post"] for path in paths.values() if "post" in path]

    assert len(posts) == 9
    assert all("Idempotency-Key" in str(post["parameters"]) for post in posts)


def test_the_documentation_page_loads_nothing_from_other_hosts(signed_in: FlaskClient) -> None:
    page = signed_in.get("/api/docs")

    assert page.status_code == 200
    assert "//" not in page.text.replace("<!DOCTYPE html>", "")
    assert "unsafe" not in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/runs/99999999999999999999", 404),
        ("GET", "/api/scheduled-tasks/?search=%00", 422),
        ("GET", "/api/scheduled-tasks/?page=1000000&per_page=500", 200),
        ("GET", "/api/runs?created_before=0001-01-01T00:00:00%2B23:59", 422),
        ("GET", "/api/runs?created_before=2026-01-01T00:00:00%2B23:59", 200),
        ("GET", "/api/runs?created_after=9999-12-31T23:59:59-23:59", 422),
    ],
)
def test_values_beyond_the_limits_of_the_database_break_nothing(
    api: FlaskClient, method: str, path: str, status: int
) -> None:
    assert api.open(path, method=method).status_code == status


@pytest.mark.parametrize("text", ["\x00", "\ud800"])
@pytest.mark.parametrize("field", ["name", "description", "cron_expression", "timezone"])
def test_text_that_cannot_be_stored_is_refused(api: FlaskClient, field: str, text: str) -> None:
    body = {
        "name": "n",
        "task_type": "db_update",
        "config": {"database_type": "all"},
        "cron_expression": "0 2 1 * *",
    }

    answer = api.post("/api/scheduled-tasks/", json=body | {field: text})

    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == [field]


@pytest.mark.filterwarnings("ignore")  # schemathesis' own
def test_generated_requests_find_no_server_errors_and_no_undocumented_answers(
    app: Flask,
    token: str,
    make_task: Callable[..., ScheduledTask],
    sent: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
    db.session.commit()
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", app)
    headers = {"Authorization": f"Bearer {token}"}
    promised = [
        schemathesis.checks.not_a_server_error,
        schemathesis.checks.status_code_conformance,
        schemathesis.checks.content_type_conformance,
        schemathesis.checks.response_schema_conformance,
    ]

    asked = set()
    for operation in schema.get_all_operations():
        assert isinstance(operation, Ok)
        call = operation.ok()

        @seed(1)
        @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=call.as_strategy())
        def holds(case: Any) -> None:
            case.call_and_validate(headers=headers, checks=promised)

        holds()
        asked.add(call.label)

    assert len(asked) == 35
