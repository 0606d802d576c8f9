"""Who may come in, by which door, and with what headers."""

import re
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from tests.conftest import PASSWORD
from vulsweb.extensions import db
from vulsweb.models import ScheduledTask, User

# The address and the document of the API say nothing that its source does not.
PUBLIC = {
    "static",
    "auth.sign_in",
    "auth.enter",
    "auth.sign_out",
    "healthz",
    "livez",
    "readyz",
    "startupz",
    "docs.root",
    "api-docs.openapi_json",
}


def test_every_route_but_the_public_ones_is_closed_to_strangers(app: Flask, client: FlaskClient) -> None:
    closed = [rule for rule in app.url_map.iter_rules() if rule.endpoint not in PUBLIC]

    answers = {
        (method, rule.rule): client.open(re.sub("<[^>]*>", "1", rule.rule), method=method)
        for rule in closed
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert len(answers) >= 31
    for (method, path), answer in answers.items():
        if path == "/metrics":
            assert answer.status_code == 401
        elif path.startswith("/api/") and path != "/api/docs":
            assert answer.status_code == 401, (method, path)
            assert answer.content_type == "application/problem+json", (method, path)
        else:
            assert answer.status_code == 303, (method, path)
            assert answer.location.startswith("/sign-in"), (method, path)


def test_a_fragment_sends_the_whole_window_to_sign_in(client: FlaskClient) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost/runs/7?x=1"}

    answer = client.get("/runs/7/status", headers=headers)

    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/sign-in?next=/runs/7"
    assert answer.data == b""


def test_health_needs_no_person(client: FlaskClient) -> None:
    answer = client.get("/healthz")

    assert (answer.status_code, answer.text) == (200, "ok")


def test_a_person_comes_in_by_name_and_password(client: FlaskClient, admin: User) -> None:
    answer = client.post("/sign-in", data={"name": "admin", "password": PASSWORD})

    assert (answer.status_code, answer.location) == (303, "/")
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    ("name", "password"), [("admin", "wrong"), ("nobody", PASSWORD), ("", ""), ("a\x00b", "x")]
)
def test_a_wrong_name_and_a_wrong_password_look_the_same(
    client: FlaskClient, admin: User, name: str, password: str
) -> None:
    answer = client.post("/sign-in", data={"name": name, "password": password})

    assert answer.status_code == 422
    assert "Wrong name or password." in answer.text
    assert client.get("/").status_code == 303


def test_the_name_stays_in_the_field_and_the_password_does_not(client: FlaskClient, admin: User) -> None:
    answer = client.post("/sign-in", data={"name": 'ad"min', "password": "not this one"})

    assert 'value="ad&#34;min"' in answer.text
    assert "not this one" not in answer.text


@pytest.mark.parametrize("wanted", ["/runs/?status=failed", "/tasks/3"])
def test_sign_in_leads_back_to_where_one_wanted_to_go(client: FlaskClient, admin: User, wanted: str) -> None:
    way = client.get(wanted).location

    answer = client.post(way, data={"name": "admin", "password": PASSWORD})

    assert answer.location == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "evil.example",
    ],
)
def test_sign_in_never_leads_to_another_site(client: FlaskClient, admin: User, wanted: str) -> None:
    answer = client.post(
        "/sign-in", query_string={"next": wanted}, data={"name": "admin", "password": PASSWORD}
    )

    assert answer.location == "/"


def test_sign_out_ends_the_session(signed_in: FlaskClient) -> None:
    answer = signed_in.post("/sign-out")

    assert answer.location == "/sign-in"
    assert signed_in.get("/").status_code == 303


