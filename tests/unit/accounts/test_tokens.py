"""API tokens: whose they are, what they may, how long they last."""

from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import NOW, PASSWORD
from vulsweb.accounts import permissions, tokens, users
from vulsweb.accounts.credentials import AccessError
from vulsweb.extensions import db
from vulsweb.models import ApiToken, Role, Scope, User


def make(user: User, name: str = "ci", scope: Scope = Scope.ADMIN, days: int = 0) -> str:
    made = tokens.create(name, user, scope, days, NOW)
    db.session.commit()
    return made


def test_a_token_acts_for_its_user_and_only_its_hash_is_stored(admin: User) -> None:
    token = make(admin)
    found = tokens.find(token, NOW)

    assert found is not None
    assert found.user == admin
    assert tokens.find(token[:-1], NOW) is None
    assert token not in str(db.session.get_one(ApiToken, 1).__dict__)


def test_a_name_is_unique_for_each_user(admin: User) -> None:
    other = users.create_user("other", PASSWORD, Role.VIEWER, NOW)
    make(admin)

    make(other)
    with pytest.raises(AccessError, match="admin already has"):
        make(admin)


@pytest.mark.parametrize(("name", "days"), [(" ", 1), ("a\n", 1), ("x" * 81, 1), ("ci", -1), ("ci", 3651)])
def test_an_odd_name_or_time_is_refused(admin: User, name: str, days: int) -> None:
    with pytest.raises(AccessError):
        tokens.create(name, admin, Scope.READ, days, NOW)


def test_a_token_ends_on_its_day(admin: User) -> None:
    token = make(admin, days=7)

    assert tokens.find(token, NOW + timedelta(days=6)) is not None
    assert tokens.find(token, NOW + timedelta(days=7)) is None


def test_deleting_a_user_deletes_their_tokens(admin: User) -> None:
    token = make(users.create_user("other", PASSWORD, Role.VIEWER, NOW))

    users.delete_user(tokens.of_all()[0].user, NOW)

    assert tokens.find(token, NOW) is None


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_allows_what_its_name_says(scope: Scope) -> None:
    calls = {
        ("monitoring", "GET"): set(Scope) - {Scope.RESULTS},
        ("api_runs", "GET"): set(Scope) - {Scope.METRICS},
        ("api_findings", "GET"): set(Scope) - {Scope.METRICS},
        ("api_hosts", "GET"): {Scope.READ, Scope.OPERATE, Scope.ADMIN},
        ("api_scheduled_tasks", "POST"): {Scope.OPERATE, Scope.ADMIN},
        ("api_runs", "POST"): {Scope.OPERATE, Scope.ADMIN},
        ("api_keys", "GET"): {Scope.ADMIN},
        ("api_ssh_config", "PUT"): {Scope.ADMIN},
    }

    allowed = {
        call for call in calls if permissions.scope_suffices(scope, permissions.required_role(*call), call[0])
    }

    assert allowed == {call for call, scopes in calls.items() if scope in scopes}


def test_a_call_beyond_the_scope_says_so(app: Flask, client: FlaskClient, admin: User) -> None:
    headers = {"Authorization": f"Bearer {make(admin, scope=Scope.READ)}"}

    assert client.get("/api/hosts", headers=headers).status_code == 200
    refused = client.post("/api/hosts/sync-from-vuls-config", headers=headers)

    assert refused.status_code == 403
    assert refused.json is not None
    assert "This token has the scope read" in refused.json["detail"]


def test_the_last_use_is_noted_with_its_address(client: FlaskClient, admin: User) -> None:
    headers = {"Authorization": f"Bearer {make(admin)}"}

    client.get("/api/runs", headers=headers, environ_overrides={"REMOTE_ADDR": "192.0.2.7"})
    client.get("/api/runs", headers=headers, environ_overrides={"REMOTE_ADDR": "192.0.2.8"})

    (token,) = tokens.of_all()
    assert token.last_used_from == "192.0.2.7"  # once a minute
