"""Each page and call that changes something leaves an entry in the audit trail, with who did it."""

import json
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import NOW, PASSWORD, handle_messages
from tests.support.sessions import sign_in
from tests.views.audit_cast import NEW_PASSWORD, Cast
from tests.views.changing_endpoints import CALLS, CHANGES_NOTHING, PAGES
from vulsweb.accounts import users
from vulsweb.extensions import db
from vulsweb.models import AuditEntry, AuditWay, Host, ScheduledTask, Trigger, User
from vulsweb.runs import starting

SECRETS = ("secret-word", PASSWORD, NEW_PASSWORD, "PRIVATE KEY", "argon2")


@pytest.fixture
def cast(
    app: Flask,
    admin: User,
    signed_in: FlaskClient,
    token: str,
    make_host: Callable[..., Host],
    make_task: Callable[..., ScheduledTask],
    monkeypatch: pytest.MonkeyPatch,
) -> Cast:
    for message in ("launch_runs", "notify", "fetch_host_keys", "sync_hosts", "stop_jobs", "follow_tests"):
        handle_messages(monkeypatch, message, lambda *_: None)
    api = app.test_client()
    api.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return Cast(app, admin, signed_in, api, make_host, make_task)


def test_the_walk_knows_every_page_and_call_that_changes_something(app: Flask) -> None:
    changing = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}
    }

    assert changing == PAGES.keys() | CALLS.keys() | CHANGES_NOTHING


@pytest.mark.parametrize("endpoint", PAGES | CALLS)
def test_every_change_leaves_an_entry_that_says_who_made_it(cast: Cast, endpoint: str) -> None:
    use, expected = (PAGES | CALLS)[endpoint]

    answer = use(cast)

    assert answer.status_code < 400, answer.text
    ways = (AuditWay.PAGE,) if endpoint in PAGES else (AuditWay.API,)
    entries = db.session.scalars(select(AuditEntry).where(AuditEntry.way.in_(ways))).all()
    found = [f"{entry.action} {entry.kind} {entry.object_name}" for entry in entries]
    assert expected in found
    assert {(entry.actor, entry.address) for entry in entries} == {("admin", "127.0.0.1")}
    assert {entry.token for entry in entries} == {"" if endpoint in PAGES else "tests"}
    whole = json.dumps([[entry.before, entry.after, entry.object_name] for entry in entries])
    assert not [
        secret
        for secret in ("secret-word", PASSWORD, NEW_PASSWORD, "PRIVATE KEY", "argon2")
        if secret in whole
    ]


@pytest.mark.parametrize(
    ("name", "password", "about", "reason"),
    [
        ("admin", "wrong", "admin", "password"),
        ("my-password-by-mistake", "wrong", "", "password"),
    ],
)
def test_a_refused_sign_in_is_noted_without_what_was_typed(
    client: FlaskClient, admin: User, name: str, password: str, about: str, reason: str
) -> None:
    client.post("/sign-in", data={"name": name, "password": password})

    entry = db.session.scalars(select(AuditEntry).order_by(AuditEntry.number.desc())).first()

    assert entry is not None
    assert (entry.action.value, entry.object_name, entry.after) == (
        "sign_in_refused",
        about,
        {"reason": reason},
    )
    assert (entry.actor, entry.address, entry.way.value) == ("", "127.0.0.1", "page")


def test_a_flood_of_refused_sign_ins_does_not_fill_the_database(
    client: FlaskClient, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "MOST_REFUSALS", 3)
    for _ in range(6):
        client.post("/sign-in", data={"name": "admin", "password": "wrong"})

    refused = (
        select(AuditEntry.after).where(AuditEntry.action == "sign_in_refused").order_by(AuditEntry.number)
    )
    reasons = [after["reason"] for after in db.session.scalars(refused)]
    assert reasons == ["password", "password", "password; more in this hour are in the log alone"]


def test_a_deleted_task_leaves_its_settings_and_its_runs(cast: Cast) -> None:
    task = cast.task()
    starting.start(task, trigger=Trigger.SCHEDULE, now=NOW)
    db.session.commit()

    cast.post(f"/tasks/{task.id}/delete")

    entry = db.session.scalars(select(AuditEntry).order_by(AuditEntry.number.desc())).first()
    assert entry is not None
    assert entry.before["cron_expression"] == "0 2 * * *"
    assert (entry.before["runs"], entry.before["latest_runs"]) == (1, ["1 queued 2026-01-01 12:00"])


def test_a_change_of_a_password_says_so_and_nothing_of_it(cast: Cast) -> None:
    cast.post("/account/password", current=PASSWORD, password=NEW_PASSWORD)

    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "changed")).one()

    assert (entry.before, entry.after) == ({"password": "set"}, {"password": "changed"})


def test_what_the_schedule_does_has_no_entries(cast: Cast) -> None:
    cast.run_id()

    ways = {
        (entry.way.value, entry.kind.value)
        for entry in db.session.scalars(select(AuditEntry))
        if entry.kind.value == "run"
    }

    assert ways == set()


def test_only_the_session_of_the_request_is_somebody_elses(cast: Cast, app: Flask) -> None:
    other = sign_in(app.test_client(), cast.other())

    other.post("/account/timezone", data={"timezone": "Europe/London"})
    cast.post("/account/timezone", timezone="Europe/Paris")

    found = select(AuditEntry.actor, AuditEntry.after).where(AuditEntry.kind == "user")
    changes = db.session.execute(
        found.where(AuditEntry.action == "changed").order_by(AuditEntry.number)
    ).all()
    assert [tuple(change) for change in changes] == [
        ("otto", {"timezone": "Europe/London"}),
        ("admin", {"timezone": "Europe/Paris"}),
    ]
