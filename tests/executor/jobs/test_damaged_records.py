"""Records of jobs that cannot be read: each is set aside, and nothing else stops."""

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from executor.jobs.job import Job, JobStatus, new_job
from executor.jobs.store import DAMAGED, DAMAGED_NAME, JobStore
from tests.executor.callers import until
from tests.executor.conftest import Server, caller_of
from tests.executor.fakes import FakeTools
from tests.executor.processes import SLEEP, is_alive, runners

JOB_ID, OTHER_ID = "a" * 32, "b" * 32
# None is a folder in the place of the file.
DAMAGES: list[bytes | None] = [
    b"",
    b"\x00" * 512,
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b'{"id": "x", "steps": [1], "kind": "scan", "status": "queued"}',
    b'{"id": "x", "steps": [], "kind": "scan", "status": "dreaming"}',
    b"[" * 100_000,
    None,
]


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path)


def put(store: JobStore, job_id: str) -> Job:
    job = new_job(job_id, "scan", {"servers": ["a"]}, ["configtest", "scan", "report"])
    assert store.create(job)
    return job


def damage(record: Path, content: bytes | None) -> None:
    record.unlink()
    record.mkdir() if content is None else record.write_bytes(content)


def expect_lost(job: Job | None) -> None:
    assert job is not None
    assert (job.status, job.error) == (JobStatus.LOST, DAMAGED)


@pytest.mark.parametrize("content", DAMAGES, ids=lambda content: repr(content)[:20])
def test_a_damaged_record_is_set_aside_and_its_job_is_lost(
    store: JobStore, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, JOB_ID)
    other = put(store, OTHER_ID)
    damage(store.folder(JOB_ID) / "job.json", content)

    with caplog.at_level(logging.ERROR):
        open_jobs = store.open_jobs()

    assert open_jobs == [other]
    expect_lost(store.load(JOB_ID))
    aside = store.folder(JOB_ID) / DAMAGED_NAME
    assert aside.is_dir() if content is None else aside.read_bytes() == content
    assert JOB_ID in caplog.text
    assert len(list(store.open_dir.iterdir())) == 1


def test_a_record_cut_anywhere_is_read_as_damaged_and_never_as_another_job(store: JobStore) -> None:
    put(store, JOB_ID)
    record = store.folder(JOB_ID) / "job.json"
    whole = record.read_bytes()

    for length in range(len(whole)):
        record.write_bytes(whole[:length])
        expect_lost(store.load(JOB_ID))

    record.write_bytes(whole.replace(JOB_ID.encode(), OTHER_ID.encode()))
    expect_lost(store.load(JOB_ID))


def test_only_the_owner_of_a_job_replaces_its_record(store: JobStore) -> None:
    job = put(store, JOB_ID)
    with store.own(JOB_ID):
        damage(store.folder(JOB_ID) / "job.json", b"{")

        assert (store.load(JOB_ID), store.open_jobs()) == (None, [])

        store.save(job)
    assert store.open_jobs() == [job]
    assert not (store.folder(JOB_ID) / DAMAGED_NAME).exists()


def test_missing_rights_are_not_taken_for_damage(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, JOB_ID)

    def refused(_path: Path) -> bytes:
        raise PermissionError

    with monkeypatch.context() as away:
        away.setattr(Path, "read_bytes", refused)
        with pytest.raises(PermissionError):
            store.load(JOB_ID)

    assert store.load(JOB_ID) is not None


def test_stray_files_among_the_open_jobs_stop_nothing(store: JobStore) -> None:
    job = put(store, JOB_ID)
    for name in ("lost+found", ".DS_Store", "1-2-scan-3", "a-b-c-d-e"):
        (store.open_dir / name).touch()

    store.rename_old_entries()

    assert store.open_jobs() == [job]


def test_an_executor_with_damaged_records_starts_and_runs_all_other_jobs(
    variables: dict[str, str], start: Callable[[], Flask], fakes: FakeTools, data: Path
) -> None:
    fakes.vuls()
    store = JobStore(data)
    request = {"servers": ["localhost"], "scan_type": "fast"}
    for job_id in (JOB_ID, OTHER_ID):
        assert store.create(new_job(job_id, "scan", request, ["configtest", "scan", "report"]))
    record = store.folder(JOB_ID) / "job.json"
    damage(record, record.read_bytes()[:100])

    call = caller_of(start())

    assert call.finished(OTHER_ID)["status"] == "completed"
    lost = call.job(JOB_ID)
    assert (lost["status"], lost["error"], lost["results"]) == ("lost", DAMAGED, [])
    # Whoever asks again hears the same, and not that it is another job.
    assert call("POST", "/scan", {"job_id": JOB_ID, **request})[1]["status"] == "lost"
    assert call("GET", f"/jobs?ids={JOB_ID},{OTHER_ID}")[0] == 200


def test_no_tool_outlives_the_record_of_its_job(
    server: Server, fakes: FakeTools, tool: Callable[[], int], data: Path
) -> None:
    fakes.vuls(scan=SLEEP)
    server.start()
    job_id = server.call.submit_scan()
    pid = tool()
    server.signal(signal.SIGKILL)
    for runner in runners(data):
        os.kill(runner, signal.SIGKILL)
    until(lambda: not runners(data))
    damage(data / "jobs" / job_id / "job.json", b'{"id": ')

    server.start()

    assert server.call.job(job_id)["status"] == "lost"
    until(lambda: not is_alive(pid))
    assert not (data / "jobs" / job_id / "work").exists()
