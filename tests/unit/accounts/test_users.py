"""Users."""

from datetime import timedelta

import pytest
from argon2 import PasswordHasher, extract_parameters

from tests.conftest import NOW, PASSWORD
from vulsweb.accounts import sessions, tokens, users
from vulsweb.accounts.credentials import AccessError
from vulsweb.models import Role, Scope, User
from vulsweb.models.user import NOBODY

DAY = timedelta(days=1)


def test_a_user_signs_in_with_the_right_password_only(admin: User) -> None:
    assert users.authenticate("admin", PASSWORD) == admin
    assert users.authenticate("admin", PASSWORD + "!") is None
    assert users.authenticate("nobody", PASSWORD) is None


def test_a_password_is_stored_as_an_argon2id_hash(admin: User) -> None:
    assert admin.password_hash.startswith("$argon2id$")


def test_a_name_that_nobody_has_takes_as_long_to_check_as_a_password() -> None:
    assert extract_parameters(NOBODY) == extract_parameters(PasswordHasher().hash("any password"))


def test_short_passwords_and_taken_names_are_refused(admin: User) -> None:
    with pytest.raises(AccessError, match="at least 12"):
        users.create_user("eve", "short", Role.VIEWER, NOW)
    with pytest.raises(AccessError, match="already"):
        users.create_user("admin", PASSWORD, Role.ADMIN, NOW)


def test_the_last_admin_cannot_be_demoted_or_deleted(admin: User) -> None:
    with pytest.raises(AccessError, match="only admin"):
        users.change_role(admin, Role.OPERATOR, "admin", NOW)
    with pytest.raises(AccessError, match="only admin"):
        users.delete_user(admin, NOW)


def test_one_of_several_admins_can_be_demoted(admin: User) -> None:
    other = users.create_user("other", PASSWORD, Role.ADMIN, NOW)

    users.change_role(admin, Role.VIEWER, "other", NOW)

    assert (admin.role, other.role) == (Role.VIEWER, Role.ADMIN)


def test_an_unknown_time_zone_is_refused(admin: User) -> None:
    users.change_timezone(admin, "Europe/London")

    with pytest.raises(AccessError, match="not a time zone"):
        users.change_timezone(admin, "Mars/Base")
    assert admin.timezone == "Europe/London"


def test_a_deleted_user_has_no_way_in_and_the_name_is_free_for_another(admin: User) -> None:
    gone = users.create_user("eve", PASSWORD, Role.ADMIN, NOW)
    gone.totp_secret = "of an app"
    token = tokens.create("robot", gone, Scope.ADMIN, 0, NOW)
    key = sessions.begin(gone, "192.0.2.7", "Firefox", DAY, NOW)

    users.delete_user(gone, NOW)

    assert users.authenticate("eve", PASSWORD) is None
    assert (tokens.find(token, NOW), sessions.find(key, DAY, DAY, NOW)) == (None, None)
    assert users.get(gone.id) is None
    assert (str(gone.totp_secret), gone.shown) == ("None", "eve (deleted)")
    assert users.all_users() == [admin]
    with pytest.raises(AccessError, match="only admin"):
        users.delete_user(admin, NOW)
    again = users.create_user("eve", PASSWORD, Role.VIEWER, NOW)
    assert users.authenticate("eve", PASSWORD) == again
