"""The `vulsweb` program: its version, and how it adds a person."""

from configparser import ConfigParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import PASSWORD
from vulsweb.__main__ import group
from vulsweb.extensions import db
from vulsweb.models import Role, User

SETUP = Path(__file__).parents[3] / "setup.cfg"


def released() -> str:
    """Return the version that setup.cfg names."""
    setup = ConfigParser()
    setup.read(SETUP)
    return setup["metadata"]["version"]


def test_version_needs_no_running_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)

    done = CliRunner().invoke(group, ["--version"])

    assert (done.exit_code, done.output) == (0, f"vulsweb {released()}\n")


def test_the_openapi_document_has_the_same_version(client: FlaskClient) -> None:
    assert client.get("/api/openapi.json").get_json()["info"]["version"] == released()


@pytest.mark.parametrize("role", list(Role))
def test_user_create_takes_a_role(app: Flask, role: Role) -> None:
    words = ["user", "create", "eve", "--role", role.value, "--password", PASSWORD]

    done = app.test_cli_runner().invoke(args=words)

    assert done.exit_code == 0, done.output
    assert db.session.scalars(select(User).where(User.name == "eve")).one().role is role


def test_user_create_adds_a_viewer_when_no_role_is_given(app: Flask) -> None:
    done = app.test_cli_runner().invoke(args=["user", "create", "eve", "--password", PASSWORD])

    assert done.exit_code == 0, done.output
    assert db.session.scalars(select(User).where(User.name == "eve")).one().role is Role.VIEWER


def test_user_create_names_the_roles_in_its_help(app: Flask) -> None:
    done = app.test_cli_runner().invoke(args=["user", "create", "--help"])

    assert "[viewer|operator|admin]" in done.output
    assert "[default: viewer]" in done.output
