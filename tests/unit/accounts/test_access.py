"""Users and API tokens."""

import pytest
from flask import Flask

from tests.conftest import NOW, PASSWORD
from vulsweb.accounts import access
from vulsweb.extensions import db
from vulsweb.models import ApiToken, Role, User


def test_a_user_signs_in_with_the_right_password_only(admin: User) -> None:
    assert access.authenticate("admin", PASSWORD) == admin
    assert access.authenticate("admin", PASSWORD + "!") is None
    assert access.authenticate("nobody", PASSWORD) is None


def test_a_password_is_stored_as_an_argon2id_hash(admin: User) -> None:
    assert admin.password_hash.startswith("$argon2id$")


def test_short_passwords_and_taken_names_are_refused(admin: User) -> None:
    with pytest.raises(access.AccessError, match="at least 12"):
        access.create_user("eve", "short", Role.VIEWER, NOW)
    with pytest.raises(access.AccessError, match="already"):
        access.create_user("admin", PASSWORD, Role.ADMIN, NOW)


def test_a_token_acts_for_its_user_and_only_its_hash_is_stored(app: Flask, admin: User) -> None:
    token = access.create_token("ci", admin, NOW)

    assert access.user_of_token(token) == admin
    assert access.user_of_token(token[:-1]) is None
    assert token not in str(db.session.get_one(ApiToken, 1).__dict__)


def test_a_token_needs_a_unique_name(admin: User) -> None:
    access.create_token("ci", admin, NOW)

    with pytest.raises(access.AccessError, match="already"):
        access.create_token("ci", admin, NOW)
    with pytest.raises(access.AccessError, match="name"):
        access.create_token(" ", admin, NOW)


def test_the_last_admin_cannot_be_demoted_or_deleted(admin: User) -> None:
    with pytest.raises(access.AccessError, match="only admin"):
        access.change_role(admin, Role.OPERATOR)
    with pytest.raises(access.AccessError, match="only admin"):
        access.delete_user(admin)


def test_one_of_several_admins_can_be_demoted(admin: User) -> None:
    other = access.create_user("other", PASSWORD, Role.ADMIN, NOW)

    access.change_role(admin, Role.VIEWER)

    assert (admin.role, other.role) == (Role.VIEWER, Role.ADMIN)


def test_a_new_password_ends_all_sessions(admin: User) -> None:
    session_id = admin.get_id()
    assert access.user_of_session(session_id) is admin

    access.change_password(admin, PASSWORD + "!")

    assert access.user_of_session(session_id) is None
    assert access.user_of_session(f"{admin.id}") is None
    assert access.user_of_session("x.y") is None


def test_deleting_a_user_deletes_their_tokens(admin: User) -> None:
    other = access.create_user("other", PASSWORD, Role.VIEWER, NOW)
    token = access.create_token("theirs", other, NOW)

    access.delete_user(other)

    assert access.user_of_token(token) is None


def test_an_unknown_time_zone_is_refused(admin: User) -> None:
    access.change_timezone(admin, "Europe/London")

    with pytest.raises(access.AccessError, match="not a time zone"):
        access.change_timezone(admin, "Mars/Base")
    assert admin.timezone == "Europe/London"
