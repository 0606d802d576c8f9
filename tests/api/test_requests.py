"""What holds for every call: nothing of a request is dropped silently."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from vulsweb.extensions import db
from vulsweb.models import Host, HostSync, Role, Run, ScheduledTask, User

METHODS = ("get", "put", "post", "patch", "delete")
BOM = b"\xef\xbb\xbf"
UPDATE: dict[str, Any] = {
    "name": "Monthly",
    "task_type": "db_update",
    "config": {"database_type": "all"},
    "cron_expression": "0 2 1 * *",
}


def operations(client: FlaskClient, number: str = "1") -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return the method, the path with this number for its id, and the description of every call."""
    for path, calls in client.get("/api/openapi.json").get_json()["paths"].items():
        for method in METHODS:
            if method in calls:
                yield method, re.sub(r"\{[^}]*\}", number, path), calls[method]


def parameters(operation: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each["schema"] for each in operation.get("parameters", []) if each["in"] == "query"}


def errors_of_every_call(
    client: FlaskClient, ask: Callable[[str, str, dict[str, Any]], Any], *, status: int
) -> list[tuple[str, str, str]]:
    """Return the calls that do not answer with this status as a problem."""
    wrong = []
    for method, path, operation in operations(client):
        answer = ask(method, path, operation)
        if (answer.status_code, answer.content_type) != (status, "application/problem+json"):
            wrong.append((method, path, answer.text))
    return wrong


def test_an_unknown_parameter_is_refused_by_every_call(api: FlaskClient) -> None:
    def ask(method: str, path: str, operation: dict[str, Any]) -> Any:
        answer = api.open(f"{path}?dryrun=true", method=method)
        (sentence,) = answer.get_json()["errors"]["dryrun"]
        assert sentence.startswith("Unknown parameter. This call takes ")
        assert all(name in sentence for name in parameters(operation))
        return answer

    assert errors_of_every_call(api, ask, status=422) == []


def test_a_misspelled_dry_run_saves_nothing(api: FlaskClient, app: Flask) -> None:
    answer = api.put("/api/ssh-config?dryrun=true", json={"content": "Host a\n    HostName 192.0.2.1\n"})

    assert answer.get_json()["errors"] == {"dryrun": ["Unknown parameter. This call takes dry_run, fix."]}
    assert not app.config["VULS_CONFIG"].exists()


@pytest.mark.parametrize(
    "query", ["hosts?tags=web", "runs?state=failed", "runs?page=2", "system?x", "keys?a"]
)
def test_the_unknown_parameter_is_named(api: FlaskClient, query: str) -> None:
    name = query.partition("?")[2].partition("=")[0]

    answer = api.get(f"/api/{query}")

    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [name])


def test_a_parameter_that_takes_one_value_is_refused_when_sent_twice(api: FlaskClient) -> None:
    asked = 0
    for method, path, operation in operations(api):
        for name, schema in parameters(operation).items():
            answer = api.open(f"{path}?{name}=1&{name}=2", method=method)
            twice = answer.get_json().get("errors", {}).get(name) == ["Send this parameter only once."]
            assert twice is (schema.get("type") != "array"), (path, name)
            asked += 1
    assert asked > 20


def test_a_text_with_nul_gets_a_sentence_that_makes_sense(api: FlaskClient) -> None:
    asked = 0
    for method, path, operation in operations(api):
        for name, schema in parameters(operation).items():
            if schema.get("type") == "string" and not {"enum", "format"} & set(schema):
                answer = api.open(f"{path}?{name}=%00", method=method)
                assert answer.status_code == 422
                assert "choices" not in answer.text
                asked += 1
    assert asked > 4
    found = api.get("/api/scheduled-tasks/?search=%00").get_json()["errors"]
    assert found == {"search": ["Leave out the NUL character."]}


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_body_that_is_not_declared_as_json_is_refused_by_every_call(
    api: FlaskClient, content_type: str | None
) -> None:
    def ask(method: str, path: str, operation: dict[str, Any]) -> Any:
        answer = api.open(path, method=method, data=json.dumps(UPDATE), content_type=content_type)
        assert "with the header Content-Type: application/json" in answer.get_json()["detail"]
        assert (content_type or "missing") in answer.get_json()["detail"]
        return answer

    assert errors_of_every_call(api, ask, status=415) == []


def test_a_form_of_a_session_is_refused_too(
    app: Flask, signed_in: FlaskClient, monkeypatch: pytest.MonkeyPatch, make_host: Callable[..., Host]
) -> None:
    signed_in.get("/api/docs")
    page = signed_in.get("/api/docs").text
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", True)
    csrf = re.search(r'data-csrf-token="([^"]+)"', page)

    answer = signed_in.patch(
        f"/api/hosts/{make_host().id}", data={"notes": "x"}, headers={"X-CSRFToken": csrf[1] if csrf else ""}
    )

    assert answer.status_code == 415


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "a/b+json"])
def test_every_way_to_say_json_is_taken(api: FlaskClient, content_type: str) -> None:
    answer = api.post("/api/scheduled-tasks/", data=json.dumps(UPDATE), content_type=content_type)

    assert answer.status_code == 201


def test_a_call_without_a_body_refuses_fields_but_takes_an_empty_object(api: FlaskClient) -> None:
    asked = 0
    for method, path, operation in operations(api):
        if "requestBody" in operation:
            continue
        answer = api.open(path, method=method, json={"dry_run": True})
        assert (answer.status_code, answer.get_json()["errors"]) == (422, {"dry_run": ["Unknown field."]})
        assert api.open(path, method=method, json={}).status_code != 422 or method == "post"
        asked += 1
    assert asked > 20
    assert db.session.scalar(select(func.count()).select_from(HostSync)) == 0


