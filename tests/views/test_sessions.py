"""Sessions: each browser that is signed in is a row that can be seen and ended."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from tests.conftest import NOW, PASSWORD
from tests.support.sessions import sign_in
from tests.views.conftest import flat
from vulsweb import create_app
from vulsweb.accounts import sessions, users
from vulsweb.extensions import db
from vulsweb.models import Role, ScheduledTask, User, UserSession

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def enter(app: Flask, agent: str = FIREFOX, password: str = PASSWORD) -> FlaskClient:
    """Sign in by the form, with another browser."""
    client = app.test_client()
    form = {"name": "admin", "password": password}
    assert client.post("/sign-in", data=form, headers={"User-Agent": agent}).status_code == 303
    return client


def copied(app: Flask, client: FlaskClient) -> FlaskClient:
    """Return a client with a copy of the other's cookie."""
    thief = app.test_client()
    cookie = client.get_cookie("session")
    assert cookie is not None
    thief.set_cookie("session", cookie.value)
    return thief


def is_in(client: FlaskClient) -> bool:
    return client.get("/account/").status_code == 200


def aged(created: timedelta, seen: timedelta) -> None:
    """Make all sessions older."""
    now = datetime.now(UTC)
    db.session.execute(update(UserSession).values(created_at=now - created, last_seen_at=now - seen))
    db.session.commit()


@pytest.mark.parametrize(
    "end",
    [
        lambda client, _: client.post("/sign-out"),
        lambda client, _: client.post(
            "/account/password", data={"current": PASSWORD, "password": PASSWORD + "!"}
        ),
        lambda _, user: users.change_password(user, PASSWORD + "?"),
        lambda _, user: users.change_role(user, Role.VIEWER, "other", NOW),
        lambda _, user: users.delete_user(user, NOW),
    ],
    ids=["sign-out", "own new password", "reset", "role", "deleted"],
)
def test_a_copied_cookie_is_worth_nothing_once_the_session_has_ended(
    app: Flask, admin: User, end: Callable[[FlaskClient, User], object]
) -> None:
    users.create_user("other", PASSWORD, Role.ADMIN, NOW)
    client = enter(app)
    thief = copied(app, client)
    assert is_in(thief)

    end(client, admin)
    db.session.commit()

    assert not is_in(thief)


def test_who_signs_in_again_gets_a_new_key_and_nothing_that_was_set_before(app: Flask, admin: User) -> None:
    client = enter(app)
    with client.session_transaction() as session:
        first, session["planted"] = session["key"], "yes"

    client.post("/sign-in", data={"name": "admin", "password": PASSWORD})

    with client.session_transaction() as session:
        assert session["key"] != first
        assert "planted" not in session


def test_the_database_holds_no_key(app: Flask, admin: User) -> None:
    client = enter(app)

    with client.session_transaction() as session:
        key = session["key"]
    (row,) = db.session.scalars(select(UserSession)).all()

    assert key not in str(vars(row))
    assert (row.browser, row.address) == ("Firefox on Linux", "127.0.0.1")


def test_a_session_ends_some_hours_after_the_sign_in_however_busy_it_is(app: Flask, admin: User) -> None:
    client, lifetime = enter(app), app.permanent_session_lifetime

    aged(lifetime - timedelta(minutes=1), timedelta())
    before = is_in(client)
    aged(lifetime + timedelta(minutes=1), timedelta())
    after = is_in(client)
    enter(app)

    assert (before, after) == (True, False)
    assert len(db.session.scalars(select(UserSession)).all()) == 1  # the next sign-in forgets old ones


def test_a_page_that_only_polls_lets_its_session_end(
    app: Flask, admin: User, make_task: Callable[..., ScheduledTask]
) -> None:
    client, idle = enter(app), app.config["SESSION_IDLE"]

    aged(timedelta(hours=3), idle - timedelta(minutes=1))
    polled = client.get("/tasks/", headers={"HX-Request": "true", "X-Poll": "yes"})
    aged(timedelta(hours=3), idle + timedelta(minutes=1))

    assert polled.status_code == 200
    assert not is_in(client)


def test_what_a_person_does_keeps_the_session(app: Flask, admin: User) -> None:
    client = enter(app)
    aged(timedelta(hours=3), timedelta(minutes=100))

    assert is_in(client)

    seen = db.session.scalars(select(UserSession.last_seen_at)).one()
    assert datetime.now(UTC) - seen < timedelta(minutes=1)


def test_a_page_that_is_read_again_at_once_writes_nothing(app: Flask, admin: User) -> None:
    client = enter(app)
    aged(timedelta(hours=1), timedelta(seconds=50))
    before = db.session.scalars(select(UserSession.last_seen_at)).one()

    client.get("/account/")

    db.session.expire_all()
    assert db.session.scalars(select(UserSession.last_seen_at)).one() == before


