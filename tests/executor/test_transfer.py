"""Databases moved from one executor to another: the same checks as a fetch, and all or nothing."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from executor.databases.catalogue import SECTIONS
from executor.databases.folder import DatabaseFolder
from executor.recipes.commands import fetch_command
from executor.transfer import main
from tests import vuls2
from tests.executor.callers import until
from tests.executor.database_files import cut, filled, keep_waiting, overwrite
from tests.mirror.documents import shipped_documents
from tests.mirror.server import mirror
from tests.vuls2 import FLAWS


@pytest.fixture(scope="session")
def real(tools_dir: Path, vuls2_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The databases folder of an executor: fetched with the real tools, and a vuls2 database."""
    folder = DatabaseFolder(tmp_path_factory.mktemp("there"))
    with mirror(shipped_documents()) as feeds:
        environment = {
            "HTTPS_PROXY": feeds.proxy_url,
            "HTTP-PROXY": feeds.proxy_url,
            "SSL_CERT_FILE": str(feeds.ca_file),
            "HOME": str(folder.folder),
            "PATH": "/usr/bin:/bin",
        }

        def fetch(name: str) -> Callable[[Path], None]:
            def run(path: Path) -> None:
                command = fetch_command(name, path, 60)
                words = [str(tools_dir / command.tool), *command.arguments]
                subprocess.run(words, env=environment, check=True, capture_output=True)

            return run

        for name in ("gost_debian", "nvd"):
            folder.update(name, fetch(name), keep_waiting)
    folder.update("vuls2", lambda path: vuls2.make(vuls2_tools / "vuls2", path, FLAWS), keep_waiting)
    shutil.rmtree(folder.staging / "vuls2.db-extracted")
    return folder.folder


@pytest.fixture
def here(tmp_path: Path) -> DatabaseFolder:
    """The databases of an executor without internet."""
    return DatabaseFolder(tmp_path / "here")


def transfer(folder: DatabaseFolder, *words: str | Path) -> int:
    return main(["--databases", str(folder.folder), *map(str, words)])


def state(folder: DatabaseFolder) -> dict[str, Any]:
    return {path.name: path.read_bytes() for path in folder.folder.iterdir() if path.is_file()}


def test_an_export_is_imported_with_its_rows_and_times(
    real: Path, here: DatabaseFolder, tmp_path: Path
) -> None:
    there = DatabaseFolder(real)

    assert transfer(there, "export", tmp_path / "databases.tar") == 0
    assert transfer(here, "import", tmp_path / "databases.tar") == 0

    assert here.present() == there.present()
    assert set(here.present()) == {"gost_debian", "nvd", "vuls2"}
    assert list(here.staging.iterdir()) == []


@pytest.mark.parametrize("file", ["gost.sqlite3", "cve.sqlite3", "vuls2.db"])
def test_one_file_is_imported_alone_by_its_name(real: Path, here: DatabaseFolder, file: str) -> None:
    assert transfer(here, "import", real / file) == 0

    assert [path.name for path in here.folder.iterdir() if path.is_file()] == [file]


def test_a_folder_is_imported_without_its_other_files(real: Path, here: DatabaseFolder) -> None:
    assert transfer(here, "import", real) == 0

    assert here.present() == DatabaseFolder(real).present()


def test_an_archive_can_be_read_from_standard_input_and_written_to_standard_output(
    real: Path, here: DatabaseFolder
) -> None:
    command = [sys.executable, "-m", "executor.transfer", "--databases"]
    root = Path(__file__).parents[2]
    out = subprocess.run([*command, str(real), "export", "-"], capture_output=True, cwd=root, check=True)
    settings = {**os.environ, "EXECUTOR_DATABASES_DIR": str(here.folder)}

    words = [*command[:-1], "import", "-"]
    done = subprocess.run(words, input=out.stdout, capture_output=True, cwd=root, env=settings, check=True)

    assert here.present() == DatabaseFolder(real).present()
    assert b"vuls2: 6 rows, fetched 20" in done.stderr


@pytest.mark.parametrize("file", ["gost.sqlite3", "vuls2.db"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: cut(path, 0.5),
        lambda path: cut(path, 0),
        overwrite,
        lambda path: path.write_text("<html>"),
    ],
    ids=["truncated", "empty", "corrupt", "error page of a proxy"],
)
def test_a_damaged_file_is_refused_with_a_sentence_and_changes_nothing(
    real: Path,
    here: DatabaseFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    damage: Callable[[Path], None],
) -> None:
    transfer(here, "import", real / file)
    before = state(here)
    damaged = tmp_path / "damaged"
    shutil.copytree(real, damaged)
    damage(damaged / file)

    # The undamaged files next to it are not imported either.
    assert transfer(here, "import", damaged) == 1

    assert "nothing was changed" in capsys.readouterr().err
    assert state(here) == before
    assert list(here.staging.iterdir()) == []


