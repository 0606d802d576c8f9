import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from executor.config import IMAGES
from tests.local.conftest import ROOT, eventually
from vulsweb.local import settings, tools

BUILD = ROOT / "executor" / "tools" / "build"

# Stands for the compiler: writes the program it is asked for, and notes that it was asked.
GO = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$1" in
  install)
    for last; do :; done
    [ "${last##*/}" != "$REFUSED" ] || { echo "403 Forbidden" >&2; exit 1; }
    last=${last%@*}; out=$GOBIN/${last##*/} ;;
  build) while [ "$1" != -o ]; do shift; done; out=$2 ;;
esac
echo half > "$out"
[ -z "$HANG" ] || sh -c ': >"$1.hangs"; exec sleep 600' sh "$out"
chmod +x "$out"
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "go").write_text(GO)
    (tmp_path / "bin" / "go").chmod(0o755)
    return {
        "PATH": f"{tmp_path}/bin:/usr/bin:/bin",
        "CALLS": str(tmp_path / "calls"),
        "VULSWEB_TOOLS_DIR": str(tmp_path / "tools"),
        "EXECUTOR_PROFILE": "classic",
    }


def build(environ: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([BUILD], env=environ, capture_output=True, text=True, check=False)


def test_each_tool_is_built_once_and_its_version_recorded(environ: dict[str, str], tmp_path: Path) -> None:
    first, second = build(environ), build(environ)

    assert (first.returncode, second.returncode) == (0, 0)
    assert "[4/4] Building vuls v0.26.0" in first.stdout
    assert len((tmp_path / "calls").read_text().splitlines()) == 4
    assert json.loads((tmp_path / "tools" / "versions.json").read_text()) == {
        "gost": "v0.6.1",
        "go-cve-dictionary": "v0.12.0",
        "goval-dictionary": "v0.12.0",
        "vuls": "v0.26.0",
    }


def test_on_a_new_machine_the_current_profile_is_built(environ: dict[str, str], tmp_path: Path) -> None:
    del environ["EXECUTOR_PROFILE"]

    done, again = build(environ), build(environ)

    assert "[1/1] Building vuls v0.40.1" in done.stdout
    assert [path.name for path in (tmp_path / "tools").iterdir()] == ["current"]
    assert again.stdout == f"The tools are ready in {tmp_path}/tools/current.\n"


def test_where_it_cannot_be_built_one_sentence_says_so_and_the_classic_tools_are_built(
    environ: dict[str, str], tmp_path: Path
) -> None:
    del environ["EXECUTOR_PROFILE"]
    environ["REFUSED"] = "vuls@v0.40.1"

    done, again = build(environ), build(environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert "Vuls v0.40.1 could not be built: 403 Forbidden\nBuilding the classic tools instead" in done.stdout
    assert set(json.loads((tmp_path / "tools" / "versions.json").read_text())) == set(tools.TOOLS)
    assert again.stdout == f"The tools are ready in {tmp_path}/tools.\n"


def test_classic_tools_that_are_there_stay_what_is_built(environ: dict[str, str], tmp_path: Path) -> None:
    build(environ)
    (tmp_path / "tools" / "gost").unlink()
    del environ["EXECUTOR_PROFILE"]

    assert "[1/1] Building gost" in build(environ).stdout
    assert not (tmp_path / "tools" / "current").exists()


def test_only_a_tool_of_another_version_is_built_again(environ: dict[str, str], tmp_path: Path) -> None:
    build(environ)
    versions = tmp_path / "tools" / "versions.json"
    versions.write_text(versions.read_text().replace("v0.6.1", "v0.4.4"))

    again = build(environ)

    assert "[1/1] Built gost in" in again.stdout
    assert json.loads(versions.read_text())["gost"] == "v0.6.1"


def test_tools_from_elsewhere_are_not_replaced(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    for name in tools.TOOLS:
        (tmp_path / "tools" / name).touch(mode=0o755)

    done = build(environ)

    assert done.stdout == f"The tools are ready in {tmp_path}/tools.\n"
    assert sorted(path.name for path in (tmp_path / "tools").iterdir()) == sorted(tools.TOOLS)


def test_an_interrupted_build_leaves_nothing_half_done(environ: dict[str, str], tmp_path: Path) -> None:
    hanging = {**environ, "HANG": "yes"}
    # A shell starts what is in the background with SIGINT ignored, and these tests may run there.
    command = ["env", "--default-signal=INT", str(BUILD)]
    with subprocess.Popen(command, env=hanging, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        assert eventually(lambda: any((tmp_path / "tools").glob(".build.*/gost.hangs")))
        os.killpg(process.pid, signal.SIGINT)

    assert process.returncode != 0
    assert [path.name for path in (tmp_path / "tools").iterdir()] == [".lock"]


def test_without_go_one_sentence_says_what_to_install(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin" / "go").unlink()
    for name in ("bash", "dirname", "sed"):
        (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")

    done = build({**environ, "PATH": f"{tmp_path}/bin"})

    assert done.returncode == 1
    assert done.stderr == (
        "Go is missing, and without it these cannot be built: "
        "gost go-cve-dictionary goval-dictionary vuls. Install Go 1.24 or later.\n"
    )


def test_a_machine_that_cannot_scan_gets_advice_on_what_to_install(tmp_path: Path) -> None:
    found = settings.read({"VULSWEB_TOOLS_DIR": str(tmp_path), "PATH": str(tmp_path)})
    (tmp_path / "gost").touch(mode=0o755)

    assert tools.advice(found) == (
        "Scans are not possible yet. Missing: vuls, go-cve-dictionary, goval-dictionary. "
        "Install Go and run `make tools`."
    )


def test_a_machine_with_all_tools_gets_no_advice(tmp_path: Path) -> None:
    found = settings.read({"VULSWEB_TOOLS_DIR": str(tmp_path), "PATH": ""})
    for name in tools.TOOLS:
        (tmp_path / name).touch(mode=0o755)

    assert tools.advice(found) is None


def test_the_current_profile_has_its_own_vuls(environ: dict[str, str], tmp_path: Path) -> None:
    found = settings.read({**environ, "EXECUTOR_PROFILE": "current"})

    before, built, after = (
        tools.advice(found),
        build({**environ, "EXECUTOR_PROFILE": "current"}),
        tools.advice(found),
    )

    assert str(before).endswith("Missing: vuls. Run `EXECUTOR_PROFILE=current make tools`.")
    assert built.returncode == 0, built.stderr
    assert after is None
    assert not (tmp_path / "tools" / "vuls").exists()
    version = IMAGES["current"]["vuls"].rpartition(":")[2]
    assert json.loads((tmp_path / "tools" / "current" / "versions.json").read_text()) == {"vuls": version}
