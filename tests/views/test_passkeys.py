"""Passkeys and security keys: added, used after the password, removed; and answers that are not believed."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import NOW, PASSWORD
from tests.support.authenticator import SoftKey
from tests.support.sessions import sign_in
from tests.views.conftest import flat
from vulsweb.accounts import passkeys, second_factor, users
from vulsweb.accounts.passkeys import Site
from vulsweb.extensions import db
from vulsweb.models import AuditEntry, Passkey, Role, User
from vulsweb.views import auth

FORM = {"name": "admin", "password": PASSWORD}


@pytest.fixture(autouse=True)
def on(app: Flask, admin: User) -> None:
    """Have the codes of an app set up."""
    admin.totp_secret, admin.totp_step = "not read here", 0
    db.session.commit()


def options(client: FlaskClient, path: str) -> dict[str, Any]:
    found: dict[str, Any] = client.post(path).get_json()
    return found


def add(client: FlaskClient, key: SoftKey, name: str = "laptop", **changes: Any) -> str:
    answer = key.create(options(client, "/account/passkeys/begin"), **changes)
    form = {"name": name, "confirm": PASSWORD, "answer": answer}
    return flat(client.post("/account/passkeys", data=form, follow_redirects=True).text)


def enter(client: FlaskClient, key: SoftKey, **changes: Any) -> bool:
    """Sign in with password and key; return whether that let us in."""
    client.post("/sign-in", data=FORM)
    answer = key.get(options(client, "/sign-in/passkey/begin"), **changes)
    client.post("/sign-in/passkey", data={"answer": answer})
    return client.get("/account/").status_code == 200


def test_a_key_takes_the_place_of_a_code(app: Flask, signed_in: FlaskClient) -> None:
    key, client = SoftKey(), app.test_client()

    added = add(signed_in, key)
    client.post("/sign-in", data=FORM)
    page = client.get("/sign-in/code").text
    answer = key.get(options(client, "/sign-in/passkey/begin"))
    done = client.post("/sign-in/passkey?next=/runs/", data={"answer": answer})

    assert "Key laptop added." in added
    assert 'data-key="get"' in page
    assert (done.status_code, done.headers["Location"]) == (303, "/runs/")
    stored = db.session.scalars(select(Passkey)).one()
    assert (stored.sign_count, stored.site) == (1, "localhost")
    assert stored.last_used_at is not None


def test_what_the_browser_is_asked_names_the_site_and_the_known_keys(signed_in: FlaskClient) -> None:
    key = SoftKey()
    add(signed_in, key)

    asked = options(signed_in, "/account/passkeys/begin")

    assert (asked["rp"]["id"], asked["user"]["name"], asked["attestation"]) == ("localhost", "admin", "none")
    assert len(asked["excludeCredentials"]) == 1
    assert len(asked["challenge"]) > 60


@pytest.mark.parametrize(
    "difference",
    [
        {"origin": "https://evil.example"},
        {"type": "webauthn.get"},
        {"challenge": "AAAA"},
        {"challenge": 7},
    ],
    ids=str,
)
def test_a_new_key_is_believed_for_this_site_and_this_challenge_alone(
    signed_in: FlaskClient, difference: dict[str, Any]
) -> None:
    page = add(signed_in, SoftKey(), **difference)

    assert "could not be verified" in page
    assert db.session.scalars(select(Passkey)).all() == []


@pytest.mark.parametrize(
    "difference",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:1"},
        {"type": "webauthn.create"},
        {"challenge": "AAAA"},
        {"challenge": None},
    ],
    ids=str,
)
def test_a_sign_in_is_believed_for_this_site_and_this_challenge_alone(
    app: Flask, signed_in: FlaskClient, difference: dict[str, Any]
) -> None:
    key = SoftKey()
    add(signed_in, key)

    assert not enter(app.test_client(), key, **difference)


@pytest.mark.parametrize("changed", ["private", "id", "site", "flags"])
def test_another_key_another_site_or_nobody_there_lets_nobody_in(
    app: Flask, signed_in: FlaskClient, changed: str
) -> None:
    key, other = SoftKey(), SoftKey(site="evil.example", flags=0)
    add(signed_in, key)
    setattr(key, changed, getattr(other, changed))

    assert not enter(app.test_client(), key)


def test_a_copied_key_is_noticed_by_its_counter(app: Flask, signed_in: FlaskClient) -> None:
    key = SoftKey(count=5)
    add(signed_in, key)

    assert enter(app.test_client(), key)
    key.count = 3
    assert not enter(app.test_client(), key)


def test_an_answer_counts_once(app: Flask, signed_in: FlaskClient) -> None:
    key, client = SoftKey(), app.test_client()
    add(signed_in, key)
    client.post("/sign-in", data=FORM)
    answer = key.get(options(client, "/sign-in/passkey/begin"))
    client.post("/sign-in/passkey", data={"answer": answer})
    client.post("/sign-out")
    client.post("/sign-in", data=FORM)

    again = client.post("/sign-in/passkey", data={"answer": answer})

    assert again.status_code == 422
    assert "This key was not accepted." in again.text
    refusals = select(AuditEntry.after).where(AuditEntry.action == "sign_in_refused")
    assert db.session.scalars(refusals).all() == [{"reason": "key"}]


def test_without_the_password_no_key_is_asked(app: Flask, signed_in: FlaskClient) -> None:
    key, client = SoftKey(), app.test_client()
    add(signed_in, key)

    assert client.post("/sign-in/passkey/begin").headers["Location"] == "/sign-in"
    assert client.post("/sign-in/passkey", data={"answer": "{}"}).headers["Location"] == "/sign-in"


def test_the_key_of_somebody_else_lets_nobody_in(app: Flask, signed_in: FlaskClient) -> None:
    other = users.create_user("otto", "lantern otter quartz meadow", Role.ADMIN, NOW)
    other.totp_secret = "not read here"
    db.session.commit()
    theirs = sign_in(app.test_client(), other)
    key = SoftKey()
    begun = options(theirs, "/account/passkeys/begin")
    form = {"name": "x", "confirm": "lantern otter quartz meadow", "answer": key.create(begun)}
    assert theirs.post("/account/passkeys", data=form).status_code == 303

    assert not enter(app.test_client(), key)
    assert "This key is added already." in add(signed_in, key)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{}",
        "[]",
        "null",
        "7",
        "\ud800",
        "x" * 30_000,
        '{"id": "a", "rawId": "a", "type": "public-key"}',
        "[" * 9999,
    ],
    ids=lambda answer: answer[:10].encode(errors="replace").decode(),
)
def test_odd_answers_are_refused_with_a_sentence(app: Flask, signed_in: FlaskClient, answer: str) -> None:
    client = app.test_client()
    add(signed_in, SoftKey())
    client.post("/sign-in", data=FORM)
    options(client, "/sign-in/passkey/begin")
    options(signed_in, "/account/passkeys/begin")

    entering = client.post("/sign-in/passkey", data={"answer": answer.encode(errors="replace")})
    form = {"name": "odd", "confirm": PASSWORD, "answer": answer.encode(errors="replace")}
    adding = signed_in.post("/account/passkeys", data=form)

    assert (entering.status_code, adding.status_code) == (422, 422)
    assert "could not be verified" in adding.text


def test_a_key_takes_the_password_and_a_name_of_its_own(signed_in: FlaskClient) -> None:
    add(signed_in, SoftKey())
    answer = SoftKey().create(options(signed_in, "/account/passkeys/begin"))

    wrong = signed_in.post("/account/passkeys", data={"name": "x", "confirm": "wrong", "answer": answer})
    same = add(signed_in, SoftKey())
    nameless = add(signed_in, SoftKey(), name=" ")

    assert "Wrong password." in wrong.text
    assert "Another of your keys has this name." in same
    assert "A name has 1 to 80 printable characters." in nameless


def test_ten_keys_are_enough(signed_in: FlaskClient, admin: User) -> None:
    for number in range(passkeys.MOST):
        key = Passkey(user_id=admin.id, name=str(number), site="localhost", credential_id=bytes([number]))
        key.public_key, key.sign_count, key.created_at = b"x", 0, NOW
        db.session.add(key)
    db.session.commit()

    assert "There are 10 keys already." in add(signed_in, SoftKey())


def test_a_key_is_removed_by_its_owner_alone_and_with_the_second_factor(
    app: Flask, signed_in: FlaskClient, admin: User
) -> None:
    add(signed_in, SoftKey())
    add(signed_in, SoftKey(), name="phone")
    first, second = db.session.scalars(select(Passkey.id).order_by(Passkey.id)).all()
    other = users.create_user("otto", "lantern otter quartz meadow", Role.ADMIN, NOW)
    db.session.commit()

    refused = sign_in(app.test_client(), other).post(f"/account/passkeys/{first}/remove")
    removed = signed_in.post(f"/account/passkeys/{first}/remove", follow_redirects=True).text
    left = db.session.scalars(select(Passkey.id)).all()
    second_factor.switch_off(admin)
    db.session.commit()

    assert refused.status_code == 404
    assert "Key laptop removed." in removed
    assert left == [second]
    assert db.session.scalars(select(Passkey)).all() == []


def test_without_codes_of_an_app_there_are_no_keys(signed_in: FlaskClient, admin: User) -> None:
    admin.totp_secret = None
    db.session.commit()

    page = signed_in.get("/account/passkeys").text

    assert "set up the codes of an app" in page
    assert 'data-key="create"' not in page
    assert "Set up a second factor" in add(signed_in, SoftKey())


@pytest.mark.parametrize(
    ("origin", "takes_keys"),
    [
        ("https://vuls.example.org", True),
        ("http://vuls.example.org", False),
        ("http://localhost:8000", True),
        ("http://127.0.0.1:8000", False),
        ("https://192.0.2.1", False),
        ("https://[2001:db8::1]", False),
    ],
)
def test_keys_are_offered_where_browsers_take_them(origin: str, takes_keys: bool) -> None:
    assert Site(origin).takes_keys is takes_keys


def test_behind_a_proxy_with_tls_the_browser_knows_the_site_by_https(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "SESSION_COOKIE_SECURE", True)

    with app.test_request_context("/", base_url="http://vuls.example.org:8443"):
        assert auth.origin() == "https://vuls.example.org:8443"


@pytest.mark.parametrize("host", ["[", "[::1", "a[b", "", "x" * 300])
def test_odd_names_of_the_site_break_nothing(app: Flask, signed_in: FlaskClient, host: str) -> None:
    assert Site(f"https://{host}").takes_keys in (True, False)

    pages = [signed_in.get("/account/passkeys", headers={"Host": host}).status_code]
    client = app.test_client()
    client.post("/sign-in", data=FORM)
    pages.append(client.get("/sign-in/code", headers={"Host": host}).status_code)

    assert max(pages) < 500


def test_the_page_of_another_name_offers_no_key_that_cannot_work(app: Flask, signed_in: FlaskClient) -> None:
    add(signed_in, SoftKey())
    client = app.test_client()
    client.post("/sign-in", data=FORM, base_url="http://vuls.example.org")

    page = client.get("/sign-in/code", base_url="http://vuls.example.org").text

    assert re.search("<h1>Enter your code", page)
    assert "data-key" not in page
