"""What can be said of the production stack without starting it."""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import images
from tests.docker.stack import ROOT
from tests.support.needs import lacking

ZONE = "docker-compose.yml:docker-compose.zone.yml"
FILES = [path for path in (ROOT / "deploy").iterdir() if path.is_file()]
SCRIPTS = [path for path in FILES if path.read_text().startswith("#!/bin/sh\n")]


def make_secrets(folder: Path) -> dict[str, str]:
    subprocess.run([ROOT / "deploy" / "make-secrets", folder], check=True)
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def compose(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Ask docker-compose about the file, without what a person may have put into .env."""
    if shutil.which("docker-compose") is None:
        lacking("docker-compose is missing: apt-get install docker-compose.")
    nothing = tmp_path / "nothing"
    nothing.touch()

    def ask(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.environ["PATH"], **settings}
        command = ["docker-compose", "--env-file", str(nothing), *words]
        return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)

    return ask


def test_the_tests_have_every_image_that_the_file_names(
    compose: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    said = compose("config", DOCKER_GID="1")
    named = set(re.findall(r"^    image: (\S+)$", said.stdout, re.MULTILINE))

    assert named - {"vulsweb/vulsweb:local", "vulsweb/executor:local"} == {
        images.POSTGRES,
        images.REDIS,
        images.NGINX,
    }


def test_a_plain_start_on_a_clean_machine_says_what_to_do_and_does_nothing(
    compose: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    # Whatever Docker would be asked, nobody would answer.
    ended = compose("up", "--detach", DOCKER_HOST="unix:///nowhere/docker.sock")

    assert ended.returncode != 0
    assert "Run make up, which creates the secrets" in ended.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_one_that_any_sh_reads(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)


@pytest.fixture
def services_in_a_zone(compose: Callable[..., subprocess.CompletedProcess[str]]) -> dict[str, str]:
    said = compose("config", COMPOSE_FILE=ZONE, DOCKER_GID="1", ZONE_HOST="192.0.2.7").stdout
    (services,) = re.findall(r"^services:\n((?:  .*\n|\n)+)", said, re.MULTILINE)
    return dict(re.findall(r"^  ([a-z-]+):\n((?:    .*\n|\n)+)", services, re.MULTILINE))


def test_in_a_zone_the_executor_and_its_proxy_start_alone(services_in_a_zone: dict[str, str]) -> None:
    start = {name for name, described in services_in_a_zone.items() if "profiles:" not in described}

    assert start == {"executor", "docker-proxy"}


def test_a_zones_executor_is_never_published_for_want_of_an_address(
    compose: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    ended = compose("config", "--quiet", COMPOSE_FILE=ZONE, DOCKER_GID="1")

    assert ended.returncode != 0
    assert "Set the address of this machine on which the executor listens" in ended.stderr


def test_what_a_zone_takes_in_is_unpacked_by_a_container_that_can_do_nothing_else(
    services_in_a_zone: dict[str, str],
) -> None:
    for line in ("cap_drop:", "- ALL", "network_mode: none", "read_only: true", "- no-new-privileges:true"):
        assert line in services_in_a_zone["receive"]


def test_secrets_are_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = make_secrets(folder)
    (folder / "redis_url").unlink()

    again = make_secrets(folder)

    assert again == made
    assert len(set(made.values())) == len(made) - 1  # the executor's keys are the one key, at first


def test_only_their_owner_comes_to_the_secrets(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make_secrets(folder)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()} == {0o444}


def test_a_secret_that_was_chosen_stays(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "admin_password").write_text("chosen by a person")

    assert make_secrets(folder)["admin_password"] == "chosen by a person"


def test_the_executors_image_has_the_versions_that_are_tested() -> None:
    def pins(lock: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9-]+==\S+", (ROOT / lock).read_text(), re.MULTILINE))

    assert pins("executor/requirements.lock") <= pins("requirements-dev.lock")
