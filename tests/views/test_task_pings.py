"""`/tasks/N/ping`: the outside service of a task, set by admins."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import NOW
from tests.support.sessions import sign_in
from tests.unit.runs.support import MakeTask
from tests.views.conftest import LIVE
from vulsweb.accounts import users
from vulsweb.extensions import db
from vulsweb.models import Role

URL = "https://hc.example.org/secret-word"


def test_an_admin_sets_replaces_and_removes_the_address(signed_in: FlaskClient, make_task: MakeTask) -> None:
    task = make_task()
    path = f"/tasks/{task.id}/ping"

    before = signed_in.get(path, headers=LIVE).text
    saved = signed_in.post(path, data={"url": URL}, follow_redirects=True).text
    shown = signed_in.get(path).text
    removed = signed_in.post(path, data={"remove": "yes", "url": URL}, follow_redirects=True).text

    assert "can tell you when this task does not run" in before
    assert "Runs of this task are pinged." in saved
    assert f'hx-get="{path}"' in saved
    assert ("hc.example.org" in shown, "secret-word" in shown) == (True, False)
    assert "not pinged any more" in removed
    assert task.ping_url is None


def test_a_wrong_address_is_said_and_kept_in_the_form(signed_in: FlaskClient, make_task: MakeTask) -> None:
    answer = signed_in.post(f"/tasks/{make_task().id}/ping", data={"url": "hc.example.org/x"})

    assert answer.status_code == 422
    assert "Enter an address like https://hc-ping.com/your-uuid." in answer.text
    assert 'value="hc.example.org/x"' in answer.text


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_operators_neither_see_nor_set_it(app: Flask, make_task: MakeTask, method: str) -> None:
    task = make_task()
    user = users.create_user("otto", "lantern otter quartz meadow", Role.OPERATOR, NOW)
    db.session.commit()
    client = sign_in(app.test_client(), user)

    assert client.open(f"/tasks/{task.id}/ping", method=method, data={"url": URL}).status_code == 403
    assert "Outside service" not in client.get(f"/tasks/{task.id}").text
