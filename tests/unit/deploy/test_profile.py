"""Which profile a new installation on Docker gets, and that others keep theirs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Stands for Docker: everything is installed and healthy.
DOCKER = "#!/bin/sh\ncase $1 in inspect) echo healthy ;; esac\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout's deploy folder, without anything of a stack that was started."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)
    return folder


def up(checkout: Path, **settings: str) -> list[str]:
    """Run `make up` and return the lines of .env that name a profile."""
    path = f"{checkout.parent / 'bin'}:{os.environ['PATH']}"
    chosen = {"PATH": path, "DOCKER_SOCKET": str(checkout), **settings}
    subprocess.run([checkout / "deploy" / "up"], cwd=checkout, env=chosen, check=True, capture_output=True)
    file = checkout / ".env"
    return [line for line in file.read_text().splitlines() if line.startswith("EXECUTOR_PROFILE=")]


def test_a_new_installation_gets_the_current_profile_and_keeps_it(checkout: Path) -> None:
    assert up(checkout) == ["EXECUTOR_PROFILE=current"]
    assert up(checkout) == ["EXECUTOR_PROFILE=current"]


def test_an_installation_from_before_keeps_the_classic_profile(checkout: Path) -> None:
    up(checkout)
    (checkout / ".env").unlink()

    assert up(checkout) == []
    # What docker-compose.yml has for it.
    assert "EXECUTOR_PROFILE: ${EXECUTOR_PROFILE:-classic}" in (ROOT / "docker-compose.yml").read_text()


def test_what_was_chosen_is_not_changed(checkout: Path) -> None:
    (checkout / ".env").write_text("EXECUTOR_PROFILE=classic\n")

    assert up(checkout) == ["EXECUTOR_PROFILE=classic"]
