"""Every command line of the documentation is one that works when it is pasted."""

import os
import shutil
import subprocess

import click
import pytest

from tests.support.commands import ROOT, Line, lines
from tests.support.needs import lacking
from vulsweb.__main__ import group
from vulsweb.models import Role

LINES = lines()
# Programs of others; what is done with them is shown, not tested.
OTHERS = {
    "git",
    "cat",
    "echo",
    "chmod",
    "scp",
    "rm",
    "jq",
    "pipx",
    "tar",
    "docker",
    "ssh",
    "zone",
    "cd",
    "find",
}
OTHERS |= {"${EDITOR:-vi}"}
# docs/api.md's are run by tests/api/test_examples.py, README's by the test of the whole stack.
TESTED_ELSEWHERE = {"curl", "python"}
# Subcommands of docker-compose that its versions 1 and 2 have in common.
COMPOSE = {"ps", "logs", "exec", "run", "restart", "up", "down"}


def of(program: str) -> list[Line]:
    return [line for line in LINES if line.program == program]


def test_every_command_belongs_to_a_rule() -> None:
    rules = {"make", "vulsweb", *OTHERS, *TESTED_ELSEWHERE}

    assert len(LINES) > 100
    strange = [line for line in LINES if line.program not in rules and not line.program.startswith("deploy/")]
    assert [f"{line.page}: {line}" for line in strange] == []


@pytest.mark.parametrize("line", of("make"), ids=str)
def test_make_knows_the_target_and_its_variables(line: Line) -> None:
    done = subprocess.run(["make", "-n", *line.arguments], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    makefile = (ROOT / "Makefile").read_text()
    for name in (word.partition("=")[0] for word in line.arguments if "=" in word):
        assert f"$({name})" in makefile or f"{name}," in makefile, name


def check_vulsweb(arguments: tuple[str, ...]) -> None:
    """Let click read the arguments, without running the command or asking anything."""
    command: click.Command = group
    words = list(arguments)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, arguments
        command = found
    options, values, _ = command.make_parser(click.Context(command)).parse_args(words)
    taken = sum(isinstance(parameter, click.Argument) for parameter in command.params)
    assert len(values) <= taken
    roles = options.get("role")
    assert roles is None or roles in set(Role)


@pytest.mark.parametrize("line", of("vulsweb"), ids=str)
def test_vulsweb_knows_the_command_and_its_options(line: Line) -> None:
    check_vulsweb(line.arguments)


@pytest.mark.parametrize("line", [line for line in LINES if line.program.startswith("deploy/")], ids=str)
def test_a_script_exists_and_compose_knows_the_command(line: Line) -> None:
    script = ROOT / line.program

    assert script.exists()
    if script.suffix:
        return
    assert os.access(script, os.X_OK)
    if line.program == "deploy/compose" and line.arguments:
        words = list(line.arguments)
        assert words[0] in COMPOSE
        services = {
            "front",
            "web",
            "worker",
            "beat",
            "postgres",
            "migrate",
            "receive",
            "executor",
            "docker-proxy",
        }
        if words[0] in ("exec", "run"):
            assert services & set(words)
        if "vulsweb" in words:
            check_vulsweb(tuple(words[words.index("vulsweb") + 1 :]))


def test_compose_has_these_commands() -> None:
    if shutil.which("docker-compose") is None:
        lacking("docker-compose is missing: apt-get install docker-compose.")
    said = subprocess.run(["docker-compose", "--help"], capture_output=True, text=True).stdout

    assert [name for name in COMPOSE if f"\n  {name} " not in said] == []