def test_a_person_sees_their_browsers_and_signs_one_out(app: Flask, admin: User) -> None:
    here = enter(app)
    there = enter(app, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1")
    page = flat(here.get("/account/").text)
    (other,) = [row for row in sessions.of_user(admin) if row.browser == "Safari on iOS"]

    answer = here.post(f"/account/sessions/{other.id}/end", follow_redirects=True)

    assert page.index("Firefox on Linux") < page.index("This browser")
    assert "Safari on iOS" in page
    assert "That browser is signed out." in answer.text
    assert (is_in(here), is_in(there)) == (True, False)


def test_a_person_signs_all_other_browsers_out(app: Flask, admin: User) -> None:
    here, others = enter(app), [enter(app), enter(app)]

    answer = here.post("/account/sessions/end-others", follow_redirects=True)

    assert "2 other browsers signed out." in answer.text
    assert is_in(here)
    assert not any(map(is_in, others))


def test_nobody_ends_the_session_of_another_by_its_number(app: Flask, admin: User) -> None:
    here = enter(app)
    viewer = users.create_user("viewer", PASSWORD, Role.VIEWER, NOW)
    theirs = sign_in(app.test_client(), viewer)
    (row,) = sessions.of_user(admin)

    assert theirs.post(f"/account/sessions/{row.id}/end").status_code == 404
    assert theirs.post(f"/people/{admin.id}/sign-out").status_code == 403
    assert is_in(here)


def test_an_admin_sees_who_is_signed_in_and_signs_them_out(app: Flask, signed_in: FlaskClient) -> None:
    viewer = users.create_user("viewer", PASSWORD, Role.VIEWER, NOW)
    theirs = sign_in(app.test_client(), viewer)

    page = flat(signed_in.get("/people/").text)
    answer = signed_in.post(f"/people/{viewer.id}/sign-out", follow_redirects=True)

    assert page.count("1 browser, last used") == 2
    assert "viewer is signed out everywhere." in answer.text
    assert not is_in(theirs)


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer wrong", "x", ""])
def test_a_call_with_a_header_is_not_let_in_by_its_cookie(signed_in: FlaskClient, header: str) -> None:
    body = {"name": "x", "task_type": "db_update", "cron_expression": "* * * * *"}

    for method in ("GET", "POST"):
        answer = signed_in.open(
            "/api/scheduled-tasks/", method=method, json=body, headers={"Authorization": header}
        )
        assert answer.status_code == 401, method


def test_signing_out_clears_what_the_browser_has_kept(signed_in: FlaskClient) -> None:
    answer = signed_in.post("/sign-out")

    assert answer.headers["Clear-Site-Data"] == '"cache"'
    assert "Signed out." in signed_in.get("/sign-in").text


def test_behind_tls_the_cookie_is_bound_to_this_host_and_browsers_stay_with_tls(
    app: Flask, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    secure = create_app({**app.config, "SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_NAME": "session"})
    client = secure.test_client()

    answer = client.post(
        "/sign-in", data={"name": "admin", "password": PASSWORD}, base_url="https://localhost"
    )

    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-session=")
    assert {"Secure", "HttpOnly", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert answer.headers["Location"] == "/"  # whatever the scheme


def test_a_name_that_is_not_ours_is_refused(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "TRUSTED_HOSTS", ["vuls.example.org", ".internal"])

    def answer(host: str, path: str = "/sign-in") -> tuple[int, bool]:
        said = client.get(path, base_url=f"http://{host}")
        return said.status_code, "VULSWEB_TRUSTED_HOSTS" in said.text

    assert answer("vuls.example.org") == answer("a.internal:8000") == (200, False)
    assert answer("evil.example") == answer("evil.example", "/api/runs") == (400, True)


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/130.0 Safari/537.36 Edg/130.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 15) Chrome/130.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.0", "curl/8.0"),
        ("\x1b[31m<b>", "\N{REPLACEMENT CHARACTER}[31m<b>"),
        ("", "Unknown browser"),
        ("x" * 1000, "x" * 200),
    ],
)
def test_a_browser_has_a_name_that_people_know(agent: str, said: str) -> None:
    assert sessions.browser(agent) == said


def test_a_first_password_is_changed_before_anything_else(app: Flask, signed_in: FlaskClient) -> None:
    form = {"name": "eve", "role": "operator", "password": PASSWORD + " one"}
    signed_in.post("/people/", data=form)
    eve = app.test_client()
    eve.post("/sign-in", data={"name": "eve", "password": PASSWORD + " one"})

    page = eve.get("/tasks/")
    call = eve.get("/api/runs")
    again = eve.post("/account/password", data={"current": PASSWORD + " one", "password": PASSWORD + " one"})
    eve.post("/account/password", data={"current": PASSWORD + " one", "password": PASSWORD + " two"})

    assert (page.status_code, page.headers["Location"]) == (303, "/account/")
    assert "First choose a password of your own." in again.text
    assert call.status_code == 403
    assert "This is the password that you were given." in again.text
    assert eve.get("/tasks/").status_code == 200
