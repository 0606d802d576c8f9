"""The growing delay of sign-ins with one name."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from tests.conftest import NOW, PASSWORD
from vulsweb.accounts import attempts, users
from vulsweb.extensions import db, limiter
from vulsweb.models import SignInFailures, User

WRONG = "not this one"
TryOut = Callable[..., TestResponse]


@pytest.fixture
def try_out(client: FlaskClient) -> TryOut:
    """Try to sign in, each time from another address, as many machines would."""
    count = 0

    def post(password: str = WRONG, name: str = "admin", address: str = "") -> TestResponse:
        nonlocal count
        count += 1
        limiter.reset()
        address = address or f"198.51.100.{count}"
        return client.post(
            "/sign-in",
            data={"name": name, "password": password},
            environ_overrides={"REMOTE_ADDR": address},
        )

    return post


def fail(try_out: TryOut, times: int, name: str = "admin") -> list[int]:
    """Fail so often, each time after the wait."""
    codes = []
    for _ in range(times):
        codes.append(try_out(name=name).status_code)
        earlier = datetime.now(UTC) - timedelta(hours=1)
        db.session.execute(update(SignInFailures).values(last_at=earlier))
        db.session.commit()
    return codes


def test_after_nine_failures_each_further_try_waits_longer(try_out: TryOut, admin: User) -> None:
    codes = fail(try_out, 16)
    last = try_out()
    refused = [try_out() for _ in range(2)]

    assert codes == [422] * 16
    assert last.status_code == 422
    assert [answer.status_code for answer in refused] == [429, 429]
    assert 64 < int(refused[0].headers["Retry-After"]) <= 128
    assert "Signing in with this name has failed too often. Try again in " in refused[0].text


def test_the_right_password_has_to_wait_too_and_ends_the_delay(try_out: TryOut, admin: User) -> None:
    fail(try_out, 16)
    try_out()
    early = try_out(PASSWORD)
    db.session.execute(update(SignInFailures).values(last_at=datetime.now(UTC) - timedelta(hours=1)))
    db.session.commit()

    late = try_out(PASSWORD)

    assert early.status_code == 429
    assert late.status_code == 303
    assert db.session.scalars(select(SignInFailures)).all() == []


def test_where_a_person_has_signed_in_before_nobody_else_can_keep_them_out(
    try_out: TryOut, admin: User
) -> None:
    users.record_sign_in(admin, "192.0.2.7", NOW)
    db.session.commit()
    fail(try_out, 20)
    try_out()

    elsewhere = try_out(PASSWORD)
    at_home = try_out(PASSWORD, address="192.0.2.7")

    assert (elsewhere.status_code, at_home.status_code) == (429, 303)


def test_a_name_that_nobody_has_waits_the_same(try_out: TryOut, admin: User) -> None:
    fail(try_out, 16, "nobody")
    try_out(name="nobody")

    nobody = try_out(name="nobody")

    assert nobody.status_code == 429
    assert try_out(name="admin").status_code == 422


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (9, 0), (10, 1), (11, 2), (13, 8), (19, 512), (20, 900), (10**6, 900)]
)
def test_the_wait_doubles_up_to_a_quarter_of_an_hour(app: object, failures: int, seconds: int) -> None:
    attempts.begin("eve", "198.51.100.1", NOW)
    db.session.execute(update(SignInFailures).values(count=failures, last_at=NOW))

    wait = attempts.begin("eve", "198.51.100.2", NOW)

    assert wait == (timedelta(seconds=seconds) if seconds else None)


def test_a_counter_is_forgotten_after_a_day(app: object) -> None:
    attempts.begin("eve", "198.51.100.1", NOW)
    attempts.begin("mallory", "198.51.100.1", NOW + timedelta(hours=12))

    attempts.prune(NOW + timedelta(hours=30))

    assert len(db.session.scalars(select(SignInFailures)).all()) == 1


@pytest.mark.parametrize("name", ["", "\x00", "a" * 100_000, "Админ"])
def test_any_name_is_counted(try_out: TryOut, admin: User, name: str) -> None:
    assert try_out(name=name).status_code == 422
