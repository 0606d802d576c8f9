"""Atomic writes to the managed folder."""

import stat
from pathlib import Path

import pytest

from vulsweb.ssh import folder
from vulsweb.ssh.folder import NewFile


def test_an_existing_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("old")
    path.chmod(0o640)

    folder.write(NewFile(path, "new", folder.PUBLIC))

    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_text("old")
    (tmp_path / "config.toml").symlink_to(real)

    folder.write(NewFile(tmp_path / "config.toml", "new", folder.PUBLIC))

    assert (tmp_path / "config.toml").is_symlink()
    assert real.read_text() == "new"


def test_if_one_of_two_files_cannot_be_written_neither_changes(tmp_path: Path) -> None:
    first = tmp_path / "config"
    first.write_text("old")

    with pytest.raises(OSError, match="nowhere"):
        folder.write(
            NewFile(first, "new", folder.PUBLIC),
            NewFile(tmp_path / "nowhere" / "x", "new", folder.PUBLIC),
        )

    assert first.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["config"]


def test_creating_never_replaces(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("first")

    with pytest.raises(FileExistsError):
        folder.create(NewFile(tmp_path / "key", "second", folder.PRIVATE))

    assert [path.read_text() for path in tmp_path.iterdir()] == ["first"]
