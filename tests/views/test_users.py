"""Who may do what: roles over every page and call, the people page and one's own account."""

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import NOW, PASSWORD
from tests.support.sessions import sign_in
from tests.views.conftest import MakeRun, flat
from vulsweb.accounts import permissions, tokens, users
from vulsweb.extensions import db
from vulsweb.models import Role, RunStatus, ScheduledTask, Scope, User

MakeTask = Callable[..., ScheduledTask]
SignIn = Callable[[Role], FlaskClient]


@pytest.fixture
def as_role(app: Flask, admin: User) -> SignIn:
    """Sign a fresh person of a role in."""

    def of_role(role: Role) -> FlaskClient:
        user = users.create_user(f"a {role.value}", PASSWORD, role, NOW)
        db.session.commit()
        return sign_in(app.test_client(), user)

    return of_role


def test_a_viewer_can_change_nothing_anywhere(app: Flask, as_role: SignIn) -> None:
    viewer = as_role(Role.VIEWER)
    changing = [
        (method, rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - set(permissions.READ_METHODS)
        if rule.endpoint.rpartition(".")[0] not in permissions.ACCOUNT_BLUEPRINTS
    ]

    answers = {
        (method, rule.rule): viewer.open(re.sub("<[^>]*>", "1", rule.rule), method=method).status_code
        for method, rule in changing
    }

    assert len(answers) >= 14
    assert set(answers.values()) == {403}


def test_a_viewer_can_read_every_page_but_those_of_admins(as_role: SignIn, make_task: MakeTask) -> None:
    viewer, task = as_role(Role.VIEWER), make_task()

    pages = {path: viewer.get(path) for path in ("/", "/tasks/", f"/tasks/{task.id}", "/runs/", "/system/")}

    assert {answer.status_code for answer in pages.values()} == {200}
    for path, answer in pages.items():
        assert "run now" not in answer.text.lower(), path
        assert "Create" not in answer.text, path
        assert "/people/" not in answer.text, path


def test_what_gives_access_is_for_admins_alone(app: Flask, as_role: SignIn) -> None:
    guarded = [
        (method, rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint.rpartition(".")[0] in permissions.ADMIN_BLUEPRINTS
    ]

    for role in (Role.VIEWER, Role.OPERATOR):
        client = as_role(role)
        for method, rule in guarded:
            answer = client.open(re.sub("<[^>]*>", "1", rule.rule), method=method)
            assert answer.status_code == 403, (role, method, rule.rule)
    assert len(guarded) >= 5


def test_an_operator_may_run_and_change_tasks(as_role: SignIn, make_task: MakeTask, sent: list[int]) -> None:
    operator, task = as_role(Role.OPERATOR), make_task()

    answer = operator.post(f"/tasks/{task.id}/run")

    assert answer.status_code == 303
    assert len(sent) == 1


def test_a_refusal_says_which_role_is_needed(as_role: SignIn) -> None:
    answer = as_role(Role.VIEWER).post("/tasks/1/run")

    assert answer.status_code == 403
    assert "This needs the role Operator; yours is Viewer." in answer.text


def test_a_token_may_do_what_its_person_may(app: Flask, admin: User, make_task: MakeTask) -> None:
    viewer, task = users.create_user("eve", PASSWORD, Role.VIEWER, NOW), make_task()
    headers = {"Authorization": f"Bearer {tokens.create('eve', viewer, Scope.ADMIN, 0, NOW)}"}
    db.session.commit()
    client = app.test_client()

    assert client.get("/api/scheduled-tasks/", headers=headers).status_code == 200
    refused = client.delete(f"/api/scheduled-tasks/{task.id}", headers=headers)

    assert refused.status_code == 403
    assert refused.content_type == "application/problem+json"
    assert refused.json is not None
    assert refused.json["detail"] == "This needs the role Operator; yours is Viewer."


def test_an_admin_adds_changes_and_removes_people(signed_in: FlaskClient) -> None:
    added = signed_in.post("/people/", data={"name": "eve", "role": "viewer", "password": PASSWORD})
    eve = users.authenticate("eve", PASSWORD)
    assert (added.status_code, eve is not None and eve.role) == (303, Role.VIEWER)
    assert eve is not None

    signed_in.post(f"/people/{eve.id}/role", data={"role": "operator"})
    asked = signed_in.get(f"/people/{eve.id}/delete")
    db.session.expire_all()
    assert eve.role is Role.OPERATOR
    assert "Delete user" in asked.text
    signed_in.post(f"/people/{eve.id}/delete")

    db.session.expire_all()
    assert [person.name for person in users.all_users()] == ["admin"]
    assert signed_in.get(f"/people/{eve.id}/delete").status_code == 404


def test_what_a_deleted_person_did_keeps_their_name(signed_in: FlaskClient, make_run: MakeRun) -> None:
    eve = users.create_user("eve", PASSWORD, Role.OPERATOR, NOW)
    run = make_run(RunStatus.SUCCESS, requested_by=eve)

    signed_in.post(f"/people/{eve.id}/delete")

    assert "eve (deleted)" in signed_in.get(f"/runs/{run.id}").text


@pytest.mark.parametrize(
    ("name", "password", "says"),
    [("admin", PASSWORD, "already"), ("eve", "short", "at least 12"), ("", PASSWORD, "printable")],
)
def test_a_person_who_cannot_be_added_is_said_and_nothing_typed_is_lost(
    signed_in: FlaskClient, name: str, password: str, says: str
) -> None:
    answer = signed_in.post("/people/", data={"name": name, "role": "operator", "password": password})

    assert answer.status_code == 422
    assert says in answer.text
    assert f'value="{name}"' in answer.text
    assert 'value="operator" selected' in " ".join(answer.text.split())


def test_the_only_admin_cannot_be_removed(signed_in: FlaskClient, admin: User) -> None:
    answer = signed_in.post(f"/people/{admin.id}/delete", follow_redirects=True)

    assert "admin is the only admin." in answer.text


def test_a_new_password_ends_the_other_sessions_and_not_this_one(app: Flask, admin: User) -> None:
    here, elsewhere = app.test_client(), app.test_client()
    for client in (here, elsewhere):
        client.post("/sign-in", data={"name": "admin", "password": PASSWORD})

    here.post("/account/password", data={"current": PASSWORD, "password": PASSWORD + "!"})

    assert here.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 303


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"current": "wrong", "password": PASSWORD}, "Wrong password."),
        ({"current": PASSWORD, "password": "short"}, "at least 12 characters"),
    ],
)
def test_a_password_is_changed_only_by_who_knows_it(
    signed_in: FlaskClient, given: dict[str, str], says: str
) -> None:
    answer = signed_in.post("/account/password", data=given)

    assert answer.status_code == 422
    assert says in answer.text


