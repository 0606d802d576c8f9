"""`GET /api/system` and `vulsweb doctor`."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import TOOLS, Installation
from vulsweb import cli
from vulsweb.system import health
from vulsweb.system.checks import Check, State
from vulsweb.system.health import System


def test_it_returns_the_checks_the_tools_and_the_databases(
    api: FlaskClient, installation: Installation
) -> None:
    installation.add_tools(*TOOLS)
    installation.add_database()

    answer = api.get("/api/system")

    reply = answer.get_json()
    assert (answer.status_code, reply["state"]) == (200, "failed")
    assert [part["name"] for part in reply["parts"]] == [
        "worker",
        "beat",
        "redis",
        "postgresql",
        "executor",
        "tools",
        "databases",
        "disk",
        "machine",
    ]
    assert [tool["name"] for tool in reply["tools"]] == sorted(TOOLS)
    rows = {database["name"]: database["rows"] for database in reply["databases"]}
    assert (len(rows), rows["gost_debian"], rows["nvd"]) == (9, 1, 0)


def test_it_requires_a_user(client: FlaskClient) -> None:
    answer = client.get("/api/system")

    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"


def test_its_schema_is_in_the_openapi_document(client: FlaskClient) -> None:
    document = client.get("/api/openapi.json").get_json()

    assert "/api/system" in document["paths"]
    assert "SystemOut" in str(document["paths"]["/api/system"]["get"]["responses"]["200"])


def test_doctor_prints_what_fails_and_how_to_fix_it(app: Flask) -> None:
    result = app.test_cli_runner().invoke(cli.doctor)

    assert result.exit_code == 1
    assert "Failed   Executor                 The executor does not answer, so nothing runs." in result.output
    assert "Verify that the Celery worker and Redis services are running." in result.output
    assert "OK       PostgreSQL" in result.output


def test_doctor_works_without_a_database(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    away = "postgresql+psycopg2://nobody@127.0.0.1:1/none"
    monkeypatch.setitem(app.config, "SQLALCHEMY_DATABASE_URI", away)

    result = app.test_cli_runner().invoke(cli.doctor)

    assert result.exit_code == 1
    assert "Failed   PostgreSQL               PostgreSQL is not available." in result.output


def test_doctor_exits_with_0_if_nothing_has_failed(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Check("disk", "Disk", State.WARNING, "3.0 GB free of 100 GB.", ("Free some space.",))
    monkeypatch.setattr(health, "read", lambda *_: System((part,), ()))

    result = app.test_cli_runner().invoke(cli.doctor)

    assert result.exit_code == 0
    assert "Warning  Disk                     3.0 GB free of 100 GB." in result.output
    assert "Free some space." in result.output
