"""Vulnerability databases carried out of the running stack and into it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.stack import DEBIAN, ComposeStack
from tests.e2e.stack import Program
from tests.executor.database_files import cut, overwrite
from tests.support.waiting import patience

pytestmark = pytest.mark.timeout(patience(900))

LIVE = "/data/databases/gost.sqlite3"


@pytest.fixture(scope="module")
def archive(stack: ComposeStack, program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `deploy/databases export` writes once a database was fetched."""
    update = program.post("/api/scheduled-tasks/", DEBIAN | {"name": "Debian, to be carried"})
    assert program.run_to_end(update["id"], seconds=240)["status"] == "success"
    file = tmp_path_factory.mktemp("carried") / "databases.tar"
    stack.run("deploy/databases", "export", str(file))
    return file


def debian(program: Program) -> dict[str, Any]:
    """Return what the stack says of the database."""
    (found,) = (item for item in program.get("/api/databases")["items"] if item["name"] == "gost_debian")
    return {word: found[word] for word in ("rows", "fetched_at", "size_bytes")}


@pytest.fixture
def lost(stack: ComposeStack, program: Program, archive: Path) -> Iterator[dict[str, Any]]:
    """What the stack said of its database, which it lost; the test over, it has it again."""
    before = debian(program)
    stack.inside("executor", f"mv {LIVE} {LIVE}.kept")
    yield before
    stack.inside("executor", f"mv {LIVE}.kept {LIVE}")


def test_a_lost_database_is_back_as_it_was(
    stack: ComposeStack, program: Program, archive: Path, lost: dict[str, Any]
) -> None:
    without = debian(program)

    said = stack.run("deploy/databases", "import", str(archive)).stderr

    assert not without["rows"]
    assert f"gost_debian: {lost['rows']:,} rows" in said
    assert debian(program) == lost


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(overwrite, "gost.sqlite3"), (lambda path: cut(path, 0.5), "neither a complete archive")],
    ids=["a file in it is corrupt", "it broke off"],
)
def test_a_broken_archive_is_refused_and_changes_nothing(
    stack: ComposeStack, archive: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoilt = tmp_path / "spoilt.tar"
    spoilt.write_bytes(archive.read_bytes())
    spoil(spoilt)
    listed = "cd /data/databases && sha256sum *.* && ls staging"
    before = stack.inside("executor", listed)

    refused = stack.run("deploy/databases", "import", str(spoilt), check=False)

    assert refused.returncode == 1
    assert message in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert stack.inside("executor", listed) == before


@pytest.mark.usefixtures("lost")
def test_an_export_that_fails_leaves_no_file(stack: ComposeStack, tmp_path: Path) -> None:
    refused = stack.run("deploy/databases", "export", str(tmp_path / "databases.tar"), check=False)

    assert refused.returncode == 1
    assert "There is no database to export yet." in refused.stderr
    assert list(tmp_path.iterdir()) == []