def test_an_incomplete_archive_is_refused(
    real: Path, here: DatabaseFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "databases.tar"
    transfer(DatabaseFolder(real), "export", archive)
    cut(archive, 0.6)

    assert transfer(here, "import", archive) == 1

    assert "neither a complete archive" in capsys.readouterr().err
    assert state(here) == {}


def test_a_database_under_anothers_name_is_refused(
    real: Path, here: DatabaseFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(real / "gost.sqlite3", tmp_path / "oval.sqlite3")
    shutil.copyfile(real / "gost.sqlite3", tmp_path / "vuls2.db")

    assert transfer(here, "import", tmp_path / "oval.sqlite3") == 1
    assert "oval.sqlite3 holds no rows" in capsys.readouterr().err
    assert transfer(here, "import", tmp_path / "vuls2.db") == 1
    assert "vuls2.db is damaged (it is not a bbolt file)" in capsys.readouterr().err
    assert state(here) == {}


def test_a_database_that_lost_most_rows_does_not_replace_a_full_one(
    here: DatabaseFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here.update("gost_debian", filled(100), keep_waiting)
    before = state(here)
    filled(10)(tmp_path / "gost.sqlite3")

    assert transfer(here, "import", tmp_path / "gost.sqlite3") == 1

    assert "would shrink from 100 to 10 rows" in capsys.readouterr().err
    assert state(here) == before


def test_the_time_of_the_fetch_stays(here: DatabaseFolder, tmp_path: Path) -> None:
    filled(10)(tmp_path / "gost.sqlite3")

    transfer(here, "import", tmp_path / "gost.sqlite3")

    assert here.present()["gost_debian"]["fetched_at"] == "2025-05-05T01:02:03Z"


def test_an_import_waits_for_a_running_report_and_says_so(
    here: DatabaseFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    filled(10)(tmp_path / "gost.sqlite3")
    importing = threading.Thread(target=transfer, args=(here, "import", tmp_path / "gost.sqlite3"))

    with here.lock_for_reading(SECTIONS["classic"], keep_waiting):
        importing.start()
        said = until(lambda: capfd.readouterr().err or None)
        assert state(here) == {}
    importing.join()

    assert "Waiting" in said
    assert set(state(here)) == {"gost.sqlite3"}


@pytest.mark.parametrize("name", ["../../gost.sqlite3", "/etc/evil/gost.sqlite3"])
def test_an_archive_cannot_choose_where_it_writes(here: DatabaseFolder, tmp_path: Path, name: str) -> None:
    filled(10)(tmp_path / "made")
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "made", name)
        link = tarfile.TarInfo("cve.sqlite3")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link, io.BytesIO())

    assert transfer(here, "import", archive) == 0

    assert set(state(here)) == {"gost.sqlite3"}


@pytest.mark.parametrize("what", ["nothing-there.tar", "notes.txt"])
def test_other_files_are_refused(
    here: DatabaseFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    (tmp_path / "notes.txt").write_text("Buy milk.")

    assert transfer(here, "import", tmp_path / what) == 1

    assert "nothing was changed" in capsys.readouterr().err


def test_an_executor_without_databases_has_nothing_to_export(
    here: DatabaseFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert transfer(here, "export", tmp_path / "none.tar") == 1

    assert "no database to export" in capsys.readouterr().err
    assert not (tmp_path / "none.tar").exists()


@pytest.fixture
def command(here: DatabaseFolder, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run deploy/databases, with a Compose that runs the executor's command on this machine."""
    root = Path(__file__).parents[2]
    deploy = tmp_path / "stack" / "deploy"
    deploy.mkdir(parents=True)
    shutil.copy(root / "deploy" / "databases", deploy)
    (deploy / "compose").write_text(
        '#!/bin/sh\n[ "$1 $2 $3 $4 $5" = "run --rm --no-deps -T executor" ] || exit 9\nshift 6\n'
        f'cd "{root}" && EXECUTOR_DATABASES_DIR="{here.folder}" exec "{sys.executable}" "$@"\n'
    )
    (deploy / "compose").chmod(0o755)

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [deploy / "databases", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.parametrize("how", ["archive", "folder", "files"])
def test_the_stacks_command_imports_archives_folders_and_files(
    real: Path,
    here: DatabaseFolder,
    command: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    how: str,
) -> None:
    if how == "archive":
        transfer(DatabaseFolder(real), "export", tmp_path / "there.tar")
    sources: dict[str, list[str | Path]] = {
        "archive": ["there.tar"],
        "folder": [real],
        "files": [*sorted(real.glob("*.*"))],
    }

    done = command("import", *sources[how])

    assert done.returncode == 0, done.stderr
    assert here.present() == DatabaseFolder(real).present()
    assert command("export", "again.tar").returncode == 0
    with tarfile.open(tmp_path / "again.tar") as archive:
        assert sorted(archive.getnames()) == ["cve.sqlite3", "gost.sqlite3", "vuls2.db"]


def test_the_stacks_command_fails_if_the_import_fails(
    real: Path, here: DatabaseFolder, command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    transfer(DatabaseFolder(real), "export", tmp_path / "there.tar")
    cut(tmp_path / "there.tar", 0.3)

    done = command("import", "there.tar")

    assert done.returncode == 1
    assert "nothing was changed" in done.stderr
    assert command("export", "none.tar").returncode == 1
    assert not (tmp_path / "none.tar").exists()


def test_the_stacks_command_imports_all_files_or_none(
    real: Path, here: DatabaseFolder, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = command("import", real / "gost.sqlite3", real / "oval.sqlite3")

    assert done.returncode == 1
    assert "oval.sqlite3 cannot be read; nothing was changed" in done.stderr
    assert state(here) == {}
