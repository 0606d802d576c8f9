"""Who may come in."""

import pytest
from flask import Flask

from tests.conftest import NOW, PASSWORD
from vulsweb import access
from vulsweb.extensions import db
from vulsweb.models import ApiToken, User


def test_a_person_comes_in_with_the_right_password_alone(admin: User) -> None:
    assert access.authenticate("admin", PASSWORD) == admin
    assert access.authenticate("admin", PASSWORD + "!") is None
    assert access.authenticate("nobody", PASSWORD) is None


def test_a_password_is_kept_as_an_argon2id_hash(admin: User) -> None:
    assert admin.password_hash.startswith("$argon2id$")


def test_short_passwords_and_taken_names_are_refused(admin: User) -> None:
    with pytest.raises(access.AccessError, match="at least 12"):
        access.create_user("eve", "short", NOW)
    with pytest.raises(access.AccessError, match="already"):
        access.create_user("admin", PASSWORD, NOW)


def test_a_token_stands_for_its_person_and_only_its_hash_is_kept(app: Flask, admin: User) -> None:
    token = access.create_token("ci", admin, NOW)

    assert access.user_of_token(token) == admin
    assert access.user_of_token(token[:-1]) is None
    assert token not in str(db.session.get_one(ApiToken, 1).__dict__)


def test_a_token_needs_a_name_of_its_own(admin: User) -> None:
    access.create_token("ci", admin, NOW)

    with pytest.raises(access.AccessError, match="already"):
        access.create_token("ci", admin, NOW)
    with pytest.raises(access.AccessError, match="name"):
        access.create_token(" ", admin, NOW)
