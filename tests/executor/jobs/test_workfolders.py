from pathlib import Path

import pytest

from executor.jobs.workfolders import WorkFolders

ONE, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def folders(tmp_path: Path) -> WorkFolders:
    (tmp_path / "jobs").mkdir()
    return WorkFolders(tmp_path / "jobs", tmp_path / "key")


def test_a_jobs_folder_has_the_same_name_for_every_process_of_one_executor(
    folders: WorkFolders, tmp_path: Path
) -> None:
    assert WorkFolders(tmp_path / "jobs", tmp_path / "key").path(ONE) == folders.path(ONE)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_folders_name_cannot_be_derived_without_the_key(folders: WorkFolders, tmp_path: Path) -> None:
    names = {
        folders.path(ONE),
        folders.path(OTHER),
        WorkFolders(tmp_path / "jobs", tmp_path / "another").path(ONE),
    }

    assert len(names) == 3
    assert all(job_id not in str(name) for name in names for job_id in (ONE, OTHER))


def test_only_folders_without_an_open_job_are_removed(folders: WorkFolders, tmp_path: Path) -> None:
    other = tmp_path / "jobs" / "lost+found"
    for folder in (folders.path(ONE), folders.path(OTHER), other):
        folder.mkdir()

    folders.remove_orphans(lambda: {ONE})

    assert set((tmp_path / "jobs").iterdir()) == {folders.path(ONE), other}