NEW_TOKEN = {"name": "laptop", "scope": "results", "days": "30", "confirm": PASSWORD}


def test_a_token_is_shown_once_works_and_can_be_revoked(app: Flask, signed_in: FlaskClient) -> None:
    made = signed_in.post("/account/tokens", data=NEW_TOKEN).text
    token = re.search(r"vulsweb_[\w-]+", made)
    assert token is not None
    headers = {"Authorization": f"Bearer {token[0]}"}
    assert app.test_client().get("/api/runs", headers=headers).status_code == 200
    assert app.test_client().get("/api/hosts", headers=headers).status_code == 403
    page = flat(signed_in.get("/account/").text)
    assert token[0] not in page
    assert "Read runs and findings · created" in page
    assert "last used" in page
    assert "from 127.0.0.1" in page

    signed_in.post("/account/tokens/1/revoke")

    assert app.test_client().get("/api/runs", headers=headers).status_code == 401


def test_a_token_is_made_only_by_who_knows_the_password(signed_in: FlaskClient) -> None:
    answer = signed_in.post("/account/tokens", data=NEW_TOKEN | {"confirm": "wrong"})

    assert answer.status_code == 422
    assert "Wrong password." in answer.text
    assert 'value="laptop"' in answer.text
    assert re.search(r'value="results"\s+selected', answer.text)
    assert re.search(r'value="30"\s+selected', answer.text)
    assert "vulsweb_" not in answer.text


def test_an_admin_sees_and_revokes_the_tokens_of_all(app: Flask, signed_in: FlaskClient) -> None:
    viewer = users.create_user("eve", PASSWORD, Role.VIEWER, NOW)
    token = tokens.create("hers", viewer, Scope.READ, 0, NOW)
    db.session.commit()

    page = flat(signed_in.get("/people/").text)
    answer = signed_in.post("/people/tokens/1/revoke", follow_redirects=True)

    assert "hers" in page
    assert "without an end · never used" in page
    assert "Token hers revoked." in answer.text
    assert tokens.find(token, NOW) is None


def test_nobody_revokes_the_token_of_another(app: Flask, token: str, as_role: SignIn) -> None:
    answer = as_role(Role.ADMIN).post("/account/tokens/1/revoke")

    assert answer.status_code == 404


def test_times_are_shown_in_the_zone_that_a_person_chose_else_the_browsers(
    signed_in: FlaskClient, make_task: MakeTask
) -> None:
    task = make_task(next_run_at=NOW, timezone="Asia/Tokyo")
    assert "2026-01-01 12:00:00 UTC" in signed_in.get(f"/tasks/{task.id}").text

    signed_in.set_cookie("zone", "Europe/Paris")
    assert "2026-01-01 13:00:00 Europe/Paris" in signed_in.get(f"/tasks/{task.id}").text
    signed_in.post("/account/timezone", data={"timezone": "America/New_York"})

    assert "2026-01-01 07:00:00 America/New_York" in signed_in.get(f"/tasks/{task.id}").text


def test_a_zone_that_there_is_not_is_refused_beside_the_field(signed_in: FlaskClient) -> None:
    signed_in.set_cookie("zone", "<script>")

    answer = signed_in.post("/account/timezone", data={"timezone": "Mars/Base"})

    assert answer.status_code == 422
    assert "Mars/Base&#39; is not a time zone" in answer.text
    assert "&lt;script" not in answer.text
