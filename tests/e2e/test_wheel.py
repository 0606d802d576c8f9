"""The built wheel, installed and started in an empty folder."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import requests

from tests.e2e.stack import ROOT, Stack, running
from tests.support.waiting import patience


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs; its dependencies are those of the tests."""
    place, folder = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    # In a copy: building leaves files, and an old build/ would get into the wheel.
    sources = tmp_path_factory.mktemp("sources") / "vulsweb"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in tracked.decode().split("\0")[:-1]:
        if (ROOT / name).exists():
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            (sources / name).write_bytes((ROOT / name).read_bytes())
            (sources / name).chmod((ROOT / name).stat().st_mode)
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place), str(sources)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = place.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder), str(wheel)], check=True)
    return folder


def test_the_wheel_starts_everything_in_an_empty_folder(installed: Path, open_folder: Path) -> None:
    empty = Path(tempfile.mkdtemp(dir=open_folder))
    empty.chmod(0o755)
    stack = Stack(empty / "data", {"PYTHONPATH": str(installed)}, folder=empty)

    with running(stack):
        answer = requests.get(f"{stack.url}/sign-in", timeout=patience(60))
        where = stack.command("--version")

    assert "Sign in" in answer.text
    assert where.startswith("vulsweb ")
    assert [path.name for path in empty.iterdir()] == ["data"]


def test_the_wheel_has_what_builds_the_tools(installed: Path, tmp_path: Path) -> None:
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(installed), "VULSWEB_TOOLS_DIR": str(tmp_path)}
    asked = subprocess.run(
        [sys.executable, "-m", "vulsweb", "tools"],
        cwd=tmp_path,
        env=environ | {"HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert asked.returncode == 1
    assert asked.stderr.startswith("Go is missing")
