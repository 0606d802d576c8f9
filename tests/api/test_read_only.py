"""What GET shows can be sent back: unchanged, or with the changes that are allowed."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from tests.conftest import NOW
from vulsweb.extensions import db
from vulsweb.models import Host, HostSync, ScheduledTask, Trigger
from vulsweb.runs import starting

ONE = "Host web-1\n    HostName 192.0.2.1\n    User scanner\n"
SENTENCE = ["This field is read-only. Leave it out, or send it as GET shows it."]
# What each change sets anew.
MOVING = {"updated_at": 0, "version": 0, "next_run_at": 0}
MakeTask = Callable[..., ScheduledTask]


@pytest.fixture
def places(api: FlaskClient, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What GET shows and can be changed, with something in every field."""
    monkeypatch.setattr("vulsweb.messages.send_sync", lambda _: None)
    task = make_task()
    starting.start(task, trigger=Trigger.PERSON, now=NOW)
    db.session.commit()
    api.put("/api/ssh-config", json={"content": ONE})
    return {
        "/api/scheduled-tasks/{task_id}": f"/api/scheduled-tasks/{task.id}",
        "/api/hosts/{host_id}": f"/api/hosts/{task.host_id}",
        "/api/ssh-config": "/api/ssh-config",
    }


def changes(api: FlaskClient, places: dict[str, str]) -> Iterator[tuple[str, str, set[str]]]:
    """Return every PUT and PATCH, its path, and the fields that it takes."""
    document = api.get("/api/openapi.json").get_json()
    for pattern, calls in document["paths"].items():
        for method in {"put", "patch"} & set(calls):
            reference = calls[method]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            schema = document["components"]["schemas"][reference.rpartition("/")[2]]
            yield method, places[pattern], set(schema["properties"])


def test_every_change_takes_what_get_gave(api: FlaskClient, places: dict[str, str]) -> None:
    asked = 0
    for method, path, _ in changes(api, places):
        shown = api.get(path).get_json()

        answer = api.open(path, method=method, json=shown)

        assert answer.status_code == 200, (method, path, answer.text)
        after = api.get(path).get_json()
        assert after | MOVING == shown | MOVING
        asked += 1
    assert asked == 4


def test_a_changed_read_only_field_is_refused_by_every_call(api: FlaskClient, places: dict[str, str]) -> None:
    asked = 0
    for method, path, taken in changes(api, places):
        shown = api.get(path).get_json()
        for name in set(shown) - taken:
            for other in ("2020-01-01T00:00:00Z", 99, {"a": 1}, ["a"]):
                answer = api.open(path, method=method, json=shown | {name: other})
                assert (answer.status_code, answer.get_json()["errors"]) == (422, {name: SENTENCE})
            asked += 1
    assert asked > 30


def test_a_task_is_renamed_with_what_get_gave(api: FlaskClient, places: dict[str, str]) -> None:
    path = places["/api/scheduled-tasks/{task_id}"]
    shown = api.get(path).get_json()

    answer = api.put(path, json=shown | {"name": "renamed"})

    assert answer.status_code == 200
    assert answer.get_json() | MOVING == shown | {"name": "renamed"} | MOVING


def test_a_time_may_be_written_in_another_way(api: FlaskClient, places: dict[str, str]) -> None:
    path = places["/api/scheduled-tasks/{task_id}"]
    shown = api.get(path).get_json()

    answer = api.put(path, json={"created_at": shown["created_at"].replace("+00:00", "Z")})

    assert answer.status_code == 200


def test_a_dry_run_checks_read_only_fields_too(api: FlaskClient, places: dict[str, str]) -> None:
    answer = api.put("/api/ssh-config?dry_run=1", json={"content": ONE, "updated_by": "eve"})

    assert answer.get_json()["errors"] == {"updated_by": SENTENCE}
    assert db.session.scalar(select(func.count()).select_from(HostSync)) == 1


def test_a_new_task_cannot_choose_read_only_fields(api: FlaskClient, make_host: Callable[..., Host]) -> None:
    body: dict[str, Any] = {
        "name": "n",
        "task_type": "scan",
        "config": {"scan_type": "fast"},
        "host_id": make_host().id,
        "cron_expression": "0 2 * * *",
    }

    answer = api.post("/api/scheduled-tasks/", json=body | {"id": 7, "host_name": "web-1"})

    assert answer.status_code == 422
    assert answer.get_json()["errors"] == {"id": SENTENCE, "host_name": SENTENCE}
    assert db.session.scalar(select(func.count()).select_from(ScheduledTask)) == 0


def test_a_misspelled_field_is_still_unknown(api: FlaskClient, places: dict[str, str]) -> None:
    for method, path, _ in changes(api, places):
        answer = api.open(path, method=method, json={"nmae": "x", "content": ONE})
        assert answer.get_json()["errors"]["nmae"] == ["Unknown field."]
