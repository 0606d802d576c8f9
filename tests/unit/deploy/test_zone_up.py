"""deploy/zone-up: its checks before it starts anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.needs import lacking

ROOT = Path(__file__).parents[3]


def zone_up(secrets: Path, *words: str) -> str:
    """Run the script, which must fail, and return its error."""
    # With a profile of their own, the tests write nothing to .env.
    chosen = {"VULSWEB_SECRETS": str(secrets), "EXECUTOR_PROFILE": "classic"}
    environ = {"PATH": os.environ["PATH"], **chosen}
    command = [str(ROOT / "deploy" / "zone-up"), *words]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert ended.returncode != 0
    return ended.stderr


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """The file that deploy/add-executor writes for a machine with a host name."""
    if shutil.which("openssl") is None:
        lacking("openssl is missing: apt-get install openssl.")
    environ = {"PATH": os.environ["PATH"], "VULSWEB_SECRETS": str(tmp_path / "main")}
    command = [str(ROOT / "deploy" / "add-executor"), "lab", "lab.example", "lab"]
    subprocess.run(command, env=environ, check=True)
    return tmp_path / "main" / "zones" / "lab.tar"


def test_the_first_start_needs_the_file(tmp_path: Path) -> None:
    assert "Which executor?" in zone_up(tmp_path / "secrets")


def test_a_main_stack_is_left_alone(packed: Path) -> None:
    main = packed.parents[1]
    before = {path: path.read_bytes() for path in main.rglob("*") if path.is_file()}

    assert "has the secrets of a main stack" in zone_up(main, str(packed))
    assert {path: path.read_bytes() for path in main.rglob("*") if path.is_file()} == before


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.tar").write_text("no archive")

    zone_up(tmp_path / "secrets", str(tmp_path / "other.tar"))

    assert not list((tmp_path / "secrets").iterdir())


def test_for_a_machine_with_a_host_name_the_listening_address_must_be_set(
    tmp_path: Path, packed: Path
) -> None:
    secrets = tmp_path / "secrets"

    assert "ZONE_HOST=" in zone_up(secrets, str(packed))
    assert {path.name for path in secrets.iterdir()} == {
        "executor_address",
        "executor_api_keys",
        "executor_certificate",
        "executor_private_key",
    }
    assert secrets.stat().st_mode & 0o777 == 0o700
