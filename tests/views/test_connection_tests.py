"""The connection to a host, tested from its page and through the API."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import NOW, handle_messages
from tests.views.conftest import HOSTILE
from vulsweb import worker
from vulsweb.extensions import db
from vulsweb.hosts import connection_tests
from vulsweb.models import ConnectionTest, Host, RunStatus

MakeHost = Callable[..., Host]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Each time that a worker was asked to follow tests."""
    calls: list[bool] = []
    handle_messages(monkeypatch, "follow_tests", lambda: calls.append(True))
    return calls


def test_a_test_begins_at_once_and_two_clicks_are_one(
    signed_in: FlaskClient, make_host: MakeHost, asked: list[bool]
) -> None:
    host = make_host()

    answers = [signed_in.post(f"/hosts/{host.id}/test") for _ in range(2)]

    assert {answer.location for answer in answers} == {f"/hosts/{host.id}/test"}
    assert asked
    assert db.session.query(ConnectionTest).one().status is RunStatus.QUEUED
    assert "Vuls signs in" in signed_in.get(f"/hosts/{host.id}/test").text


def test_the_page_says_what_is_wrong_and_what_to_do(signed_in: FlaskClient, make_host: MakeHost) -> None:
    host = make_host()
    test = connection_tests.start(host, NOW)
    test.status, test.completed_at = RunStatus.FAILED, NOW
    test.tests = [
        {"server": host.name, "outcome": "sudo", "user": "scan", "family": "debian", "line": HOSTILE},
    ]
    test.log = f"\x1b[31m{HOSTILE}\x1b[0m"
    db.session.commit()

    page = signed_in.get(f"/hosts/{host.id}/test").text

    assert "scan may not use sudo without a password" in page
    assert "scan ALL=(root) NOPASSWD: /usr/sbin/checkrestart" in page
    assert HOSTILE not in page
    assert "hx-get" not in page.split('id="connection-test"')[1].split(">")[0]


def test_a_test_that_goes_on_is_asked_for_again_and_answers_204_meanwhile(
    signed_in: FlaskClient, make_host: MakeHost
) -> None:
    host = make_host()
    test = connection_tests.start(host, NOW)
    db.session.commit()
    page = signed_in.get(f"/hosts/{host.id}/test").text
    address = page.split('hx-get="/hosts/')[1].split('"')[0].replace("&amp;", "&")

    unchanged = signed_in.get(f"/hosts/{address}")
    connection_tests.fail(test, "The executor does not answer.", NOW)
    db.session.commit()
    changed = signed_in.get(f"/hosts/{address}")

    assert unchanged.status_code == 204
    assert "The executor does not answer." in changed.text


def test_without_an_executor_the_test_says_so(app: Flask, make_host: MakeHost) -> None:
    test = connection_tests.start(make_host(), NOW)
    test.created_at = datetime.now(UTC)
    db.session.commit()

    worker.follow_tests()

    db.session.refresh(test)
    assert test.status is RunStatus.FAILED
    assert test.reason is not None
    assert test.reason.startswith("The executor does not answer.")


def test_a_test_that_nobody_ends_times_out(app: Flask, make_host: MakeHost) -> None:
    test = connection_tests.start(make_host(), NOW)

    assert not connection_tests.expire_if_late(test, NOW + timedelta(minutes=9))
    assert connection_tests.expire_if_late(test, NOW + timedelta(minutes=10))

    assert test.status is RunStatus.TIMEOUT


def test_a_retired_host_is_not_tested(signed_in: FlaskClient, make_host: MakeHost) -> None:
    host = make_host(retired_at=NOW)

    assert signed_in.post(f"/hosts/{host.id}/test").status_code == 409
    assert signed_in.get("/hosts/99/test").status_code == 404
