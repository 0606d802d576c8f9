"""The `vulsweb` program: its help, its version, and how it adds a person."""

import contextvars
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from tests.conftest import EXECUTOR_KEY, PASSWORD
from vulsweb.__main__ import group, main
from vulsweb.extensions import db
from vulsweb.models import Role, User

SETUP = Path(__file__).parents[3] / "setup.cfg"
SETTINGS = {
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "SECRET_KEY": "tests tests tests tests tests tests",
    "EXECUTOR_URL": "http://127.0.0.1:1",
    "EXECUTOR_API_KEY": EXECUTOR_KEY,
    "VULSWEB_VULS_CONFIG": "config.toml",
}


def released() -> str:
    """Return the version that setup.cfg names."""
    setup = ConfigParser()
    setup.read(SETUP)
    return setup["metadata"]["version"]


def vulsweb(folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a folder, with only these settings."""
    return subprocess.run(
        [sys.executable, "-m", "vulsweb", *words],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Return the words of every command and group of commands."""
    for name, command in group.commands.items():
        yield (*words, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))


def test_help_lists_all_commands_without_a_running_stack(tmp_path: Path) -> None:
    done = vulsweb(tmp_path, "--help")

    listed = [line.split()[0] for line in done.stdout.partition("Commands:\n")[2].splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    names = "audit backup db doctor hosts images prepare restore run token tools user"
    assert listed == names.split()
    assert "--app" not in done.stdout


@pytest.mark.parametrize("words", list(commands(group)), ids=" ".join)
def test_every_command_has_help_without_a_running_stack(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)

    # Without the application of other tests.
    done = contextvars.Context().run(CliRunner().invoke, group, [*words, "--help"])

    assert done.exit_code == 0
    assert done.output.startswith("Usage: vulsweb ")


@pytest.mark.parametrize(
    "line",
    [
        "doctor",
        "prepare",
        "hosts sync",
        "user create eve",
        "user password eve",
        "token create laptop",
        "db upgrade",
    ],
)
def test_a_command_that_needs_the_stack_says_how_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*SETTINGS, "DATABASE_URL", "VULSWEB_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["vulsweb", *line.split()])

    with pytest.raises(SystemExit) as ended:
        contextvars.Context().run(main)  # without the application of other tests

    assert ended.value.code == (
        "Vuls Web is not running here: start it with `make run` or `vulsweb run`,"
        " or set VULSWEB_DATA_DIR to the data folder of the one that runs."
    )


def test_it_ends_with_exit_code_1_and_nothing_but_the_sentence(tmp_path: Path) -> None:
    done = vulsweb(tmp_path, "doctor")

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)


def test_a_command_says_how_to_start_a_stack_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    left = SETTINGS | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    (tmp_path / "secrets" / "stack.json").write_text(json.dumps(left))

    done = vulsweb(tmp_path, "token", "create", "laptop", VULSWEB_DATA_DIR=str(tmp_path))

    assert done.returncode == 1
    assert done.stderr.startswith("The database does not answer: ")
    assert "start it with `make run`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "The database does not answer: "),
        ({"DATABASE_URL": "postgresql://x/y", "SECRET_KEY": "short"}, "SECRET_KEY must have at least "),
    ],
)
def test_a_stack_with_settings_of_its_own_is_not_told_to_use_make_run(
    tmp_path: Path, settings: dict[str, str], sentence: str
) -> None:
    done = vulsweb(tmp_path, "token", "create", "laptop", **(SETTINGS | settings))

    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith(sentence)
    assert "make run" not in done.stderr


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