@pytest.mark.parametrize("body", ["[]", "null", "7", '"x"'])
def test_a_call_without_a_body_refuses_what_is_not_an_object(api: FlaskClient, body: str) -> None:
    answer = api.get("/api/system", data=body, content_type="application/json")

    assert answer.status_code == 422


def test_a_byte_order_mark_before_the_json_is_read_over(
    api: FlaskClient, make_host: Callable[..., Host]
) -> None:
    path = f"/api/hosts/{make_host().id}"
    made = api.post(
        "/api/scheduled-tasks/", data=BOM + json.dumps(UPDATE).encode(), content_type="application/json"
    )
    shown = api.get(path).get_json() | {"notes": "new"}

    noted = api.patch(path, data=BOM + json.dumps(shown).encode(), content_type="application/json")

    assert (made.status_code, made.get_json()["name"]) == (201, "Monthly")
    assert (noted.status_code, noted.get_json()["notes"]) == (200, "new")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "line 1 column 2"),
        (b"\xff", "can't decode"),
        (BOM + BOM + b"{}", "BOM"),
        (b'{"name": "a", "name": "b"}', "'name' is there twice"),
        (b'{"config": {"scan_type": "fast", "scan_type": "full"}}', "'scan_type' is there twice"),
        (b"[" * 200_000, "nested too deeply"),
    ],
)
def test_a_body_that_is_not_json_is_refused_with_the_reason(
    api: FlaskClient, body: bytes, reason: str
) -> None:
    answer = api.post("/api/scheduled-tasks/", data=body, content_type="application/json")

    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")
    assert reason in answer.get_json()["detail"]


def test_ids_that_no_row_can_have_answer_404_on_every_call(api: FlaskClient) -> None:
    asked = 0
    for method, path, operation in operations(api, number="{}"):
        required = operation.get("requestBody", {}).get("required")
        for number in (2**31 - 1, 2**31, 2**32 + 1, 2**63, 10**30):
            # A body that lacks fields may be refused before its row is looked for.
            if "{}" in path and "/keys/" not in path and not (required and method == "post"):
                answer = api.open(path.format(number), method=method, json={} if required else None)
                found = (answer.status_code, answer.content_type)
                assert found == (404, "application/problem+json"), (method, path, number)
                asked += 1
    assert asked > 80


def test_every_call_answers_with_and_without_a_slash_at_its_end(api: FlaskClient) -> None:
    for method, path, _ in operations(api):
        other = path.rstrip("/") if path.endswith("/") else f"{path}/"
        answers = [api.open(each, method=method) for each in (path, other)]
        seen = [(answer.status_code, answer.content_type) for answer in answers]
        assert seen[0] == seen[1] or method in ("post", "delete"), (method, path)
        assert seen[1][0] not in (308, 405), (method, path)


@pytest.mark.parametrize("path", ["/api/hosts", "/api/hosts/", "/api/scheduled-tasks", "/api/runs/"])
def test_a_list_is_found_at_both_addresses(api: FlaskClient, path: str) -> None:
    assert api.get(path).get_json()["items"] == []


def test_a_redirect_is_a_problem_with_the_new_address(api: FlaskClient) -> None:
    answer = api.get("/api//hosts?tag=web")

    assert (answer.status_code, answer.content_type) == (308, "application/problem+json")
    assert answer.location.endswith("/api/hosts?tag=web")
    assert answer.location in answer.get_json()["detail"]


@pytest.mark.parametrize("path", ["/api", "/api/"])
def test_the_root_says_where_the_documentation_is(
    client: FlaskClient, signed_in: FlaskClient, path: str
) -> None:
    answer = client.get(path)

    reply = answer.get_json()
    assert (answer.status_code, reply["title"]) == (200, "Vuls Web")
    assert signed_in.get(reply["documentation"]).status_code == 200
    assert client.get(reply["openapi"]).get_json()["info"]["version"] == reply["version"]


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/api", 405), ("GET", "/api/x", 404)])
def test_errors_beside_the_calls_are_problems(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method)

    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert status != 404 or "GET /api says where" in answer.get_json()["detail"]


def test_a_401_says_how_to_authenticate_on_every_call(client: FlaskClient) -> None:
    def ask(method: str, path: str, operation: dict[str, Any]) -> Any:
        answer = client.open(path, method=method)
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="Vuls Web"'
        return answer

    assert errors_of_every_call(client, ask, status=401) == []


@pytest.mark.parametrize("header", ["Bearer wrong", "Basic YTpi"])
def test_a_401_says_that_the_token_was_refused(client: FlaskClient, header: str) -> None:
    answer = client.get("/api/hosts", headers={"Authorization": header})

    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="Vuls Web", error=invalid_token'


def test_who_may_not_use_a_call_is_told_so_before_what_is_wrong_with_it(
    api: FlaskClient, admin: User
) -> None:
    admin.role = Role.VIEWER
    db.session.commit()

    answer = api.post("/api/scheduled-tasks/?x=1", data="x", content_type="text/plain")

    assert answer.status_code == 403


def test_a_refused_request_does_not_use_its_idempotency_key(
    api: FlaskClient, make_task: Callable[..., ScheduledTask], sent: list[int]
) -> None:
    path, headers = f"/api/scheduled-tasks/{make_task().id}/run", {"Idempotency-Key": "one"}

    refused = api.post(f"{path}?now=1", headers=headers)
    taken = api.post(path, headers=headers)

    assert (refused.status_code, taken.status_code) == (422, 202)
    assert db.session.scalar(select(func.count()).select_from(Run)) == 1
