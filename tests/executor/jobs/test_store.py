import json
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.jobs.job import Job, JobStatus, StepStatus, new_job
from executor.jobs.store import LOG_CUT, LOG_LIMIT_BYTES, JobStore

JOB_ID = "a" * 32


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path)


def put(store: JobStore, job_id: str = JOB_ID, group: str | None = None) -> Job:
    job = new_job(job_id, "scan", {"servers": ["a"]}, ["configtest", "scan", "report"], group=group)
    assert store.create(job)
    return job


def open_ids(store: JobStore, lane: str | None = None) -> list[str]:
    return [job.id for job in store.open_jobs(lane)]


def test_a_job_reads_back_as_it_was_written(store: JobStore) -> None:
    job = put(store)

    assert store.load(JOB_ID) == job
    assert open_ids(store) == [JOB_ID]


def test_of_many_attempts_to_create_a_job_at_once_one_succeeds(store: JobStore) -> None:
    made: list[bool] = []
    gate = threading.Barrier(8)

    def create() -> None:
        gate.wait()
        made.append(store.create(new_job(JOB_ID, "scan", {}, ["scan"])))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(made) == [False] * 7 + [True]
    assert open_ids(store) == [JOB_ID]
    assert [entry.name for entry in store.jobs_dir.iterdir()] == [JOB_ID]


def test_jobs_wait_in_the_order_they_came(store: JobStore) -> None:
    for digit in "cab":
        put(store, digit * 32)

    assert open_ids(store, "scan") == ["c" * 32, "a" * 32, "b" * 32]
    assert open_ids(store, "database_update") == []


def test_groups_take_turns_and_within_a_group_the_oldest_comes_first(store: JobStore) -> None:
    for number in range(4):
        put(store, f"a{number}".rjust(32, "0"), group="a" * 32)
    for number in range(2):
        put(store, f"b{number}".rjust(32, "0"), group="b" * 32)
    put(store, b"alone".hex().rjust(32, "0"))

    order = [job_id.lstrip("0") for job_id in open_ids(store, "scan")]
    assert order == ["a0", "b0", b"alone".hex(), "a1", "b1", "a2", "a3"]
    assert list(store.positions("scan").values()) == [1, 2, 3, 4, 5, 6, 7]


def test_a_group_that_comes_late_begins_where_the_others_are(store: JobStore) -> None:
    many = [put(store, f"a{number}".rjust(32, "0"), group="a" * 32) for number in range(8)]
    for job in many[:3]:
        job.end(JobStatus.COMPLETED)
        store.save(job)
    many[3].status = JobStatus.RUNNING
    store.save(many[3])

    for number in range(3):
        put(store, f"b{number}".rjust(32, "0"), group="b" * 32)

    assert [job_id.lstrip("0") for job_id in open_ids(store)] == [
        *("a3", "a4", "b0", "a5", "b1", "a6", "b2", "a7")
    ]
    assert store.positions("scan")["a4".rjust(32, "0")] == 1


def test_open_jobs_of_a_version_without_turns_are_found(store: JobStore) -> None:
    job = put(store)
    (entry,) = store.open_dir.iterdir()
    entry.rename(store.open_dir / f"{job.sequence:020d}-scan-{job.id}")
    document = json.loads((store.folder(job.id) / "job.json").read_bytes())
    for unknown in ("lane", "group", "turn"):
        del document[unknown]
    (store.folder(job.id) / "job.json").write_text(json.dumps(document))

    store.rename_old_entries()

    assert [(job.id, job.lane) for job in store.open_jobs("scan")] == [(JOB_ID, "scan")]


def test_a_job_has_one_owner_at_a_time(store: JobStore) -> None:
    put(store)

    with store.own(JOB_ID) as first, store.own(JOB_ID) as second:
        assert first is not None
        assert second is None


def test_an_ended_job_is_not_open_and_leaves_no_step_open(store: JobStore) -> None:
    job = put(store)
    job.steps[0].end(StepStatus.COMPLETED)
    job.steps[1].status = StepStatus.RUNNING

    job.end(JobStatus.LOST, "It was lost.")
    store.save(job)

    assert open_ids(store) == []
    assert [step.status for step in job.steps] == ["completed", "failed", "skipped"]
    assert job.steps[1].message == "It was lost."


def test_a_log_that_reaches_its_limit_says_that_it_was_cut(store: JobStore) -> None:
    put(store)

    for _ in range(12):
        store.append_log(JOB_ID, b"x" * 1024 * 1024)

    log = (store.folder(JOB_ID) / "log").read_bytes()
    assert log.endswith(LOG_CUT)
    assert len(log) == LOG_LIMIT_BYTES + len(LOG_CUT)


# A busy disk must not fail the test.
@settings(deadline=None, max_examples=50)
@given(st.one_of(st.binary(max_size=60), st.text(max_size=30).map(str.encode)), st.integers(4, 9))
def test_a_log_read_in_pieces_is_the_log_read_at_once(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, limit: int
) -> None:
    store = JobStore(tmp_path_factory.getbasetemp() / "pieces")
    store.create(new_job(JOB_ID, "scan", {}, []))
    (store.folder(JOB_ID) / "log").write_bytes(data)

    read, offset = "", 0
    while offset < len(data):
        text, offset = store.read_log(JOB_ID, offset, ended=True, limit=limit)
        read += text

    assert read == data.decode("utf-8", "replace")


def test_a_half_written_character_waits_for_its_other_half(store: JobStore) -> None:
    put(store)
    whole = "é".encode()
    store.append_log(JOB_ID, b"caf" + whole[:1])

    first = store.read_log(JOB_ID, 0, ended=False, limit=4)
    store.append_log(JOB_ID, whole[1:] + b"s")
    second = store.read_log(JOB_ID, first[1], ended=False, limit=2)

    assert first == ("caf", 3)
    assert second == ("é", 5)


def test_a_half_written_line_waits_for_its_end(store: JobStore) -> None:
    put(store)
    store.append_log(JOB_ID, b"one\ntw")

    first = store.read_log(JOB_ID, 0, ended=False)
    at_its_end = store.read_log(JOB_ID, first[1], ended=True)

    assert first == ("one\n", 4)
    assert at_its_end == ("tw", 6)


def test_pruning_removes_old_ended_jobs_but_not_open_or_recent_ones(store: JobStore) -> None:
    old, recent, still_open = (put(store, digit * 32) for digit in "123")
    long_ago = time.time() - 8 * 24 * 60 * 60
    for job in (old, recent):
        job.end(JobStatus.COMPLETED)
        store.save(job)
    for job in (old, still_open):
        os.utime(store.folder(job.id) / "job.json", (long_ago, long_ago))

    store.prune(keep_days=7)

    assert store.load(old.id) is None
    assert store.load(recent.id) is not None
    assert store.load(still_open.id) is not None


def test_the_open_entry_of_an_ended_job_is_removed(store: JobStore) -> None:
    job = put(store)
    (entry,) = store.open_dir.iterdir()
    job.end(JobStatus.COMPLETED)
    store.save(job)
    entry.touch()

    assert open_ids(store) == []
    assert not entry.exists()


def test_a_job_whose_creator_died_before_adding_its_entry_is_found(store: JobStore) -> None:
    job = put(store)
    for entry in store.open_dir.iterdir():
        entry.unlink()
    long_ago = time.time() - 8 * 24 * 60 * 60
    os.utime(store.folder(job.id) / "job.json", (long_ago, long_ago))

    store.prune(keep_days=7)

    assert open_ids(store) == [JOB_ID]
