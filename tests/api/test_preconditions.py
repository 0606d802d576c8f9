"""Changes that are made only to what the caller has read."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from tests.conftest import NOW
from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import starting
from vulsweb.tasks import editing

MakeTask = Callable[..., ScheduledTask]
SSH = "/api/ssh-config"


@pytest.fixture
def address(make_task: MakeTask) -> str:
    return f"/api/scheduled-tasks/{make_task().id}"


def change(task_id: int) -> None:
    """Change the task as another person does."""
    task = db.session.get_one(ScheduledTask, task_id)
    editing.set_active([task.id], active=False, now=NOW + timedelta(seconds=1))
    db.session.commit()


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_task_that_changed_since_it_was_read_is_left_alone(
    api: FlaskClient, address: str, method: str
) -> None:
    etag = api.get(address).headers["ETag"]
    change(int(address.rpartition("/")[2]))
    body = None if method == "DELETE" else {"description": "mine"}

    answer = api.open(address, method=method, json=body, headers={"If-Match": etag})

    now = api.get(address)
    assert (answer.status_code, answer.content_type) == (412, "application/problem+json")
    assert now.headers["ETag"] in answer.get_json()["detail"]
    assert now.get_json()["description"] == ""


@pytest.mark.parametrize("match", ["read", "any", "none"])
def test_a_change_is_made_to_what_was_read_or_to_whatever_is_there(
    api: FlaskClient, address: str, match: str
) -> None:
    etag = api.get(address).headers["ETag"]
    headers = {"read": {"If-Match": etag}, "any": {"If-Match": "*"}, "none": {}}[match]

    answer = api.patch(address, json={"description": "mine"}, headers=headers)

    assert (answer.status_code, answer.get_json()["description"]) == (200, "mine")
    assert answer.headers["ETag"] == api.get(address).headers["ETag"] != etag


def test_a_run_does_not_change_the_version_of_its_task(api: FlaskClient, address: str) -> None:
    before = api.get(address).headers["ETag"]
    task = db.session.get_one(ScheduledTask, int(address.rpartition("/")[2]))
    run: Run = starting.start(task, trigger=Trigger.API, now=NOW)
    run.status = RunStatus.SUCCESS
    db.session.commit()

    assert api.get(address).headers["ETag"] == before


def test_an_ssh_configuration_that_changed_since_it_was_read_is_left_alone(api: FlaskClient) -> None:
    etag = api.get(SSH).headers["ETag"]
    saved = api.put(SSH, json={"content": "Host a\n  HostName 192.0.2.1\n"}, headers={"If-Match": etag})

    late = api.put(SSH, json={"content": ""}, headers={"If-Match": etag})

    assert (saved.status_code, late.status_code) == (200, 412)
    assert "192.0.2.1" in api.get(SSH).get_json()["content"]
