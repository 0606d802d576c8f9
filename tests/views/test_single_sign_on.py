"""Single sign-on by OpenID Connect: groups give roles, and no forged answer lets anybody in."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from joserfc.jwk import OctKey, RSAKey
from sqlalchemy import select

from tests.conftest import NOW, PASSWORD
from tests.support.openid import CLIENT_ID, CLIENT_SECRET, Provider
from tests.support.serving import serving
from tests.views.conftest import flat
from vulsweb.accounts import users
from vulsweb.accounts.credentials import AccessError
from vulsweb.config import ConfigError, OpenIdSettings, local_sign_in, openid
from vulsweb.extensions import db
from vulsweb.models import AuditEntry, Role, User

GROUPS = {"viewer": frozenset({"staff"}), "operator": frozenset({"ops"}), "admin": frozenset({"security"})}
NOT_VERIFIED = "could not be verified, so you are not signed in"


@pytest.fixture
def provider(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    made = Provider()
    with serving(made.app()) as made.url:
        settings = OpenIdSettings(
            made.url, CLIENT_ID, CLIENT_SECRET, "Example ID", "openid profile", "groups", GROUPS
        )
        monkeypatch.setitem(app.config, "OPENID", settings)
        made.claims["groups"] = ["ops"]
        yield made


def come_back(client: FlaskClient, begin: str = "/sign-in/openid") -> str:
    """Go to the provider, and return the path to which it leads back."""
    to_provider = client.get(begin).headers["Location"]
    back = requests.get(to_provider, allow_redirects=False, timeout=10).headers["Location"]
    parts = urlsplit(back)
    return f"{parts.path}?{parts.query}"


def enter(client: FlaskClient, begin: str = "/sign-in/openid") -> str:
    """Sign in by the provider; return the text of the page that comes of it."""
    return flat(client.get(come_back(client, begin), follow_redirects=True).text)


def is_in(client: FlaskClient) -> bool:
    return client.get("/account/").status_code == 200


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["staff"], Role.VIEWER),
        (["other", "ops", "staff"], Role.OPERATOR),
        (["security", "staff"], Role.ADMIN),
        ("ops", Role.OPERATOR),  # some providers send one group as it is
    ],
)
def test_the_highest_group_gives_the_role(
    client: FlaskClient, provider: Provider, groups: list[str] | str, role: Role
) -> None:
    provider.claims["groups"] = groups

    page = enter(client)

    user = users.named("otto")
    assert "Overview" in page
    assert user is not None
    assert (user.role, user.subject, user.must_change_password) == (role, f"{provider.url} 7", False)


@pytest.mark.parametrize("groups", [[], ["other"], None, {"ops": True}, 7, [["ops"]]])
def test_without_a_group_of_ours_nobody_comes_in(
    client: FlaskClient, provider: Provider, groups: object
) -> None:
    provider.claims["groups"] = groups

    assert "none of your groups may use Vuls Web" in enter(client)
    assert not is_in(client)
    assert users.all_users() == []


def test_groups_may_come_from_the_userinfo_endpoint_of_the_same_user_alone(
    client: FlaskClient, provider: Provider
) -> None:
    del provider.claims["groups"]
    provider.userinfo = {"sub": "8", "groups": ["security"]}
    other = enter(client)
    provider.userinfo = {"sub": "7", "groups": ["staff"], "preferred_username": "mallory"}

    assert NOT_VERIFIED in other
    assert "Overview" in enter(client)
    assert [(user.name, user.role) for user in users.all_users()] == [("otto", Role.VIEWER)]


def test_the_role_follows_the_groups_and_ends_other_sessions(app: Flask, provider: Provider) -> None:
    first, second = app.test_client(), app.test_client()
    provider.claims["groups"] = ["security"]
    enter(first)
    provider.claims["groups"] = ["staff"]

    enter(second)

    assert [user.role for user in users.all_users()] == [Role.VIEWER]
    assert (is_in(first), is_in(second)) == (False, True)
    changes = db.session.scalars(select(AuditEntry).where(AuditEntry.action == "changed")).all()
    assert [(change.before, change.after) for change in changes] == [({"role": "admin"}, {"role": "viewer"})]


def hostile(**changes: Any) -> dict[str, Any]:
    return {"changes": changes}


@pytest.mark.parametrize(
    "difference",
    [
        hostile(nonce="another"),
        hostile(nonce=None),
        hostile(aud="another-client"),
        hostile(aud=None),
        hostile(iss="https://evil.example"),
        hostile(iss=None),
        hostile(exp=1),
        hostile(exp=None),
        hostile(iat=4_000_000_000),
        hostile(sub=None),
        {"key": RSAKey.generate_key(2048)},
        {"header": {"alg": "HS256"}, "key": OctKey.import_key(CLIENT_SECRET)},
        {"header": {"alg": "none"}},
        {"metadata": {"issuer": "https://evil.example"}},
        {"metadata": {"jwks_uri": None}},
        {"metadata": {"token_endpoint": None}},
    ],
    ids=lambda difference: " ".join(map(str, (*difference, *difference.get("changes", ())))),
)
def test_no_forged_answer_lets_anybody_in(
    client: FlaskClient, provider: Provider, difference: dict[str, Any]
) -> None:
    back = come_back(client)
    for name, value in difference.items():
        setattr(provider, name, value)

    page = flat(client.get(back, follow_redirects=True).text)

    assert "Sign in to Vuls Web" in page
    assert "Example ID" in page
    assert not is_in(client)
    assert users.all_users() == []
    entry = db.session.scalars(select(AuditEntry)).one()
    assert (entry.action.value, entry.object_name) == ("sign_in_refused", "")


@pytest.mark.parametrize("forge", ["state=other", "code=other", "state=", ""])
def test_an_answer_that_was_not_asked_for_lets_nobody_in(
    client: FlaskClient, provider: Provider, forge: str
) -> None:
    back = come_back(client)
    path, _, query = back.partition("?")
    kept = [part for part in query.split("&") if part.split("=")[0] != forge.split("=")[0]]

    page = client.get(f"{path}?{'&'.join([*kept, forge])}" if forge else path, follow_redirects=True).text

    assert NOT_VERIFIED in page
    assert not is_in(client)


def test_an_answer_counts_once_and_only_in_the_browser_that_asked(app: Flask, provider: Provider) -> None:
    asking, other = app.test_client(), app.test_client()
    back = come_back(asking)

    stolen = other.get(back, follow_redirects=True).text
    asking.get(back)
    asking.post("/sign-out")
    again = asking.get(back, follow_redirects=True).text

    assert NOT_VERIFIED in stolen
    assert NOT_VERIFIED in again
    assert not is_in(other)


def test_a_name_that_somebody_has_is_never_taken_over(
    client: FlaskClient, provider: Provider, admin: User
) -> None:
    provider.claims |= {"preferred_username": "Admin", "groups": ["security"]}

    assert "There is already another user named" in enter(client)
    assert not is_in(client)
    assert admin.subject is None


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "otto"}, "otto"),
        ({"preferred_username": None, "email": "otto@example.org"}, "otto@example.org"),
        ({"preferred_username": "  otto  "}, "otto"),
        ({"preferred_username": "x" * 200}, "x" * 80),
        ({"preferred_username": "\u0410dmin"}, None),  # a Cyrillic letter
        ({"preferred_username": "a\nb"}, None),
        ({"sub": "s" * 600}, None),
    ],
)
def test_names_are_checked_like_any_other(
    client: FlaskClient, provider: Provider, claims: dict[str, Any], name: str | None
) -> None:
    provider.claims |= claims

    enter(client)

    assert [user.name for user in users.all_users()] == ([name] if name else [])


def test_it_leads_to_the_page_that_was_asked_for_and_to_no_other_site(app: Flask, provider: Provider) -> None:
    inside, outside = app.test_client(), app.test_client()

    first = inside.get(come_back(inside, "/sign-in/openid?next=/runs/"))
    second = outside.get(come_back(outside, "/sign-in/openid?next=//evil.example"))

    assert (first.headers["Location"], second.headers["Location"]) == ("/runs/", "/")


def test_the_request_carries_state_nonce_and_a_proof_key(client: FlaskClient, provider: Provider) -> None:
    come_back(client)

    (asked,) = provider.asked
    assert (asked["client_id"], asked["response_type"], asked["code_challenge_method"]) == (
        CLIENT_ID,
        "code",
        "S256",
    )
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 20
    assert asked["redirect_uri"] == "http://localhost/sign-in/openid/callback"


def test_who_is_refused_by_the_provider_is_not_in(client: FlaskClient, provider: Provider) -> None:
    provider.error = "access_denied"

    assert NOT_VERIFIED in enter(client)
    assert not is_in(client)


def test_a_provider_that_is_down_is_said(
    client: FlaskClient, provider: Provider, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = replace(app.config["OPENID"], issuer="http://127.0.0.1:1")
    monkeypatch.setitem(app.config, "OPENID", away)

    page = client.get("/sign-in/openid", follow_redirects=True).text

    assert "Example ID does not answer. Try again, or sign in with a password." in page


def test_the_local_way_in_can_be_switched_off(
    client: FlaskClient, provider: Provider, admin: User, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = client.get("/sign-in").text
    monkeypatch.setitem(app.config, "LOCAL_SIGN_IN", False)
    alone = client.get("/sign-in").text
    refused = client.post("/sign-in", data={"name": "admin", "password": PASSWORD})

    assert ('name="password"' in both, 'name="password"' in alone) == (True, False)
    assert "Example ID" in alone
    assert refused.status_code == 403
    assert "Overview" in enter(client)


def test_without_a_provider_there_is_no_such_way_in(client: FlaskClient) -> None:
    assert client.get("/sign-in/openid").headers["Location"] == "/sign-in"
    assert client.get("/sign-in/openid/callback?code=x&state=y").headers["Location"] == "/sign-in"


def test_such_a_user_has_no_password_and_confirms_by_a_recent_sign_in(
    client: FlaskClient, provider: Provider, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(client)
    page = client.get("/account/").text
    user = users.named("otto")
    assert user is not None

    made = client.post("/account/tokens", data={"name": "laptop", "scope": "read", "days": "30"})
    db.session.execute(db.text("UPDATE user_sessions SET created_at = created_at - interval '11 minutes'"))
    db.session.commit()
    late = client.post("/account/tokens", data={"name": "second", "scope": "read", "days": "30"})

    assert "You sign in with Example ID" in page
    assert "Current password" not in page
    assert (made.status_code, late.status_code) == (200, 422)
    assert "Sign out and in again" in late.text
    assert not User.check_password(user, "")
    with pytest.raises(AccessError, match="has no password here"):
        users.change_password(user, "lantern otter quartz meadow")


def test_no_secret_of_the_client_is_in_a_log(
    client: FlaskClient, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.changes = {"nonce": "other"}
    enter(client)

    assert CLIENT_SECRET not in caplog.text
    assert "single sign-on refused" in caplog.text


SETTINGS = {
    "VULSWEB_OPENID_ISSUER": "https://id.example.org",
    "VULSWEB_OPENID_CLIENT_ID": "vulsweb",
    "VULSWEB_OPENID_CLIENT_SECRET": "secret",
    "VULSWEB_OPENID_ADMIN_GROUPS": "security root",
}


def test_the_settings_are_read() -> None:
    read = openid(SETTINGS)

    assert read is not None
    assert {role: set(groups) for role, groups in read.groups.items()} == {
        "viewer": set(),
        "operator": set(),
        "admin": {"security", "root"},
    }
    assert (read.label, read.groups_claim, read.scope) == (
        "your organization",
        "groups",
        "openid profile email",
    )
    assert openid({}) is None
    assert local_sign_in({})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"VULSWEB_OPENID_ISSUER": "http://id.example.org"}, "begins with https://"),
        ({"VULSWEB_OPENID_ISSUER": "id.example.org"}, "is not an address"),
        ({"VULSWEB_OPENID_CLIENT_ID": ""}, "CLIENT_ID is not set"),
        ({"VULSWEB_OPENID_CLIENT_SECRET": ""}, "CLIENT_SECRET is not set"),
        ({"VULSWEB_OPENID_ADMIN_GROUPS": ""}, "no VULSWEB_OPENID_ADMIN_GROUPS"),
        ({"VULSWEB_OPENID_ISSUER": "", "VULSWEB_LOCAL_SIGN_IN": "no"}, "nobody could sign in"),
    ],
)
def test_settings_that_let_the_wrong_people_in_or_nobody_stop_the_program(
    changes: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        local_sign_in({"VULSWEB_LOCAL_SIGN_IN": "no"} | SETTINGS | changes)


def test_everybody_at_the_provider_may_read_if_so_set(
    client: FlaskClient, provider: Provider, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = GROUPS | {"viewer": frozenset({"*"})}
    open_to_all = replace(app.config["OPENID"], groups=groups)
    monkeypatch.setitem(app.config, "OPENID", open_to_all)
    del provider.claims["groups"]

    assert "Overview" in enter(client)
    assert [user.role for user in users.all_users()] == [Role.VIEWER]


def test_a_user_who_was_deleted_here_is_another_one_at_the_next_sign_in(
    client: FlaskClient, provider: Provider, admin: User
) -> None:
    enter(client)
    first = users.named("otto")
    assert first is not None
    users.delete_user(first, NOW)
    db.session.commit()

    enter(client)

    second = users.named("otto")
    assert second is not None
    assert second.id != first.id
