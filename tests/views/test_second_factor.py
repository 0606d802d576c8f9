"""The second factor: set up, asked for at the sign-in, lost and switched off."""

import re
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import NOW, PASSWORD
from tests.support.sessions import sign_in
from tests.views.conftest import flat
from vulsweb.accounts import second_factor, users
from vulsweb.accounts.credentials import AccessError
from vulsweb.extensions import db
from vulsweb.models import Role, User

FORM = {"name": "admin", "password": PASSWORD}


def code_at(secret: str, steps: int = 0) -> str:
    """Return the code of an app whose clock is some steps ahead."""
    return pyotp.TOTP(secret).at(datetime.now(UTC) + timedelta(seconds=30 * steps))


@pytest.fixture
def secret(app: Flask, admin: User) -> str:
    """The secret of the admin, who has the second factor on; its last code was used some time ago."""
    made = second_factor.new_secret()
    before = datetime.now(UTC) - timedelta(minutes=5)
    code = pyotp.TOTP(made).at(before)
    second_factor.switch_on(admin, made, code, app.config["SECRET_KEY"], before)
    db.session.commit()
    return made


def is_in(client: FlaskClient) -> bool:
    return client.get("/account/").status_code == 200


def test_it_is_set_up_with_an_app_and_gives_recovery_codes(app: Flask, admin: User) -> None:
    here, other = (sign_in(app.test_client(), admin) for _ in range(2))
    page = here.get("/account/second-factor").text
    found = re.search(r'<code class="token">([A-Z2-7]{32})</code>', page)
    assert found
    assert "data:image/svg+xml" in page

    wrong = here.post("/account/second-factor", data={"code": "000000", "confirm": PASSWORD})
    stolen = here.post("/account/second-factor", data={"code": code_at(found[1]), "confirm": "wrong"})
    done = here.post("/account/second-factor", data={"code": code_at(found[1]), "confirm": PASSWORD})

    assert (wrong.status_code, "This code is wrong." in wrong.text) == (422, True)
    assert found[1] in wrong.text  # the app has it already
    assert (stolen.status_code, "Wrong password." in stolen.text) == (422, True)
    assert len(set(re.findall(r"[0-9a-f]{6}-[0-9a-f]{6}", done.text))) == 10
    assert "On. Signing in takes a code of your app. 10 recovery codes left." in flat(
        here.get("/account/").text
    )
    assert not is_in(other)


def test_the_password_alone_lets_nobody_in(client: FlaskClient, secret: str) -> None:
    entered = client.post("/sign-in", query_string={"next": "/runs/"}, data=FORM)

    assert entered.headers["Location"] == "/sign-in/code?next=/runs/"
    assert not is_in(client)
    assert client.get("/api/runs").status_code == 401
    code = code_at(secret)
    answer = client.post(entered.headers["Location"], data={"code": f" {code[:3]} {code[3:]}"})
    assert answer.headers["Location"] == "/runs/"
    assert is_in(client)


@pytest.mark.parametrize("steps", [-3, 3])
def test_a_code_of_another_time_is_refused(client: FlaskClient, secret: str, steps: int) -> None:
    client.post("/sign-in", data=FORM)

    answer = client.post("/sign-in/code", data={"code": code_at(secret, steps)})

    assert (answer.status_code, "Wrong code. Each code works once." in answer.text) == (422, True)
    assert not is_in(client)


@pytest.mark.parametrize("code", ["", "12345", "a" * 1000, "\x00", "\N{ARABIC-INDIC DIGIT ONE}" * 6, "''"])
def test_an_odd_code_is_wrong(client: FlaskClient, secret: str, code: str) -> None:
    client.post("/sign-in", data=FORM)

    assert client.post("/sign-in/code", data={"code": code}).status_code == 422


def test_a_code_that_was_seen_works_no_second_time(app: Flask, secret: str) -> None:
    code = code_at(secret)
    first, second = app.test_client(), app.test_client()
    for client in (first, second):
        client.post("/sign-in", data=FORM)
        client.post("/sign-in/code", data={"code": code})

    assert (is_in(first), is_in(second)) == (True, False)


def test_a_recovery_code_works_once_instead(app: Flask, admin: User) -> None:
    secret, now = second_factor.new_secret(), datetime.now(UTC)
    codes = second_factor.switch_on(admin, secret, code_at(secret), app.config["SECRET_KEY"], now)
    db.session.commit()
    first, second = app.test_client(), app.test_client()
    for client in (first, second):
        client.post("/sign-in", data=FORM)
        client.post("/sign-in/code", data={"code": codes[3].upper()})

    assert (is_in(first), is_in(second)) == (True, False)
    assert "9 recovery codes left" in flat(first.get("/account/").text)
    assert not set(codes) & set(str(db.session.get_one(User, admin.id).recovery_hashes).split("'"))


