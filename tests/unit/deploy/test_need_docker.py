"""The commands of the production stack on a machine without Docker."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.needs import lacking

ROOT = Path(__file__).parents[3]
NEEDED = ("sh", "dirname", "sed", "tail", "date", "mkdir", "mktemp", "rm", "cat", "od", "tr", "stat", "tar")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout's deploy folder, without anything of a stack that was started."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    return folder


@pytest.fixture
def no_docker(tmp_path: Path) -> str:
    """A PATH with everything but Docker."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).symlink_to(str(shutil.which(name)))
    return str(folder)


COMMANDS = (
    ("up",),
    ("upgrade",),
    ("backup",),
    ("restore", "backup.tar"),
    ("rotate-executor-key",),
    ("images", "export", "images.tar"),
    ("compose", "down"),
    ("databases", "export", "databases.tar"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_without_docker_every_command_says_so_and_writes_nothing(
    checkout: Path, no_docker: str, command: tuple[str, ...]
) -> None:
    before = sorted(checkout.rglob("*"))

    ended = run(checkout, command, PATH=no_docker)

    assert ended.returncode != 0
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith(
        "Docker is not installed. On Debian: apt-get install docker.io docker-compose."
    )
    assert ended.stdout == ""
    assert sorted(checkout.rglob("*")) == before


def test_a_docker_that_does_not_answer_is_named(checkout: Path, tmp_path: Path) -> None:
    if shutil.which("docker") is None:
        lacking("docker is missing: apt-get install docker.io.")

    ended = run(
        checkout, ("up",), PATH=os.environ["PATH"], DOCKER_HOST=f"unix://{tmp_path}/none", HOME=str(tmp_path)
    )

    assert ended.returncode != 0
    assert "Docker" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (checkout / "secrets").exists()


def run(checkout: Path, command: tuple[str, ...], **environment: str) -> subprocess.CompletedProcess[str]:
    words = [str(checkout / "deploy" / command[0]), *command[1:]]
    return subprocess.run(words, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