def test_a_poll_writes_no_session_so_it_undoes_nothing_that_a_click_has_written(
    client: FlaskClient, admin: User, make_task: Callable[..., ScheduledTask]
) -> None:
    task = make_task()
    entered = client.post("/sign-in", data={"name": "admin", "password": PASSWORD})
    client.get("/")

    polls = [
        client.get(path, headers={"HX-Request": "true"})
        for path in ("/tasks/", f"/tasks/{task.id}", "/overview/live", "/system/dot", "/runs/")
    ]

    assert "Set-Cookie" in entered.headers
    assert [answer.status_code for answer in polls if "Set-Cookie" in answer.headers] == []


def test_the_eleventh_try_in_a_minute_is_refused(client: FlaskClient, admin: User) -> None:
    wrong = {"name": "admin", "password": "wrong"}

    codes = [client.post("/sign-in", data=wrong).status_code for _ in range(10)]
    last = client.post("/sign-in", data=wrong)

    assert codes == [422] * 10
    assert last.status_code == 429
    assert "Too many attempts." in last.text


@pytest.mark.parametrize(
    "url", ["/sign-in", "/sign-out", "/tasks/", "/tasks/1/run", "/tasks/1/delete", "/runs/1/cancel"]
)
def test_a_form_without_its_token_is_refused(
    app: Flask, signed_in: FlaskClient, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", True)

    answer = signed_in.post(url)

    assert answer.status_code == 400
    assert "This form has expired. Go back, reload the page and send it again." in answer.text


@pytest.mark.parametrize("url", ["/", "/tasks/", "/sign-in", "/nothing-here"])
def test_pages_are_not_kept_and_load_nothing_from_elsewhere(signed_in: FlaskClient, url: str) -> None:
    answer = signed_in.get(url)

    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_no_other_site_can_make_a_browser_send_the_session(client: FlaskClient, admin: User) -> None:
    answer = client.post("/sign-in", data={"name": "admin", "password": PASSWORD})

    assert "SameSite=Lax" in answer.headers["Set-Cookie"]
    assert "HttpOnly" in answer.headers["Set-Cookie"]


def test_style_and_script_may_be_kept(client: FlaskClient) -> None:
    answer = client.get("/static/vulsweb.css", buffered=True)

    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["ETag"]


@pytest.mark.parametrize(
    "url",
    [
        "/tasks/99",
        "/tasks/99/edit",
        "/tasks/99/delete",
        "/runs/99",
        "/runs/99/status",
        "/runs/99/log",
        "/runs/99/log.txt",
        "/runs/99/findings",
        "/nothing-here",
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(signed_in: FlaskClient, url: str) -> None:
    answer = signed_in.get(url)

    assert answer.status_code == 404
    assert "This page does not exist." in answer.text
    assert 'aria-label="Main"' in answer.text


@pytest.mark.parametrize("url", ["/tasks/99", "/tasks/99/run", "/tasks/99/delete", "/runs/99/cancel"])
def test_what_is_not_there_cannot_be_changed(signed_in: FlaskClient, url: str) -> None:
    assert signed_in.post(url).status_code == 404


def test_a_stranger_sees_an_error_page_without_the_frame(client: FlaskClient) -> None:
    answer = client.get("/nothing-here")

    assert answer.status_code == 404
    assert 'aria-label="Main"' not in answer.text


def test_a_wrong_method_names_the_right_ones(signed_in: FlaskClient) -> None:
    answer = signed_in.delete("/tasks/1")

    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


@pytest.fixture
def without_people(app: Flask) -> Iterator[None]:
    """The application, unable to look up who is there."""
    db.session.execute(text("ALTER TABLE users RENAME TO gone"))
    db.session.commit()
    yield
    db.session.rollback()
    db.session.execute(text("ALTER TABLE gone RENAME TO users"))
    db.session.commit()


def test_a_broken_database_is_a_page_and_not_a_traceback(
    app: Flask, signed_in: FlaskClient, without_people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "TESTING", False)

    answer = signed_in.get("/")

    assert answer.status_code == 500
    assert "Something went wrong on the server." in answer.text
    assert "psycopg2" not in answer.text
