"""Whatever a request says, it gets an answer that is not a server error."""

from collections.abc import Callable, Iterator, Mapping

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import BuildError, Rule
from werkzeug.test import TestResponse

from tests.conftest import PASSWORD
from tests.views.conftest import MakeRun
from tests.views.conftest import make_run as make_run
from vulsweb.models import Host, RunStatus, ScheduledTask

# Numbers, lengths, encodings and parts of addresses that somebody's library takes for something.
ODD = {
    "huge": "9" * 25,
    "5,000 digits": "9" * 5000,
    "negative": "-1",
    "float": "1e5",
    "other digits": "\u0661\u00b2",
    "nothing": "",
    "NUL": "\x00",
    "lone surrogate": "\ud800",
    "long": "a" * 20_000,
    "address": "http://[",
    "half an address": "//[",
    "template": "{{7*7}}%s%(a)s",
    "wild cards": "%_*?\\",
    "lines": "a\r\nSet-Cookie: b=c",
}
PARAMETERS = (
    *("page", "per_page", "q", "line", "search", "sort", "status", "severity", "host", "tag", "type", "show"),
    *("task", "cve", "after", "before", "ids", "offset", "from", "until", "next", "host_id"),
)
FIELDS = (
    *("name", "task_type", "scan_type", "cron_expression", "timezone", "host_id", "host_tag", "ids", "at"),
    *("action", "content", "role", "password", "private_key", "lines", "hostname", "port", "tags", "notes"),
    *("database_type", "description", "is_active", "expected", "to", "server", "address", "events"),
)


def rules(app: Flask, method: str) -> Iterator[Rule]:
    for rule in app.url_map.iter_rules():
        if method in (rule.methods or ()) and rule.endpoint != "static":
            yield rule


def address(app: Flask, rule: Rule, value: object) -> str | None:
    """Return the address of a rule whose variable parts have these values, or None if they cannot."""
    values = dict.fromkeys(rule.arguments, value)
    try:
        return app.url_map.bind("localhost").build(rule.endpoint, values, method=None)
    except (BuildError, ValueError, TypeError):
        return None


def failures(answers: Mapping[str, TestResponse]) -> dict[str, int]:
    """Return the addresses that were answered with a server error; one says by it that nothing runs here."""
    return {
        path: answer.status_code
        for path, answer in answers.items()
        if answer.status_code >= 500 and path != "/healthz"
    }


@pytest.fixture
def answers(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is answered as it is to people, and not raised."""
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)


def mixed(names: tuple[str, ...], shift: int) -> dict[str, bytes]:
    """Return each name with one of the odd values; another shift gives them others."""
    values = [odd.encode("utf-8", "surrogatepass") for odd in ODD.values()]
    return {name: values[(place + shift) % len(values)] for place, name in enumerate(names)}


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("shift", range(0, len(ODD), 3))
def test_no_page_fails_over_odd_parameters(
    app: Flask,
    signed_in: FlaskClient,
    make_run: MakeRun,
    make_host: Callable[..., Host],
    make_task: Callable[..., ScheduledTask],
    shift: int,
) -> None:
    make_run(RunStatus.SUCCESS, make_task(host_id=make_host("one").id))
    paths = [path for rule in rules(app, "GET") if (path := address(app, rule, 1))]

    answers = {path: signed_in.get(path, query_string=mixed(PARAMETERS, shift)) for path in paths}

    assert failures(answers) == {}


@pytest.mark.usefixtures("answers")
def test_no_page_fails_over_an_odd_part_of_its_address(app: Flask, signed_in: FlaskClient) -> None:
    named = [rule for rule in rules(app, "GET") if rule.arguments]
    paths = [path for rule in named for odd in ODD.values() if (path := address(app, rule, odd[:2000]))]

    assert failures({path: signed_in.get(path) for path in paths}) == {}


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("shift", range(0, len(ODD), 3))
def test_no_form_fails_over_odd_values(app: Flask, signed_in: FlaskClient, shift: int) -> None:
    # Signing out would end the others.
    paths = [
        path
        for rule in rules(app, "POST")
        if not rule.rule.startswith("/api") and rule.endpoint != "auth.sign_out"
        if (path := address(app, rule, 1))
    ]

    answers = {path: signed_in.post(path, data=mixed(FIELDS, shift)) for path in paths}

    assert failures(answers) == {}


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("odd", [*(odd for odd in ODD.values() if odd.isprintable()), "/\\evil", "//evil"])
def test_no_odd_place_to_return_to_leads_elsewhere(client: FlaskClient, admin: object, odd: str) -> None:
    asked = client.get("/tasks/", headers={"HX-Request": "true", "HX-Current-URL": odd[:2000].encode()})
    form = {"name": "admin", "password": PASSWORD}
    entered = client.post("/sign-in", query_string={"next": odd}, data=form)

    assert asked.status_code == 401
    assert (entered.status_code, entered.headers["Location"]) == (303, "/")


BODIES = {
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"name":' * 50_000 + b"1" + b"}" * 50_000,
    "5,000 digits": b'{"name": ' + b"9" * 5000 + b"}",
    "infinite": b'{"host_id": 1e400}',
    "no number": b'{"host_id": NaN}',
    "lone surrogate": b'{"name": "\\ud800", "content": "\\ud800", "task_type": "scan"}',
    "NUL": b'{"name": "\\u0000", "content": "\\u0000", "cron_expression": "\\u0000"}',
    "not UTF-8": b'{"name": "\xff"}',
    "a long line": b'{"name": "x", "task_type": "scan", "cron_expression": "' + b"1," * 200 + b'1 * * * *"}',
    "nothing": b"",
    "a list": b"[]",
    "null": b"null",
}


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_no_call_fails_over_an_odd_body(app: Flask, client: FlaskClient, token: str, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    calls = [
        (method, path)
        for method in ("POST", "PUT", "PATCH")
        for rule in rules(app, method)
        if rule.rule.startswith("/api") and (path := address(app, rule, 1))
    ]

    answers = {
        f"{method} {path}": client.open(path, method=method, data=body, headers=headers)
        for method, path in calls
    }

    assert failures(answers) == {}