def test_tries_are_limited_for_each_user(client: FlaskClient, secret: str) -> None:
    client.post("/sign-in", data=FORM)

    codes = [client.post("/sign-in/code", data={"code": "000000"}).status_code for _ in range(6)]

    assert codes == [422] * 5 + [429]


def test_who_waits_too_long_or_has_a_new_password_begins_again(
    app: Flask, admin: User, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, changed = app.test_client(), app.test_client()
    for client in (late, changed):
        client.post("/sign-in", data=FORM)
    with late.session_transaction() as session:
        session["entering"]["at"] -= 301
        session.modified = True
    users.change_password(admin, PASSWORD + " new")
    db.session.commit()

    for client in (late, changed):
        answer = client.post("/sign-in/code", data={"code": code_at(secret)}, follow_redirects=True)
        assert "That took too long. Sign in again." in answer.text
        assert not is_in(client)


def test_it_is_switched_off_only_with_the_password(app: Flask, admin: User, secret: str) -> None:
    client = sign_in(app.test_client(), admin)

    client.post("/account/second-factor/off", data={"confirm": "wrong"})
    kept = db.session.get_one(User, admin.id, populate_existing=True).totp_secret
    client.post("/account/second-factor/off", data={"confirm": PASSWORD})

    assert kept is not None
    assert db.session.get_one(User, admin.id, populate_existing=True).totp_secret is None
    assert is_in(client)
    assert app.test_client().post("/sign-in", data=FORM).headers["Location"] == "/"


def test_an_admin_helps_others_who_lost_theirs_but_needs_the_own_password(
    app: Flask, admin: User, secret: str
) -> None:
    other = sign_in(app.test_client(), users.create_user("other", PASSWORD, Role.ADMIN, NOW))
    own = sign_in(app.test_client(), admin)

    refused = own.post(f"/people/{admin.id}/second-factor-off", follow_redirects=True)
    before = app.test_client().post("/sign-in", data=FORM).headers["Location"]
    other.post(f"/people/{admin.id}/second-factor-off")

    assert "Switch off your own second factor on your account page." in refused.text
    assert before == "/sign-in/code"
    assert app.test_client().post("/sign-in", data=FORM).headers["Location"] == "/"


def test_with_another_secret_key_a_sentence_says_what_to_do(app: Flask, admin: User, secret: str) -> None:
    with pytest.raises(AccessError, match="the secret key has changed"):
        second_factor.accepts(admin, code_at(secret), "another key", datetime.now(UTC))


def test_the_secret_is_stored_encrypted(admin: User, secret: str) -> None:
    assert admin.totp_secret is not None
    assert secret not in admin.totp_secret


@pytest.mark.parametrize(
    ("demanded", "role", "is_led"),
    [
        ("optional", Role.ADMIN, False),
        ("admins", Role.ADMIN, True),
        ("admins", Role.OPERATOR, False),
        ("all", Role.VIEWER, True),
    ],
)
def test_it_can_be_demanded_before_anything_else(
    app: Flask, monkeypatch: pytest.MonkeyPatch, demanded: str, role: Role, is_led: bool
) -> None:
    monkeypatch.setitem(app.config, "SECOND_FACTOR", demanded)
    user = users.create_user("otto", "lantern otter quartz meadow", role, NOW)
    db.session.commit()
    client = sign_in(app.test_client(), user)

    answers = [client.get("/runs/"), client.get("/api/runs"), client.get("/account/second-factor")]

    assert [answer.status_code for answer in answers] == ([303, 403, 200] if is_led else [200, 200, 200])
    if is_led:
        assert answers[0].headers["Location"] == "/account/second-factor"
        assert "First set up a second factor" in answers[2].text


def test_who_has_set_up_what_is_demanded_goes_on_and_cannot_switch_it_off(
    app: Flask, admin: User, secret: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "SECOND_FACTOR", "all")
    client = sign_in(app.test_client(), admin)

    page = client.post("/account/second-factor/off", data={"confirm": PASSWORD}, follow_redirects=True).text

    assert "A second factor is demanded here, so it stays on." in page
    assert client.get("/runs/").status_code == 200


def test_a_token_works_although_its_user_has_no_second_factor(
    app: Flask, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "SECOND_FACTOR", "all")

    answer = app.test_client().get("/api/runs", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 200
