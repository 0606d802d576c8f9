"""A run's life."""

import json
import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import NOW, executors_at
from vulsweb.executors.client import Job
from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.models import Finding, Result, Run, RunJob, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import conclusions, jobs, lifecycle, logs, targets
from vulsweb.runs import starting as run_starting
from vulsweb.vuls.results import Severity

MakeTask = Callable[..., ScheduledTask]
LATER = NOW + timedelta(minutes=5)
EXECUTORS = executors_at("http://127.0.0.1:1")


def job(status: str = "completed", **fields: Any) -> Job:
    given: dict[str, Any] = {
        "id": "0" * 32,
        "status": status,
        "steps": [],
        "log_size": 0,
        "error": None,
        "results": [],
        "databases": {"gost_debian": {"rows": 300}},
        "tests": [],
    }
    return Job(**(given | fields))


def accept(run: Run, told: Job, now: datetime) -> RunJob:
    """Let the executor have taken the run's job."""
    assert targets.prepare(run, EXECUTORS) is None
    jobs.record_reply(run.jobs[0], told, now)
    lifecycle.mark_running_or_waiting(run)
    return run.jobs[0]


def conclude(run: Run, told: Job, documents: Iterable[tuple[str, bytes]], now: datetime) -> None:
    """Let the run's one job have ended."""
    assert targets.prepare(run, EXECUTORS) is None
    conclusions.conclude(run, run.jobs[0], told, documents, now)


@pytest.fixture
def running(make_task: MakeTask) -> Run:
    """A scan of host-1 that the executor has accepted."""
    run = run_starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
    db.session.commit()
    claimed = lifecycle.claim(run.id, NOW)
    assert claimed is not None
    accept(claimed, job("running"), NOW)
    db.session.commit()
    return claimed


@pytest.fixture
def document(data: Path) -> Callable[..., bytes]:
    """Make a result document of host-1 with these CVE ids, all of high severity."""
    found = json.loads((data / "scan_without_database.json").read_text())

    def make(*cve_ids: str, **changes: Any) -> bytes:
        entry = {
            "affectedPackages": [{"name": "apt", "fixedIn": "2.6.2"}],
            "cveContents": {"nvd": [{"cvss3Score": 7.5, "title": "Bad"}]},
        }
        return json.dumps(found | {"scannedCves": dict.fromkeys(cve_ids, entry)} | changes).encode()

    return make


def test_a_run_asks_for_what_its_task_says(make_task: MakeTask) -> None:
    scan = run_starting.start(make_task(scan_type="full"), trigger=Trigger.API, now=NOW)
    update = run_starting.start(
        make_task(task_type="db_update", database_type="gost_debian"), trigger=Trigger.API, now=NOW
    )

    assert scan.request == {"servers": ["host-1"], "scan_type": "full"}
    assert update.request == {"database": "gost_debian"}


def test_a_second_click_finds_the_first_run(make_task: MakeTask) -> None:
    task = make_task()
    first = run_starting.start(task, trigger=Trigger.PERSON, now=NOW)
    db.session.commit()

    with pytest.raises(run_starting.AlreadyActive) as refusal:
        run_starting.start(task, trigger=Trigger.PERSON, now=NOW)

    assert refusal.value.run == first
    assert "already queued" in str(refusal.value)


def race(app: Flask, act: Callable[[], Any], times: int = 4) -> list[Any]:
    """Do `act` in several sessions at once and return what each came to."""
    together = threading.Barrier(times)
    answers: list[Any] = []

    def one() -> None:
        with app.app_context():
            together.wait()
            try:
                answers.append(act())
                db.session.commit()
            except run_starting.AlreadyActive as error:
                db.session.rollback()
                answers.append(error)
            db.session.remove()

    threads = [threading.Thread(target=one) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_four_clicks_at_once_make_one_run(app: Flask, make_task: MakeTask) -> None:
    task_id = make_task().id

    def click() -> int:
        task = db.session.get_one(ScheduledTask, task_id)
        return run_starting.start(task, trigger=Trigger.PERSON, now=NOW).id

    answers = race(app, click)

    assert sum(isinstance(answer, int) for answer in answers) == 1
    assert len(db.session.scalars(select(Run.id)).all()) == 1


def test_four_workers_at_once_claim_a_run_once(app: Flask, make_task: MakeTask) -> None:
    run_id = run_starting.start(make_task(), trigger=Trigger.PERSON, now=NOW).id
    db.session.commit()

    answers = race(app, lambda: lifecycle.claim(run_id, NOW) is not None)

    assert sorted(answers) == [False, False, False, True]


def test_a_claim_that_a_dead_worker_left_can_be_taken_after_a_minute(make_task: MakeTask) -> None:
    run = run_starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
    lifecycle.claim(run.id, NOW)
    db.session.commit()

    early = lifecycle.claim(run.id, NOW + timedelta(seconds=59))
    late = lifecycle.claim(run.id, NOW + timedelta(seconds=61))

    assert early is None
    assert late is not None
    assert late.started_at == NOW


def test_a_scan_that_found_something_is_a_success_with_findings(
    running: Run, document: Callable[..., bytes]
) -> None:
    conclude(running, job(), [("host-1", document("CVE-1", "CVE-2"))], LATER)
    db.session.commit()

    assert (running.status, running.reason) == (RunStatus.SUCCESS, None)
    assert running.duration == timedelta(minutes=5)
    assert running.result_data is not None
    assert running.result_data["severity_counts"]["high"] == 2
    assert (running.result_data["opened"], running.result_data["fixed"]) == (2, 0)
    seen = storage.of_run(running.id)
    assert [(one.finding.cve_id, one.host.name, one.new) for one in seen] == [
        ("CVE-1", "host-1", True),
        ("CVE-2", "host-1", True),
    ]
    assert storage.open_counts()[Severity.HIGH] == 2


def conclude_again(task: ScheduledTask, leaves: bytes, databases: dict[str, Any] | None = None) -> Run:
    run = run_starting.start(task, trigger=Trigger.PERSON, now=LATER)
    claimed = lifecycle.claim(run.id, LATER)
    assert claimed is not None
    done = job() if databases is None else job(databases=databases)
    accept(claimed, done, LATER)
    conclude(claimed, done, [("host-1", leaves)], LATER)
    db.session.commit()
    return claimed


def test_what_a_later_scan_does_not_find_is_fixed_and_what_returns_is_open_again(
    running: Run, document: Callable[..., bytes]
) -> None:
    conclude(running, job(), [("host-1", document("CVE-1", "CVE-2"))], NOW)
    second = conclude_again(running.task, document("CVE-2", "CVE-3"))
    third = conclude_again(running.task, document("CVE-1", "CVE-2", "CVE-3"))

    assert second.result_data is not None
    assert (second.result_data["opened"], second.result_data["fixed"]) == (1, 1)
    assert third.result_data is not None
    assert (third.result_data["opened"], third.result_data["fixed"]) == (1, 0)
    returned = db.session.scalars(select(Finding).where(Finding.cve_id == "CVE-1")).one()
    assert (returned.first_seen_at, returned.fixed_at) == (NOW, None)
    assert [seen.finding.cve_id for seen in storage.of_run(running.id)] == ["CVE-1", "CVE-2"]


def test_without_a_database_the_scan_is_partial_and_nothing_is_taken_for_fixed(
    running: Run, document: Callable[..., bytes]
) -> None:
    conclude(running, job(), [("host-1", document("CVE-1"))], NOW)
    blind = conclude_again(running.task, document(), databases={})

    assert blind.status is RunStatus.PARTIAL
    assert "no vulnerability database for debian, so nothing" in str(blind.reason)
    assert storage.open_counts()[Severity.HIGH] == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"errors": ["ssh: no route"]}, "ssh: no route"),
        ({"jsonVersion": 9}, "cannot be read. jsonVersion is 9"),
    ],
)
def test_a_result_that_cannot_be_used_fails_the_run_and_stores_nothing(
    running: Run, document: Callable[..., bytes], changes: dict[str, Any], said: str
) -> None:
    conclude(running, job(), [("host-1", document("CVE-1", **changes))], LATER)
    db.session.commit()

    assert running.status is RunStatus.FAILED
    assert said in str(running.reason)
    assert db.session.scalars(select(Result)).all() == []
    assert db.session.scalars(select(Finding)).all() == []


def test_a_scan_that_left_nothing_fails_with_the_executors_sentence(running: Run) -> None:
    steps = [{"name": "configtest", "status": "failed"}]
    conclude(running, job("failed", error="vuls was not found.", steps=steps), [], LATER)

    assert (running.status, running.reason) == (RunStatus.FAILED, "host-1: vuls was not found.")


def test_one_bad_host_does_not_fail_the_others(running: Run, document: Callable[..., bytes]) -> None:
    running.jobs[0].request = {"servers": ["host-1", "host-2"], "scan_type": "fast"}

    conclude(running, job(), [("host-1", document("CVE-1")), ("host-2", b"{")], LATER)

    assert running.status is RunStatus.PARTIAL
    assert storage.open_counts()[Severity.HIGH] == 1


def step(name: str, status: str = "completed", message: str | None = None) -> dict[str, Any]:
    return {"name": name, "status": status, "message": message}


@pytest.mark.parametrize(
    ("steps", "status", "reason"),
    [
        ([step("nvd"), step("debian")], RunStatus.SUCCESS, None),
        (
            [step("nvd"), step("debian", "failed", "No route.")],
            RunStatus.PARTIAL,
            "1 of 2 databases updated. debian: No route.",
        ),
        ([step("nvd", "failed", "404.")], RunStatus.FAILED, "nvd: 404."),
        ([], RunStatus.FAILED, "The executor was stopped."),
    ],
)
def test_an_update_is_judged_database_by_database(
    make_task: MakeTask, steps: list[dict[str, Any]], status: RunStatus, reason: str | None
) -> None:
    run = run_starting.start(
        make_task(task_type="db_update", database_type="all"), trigger=Trigger.API, now=NOW
    )
    ended = job("failed", steps=steps, error="The executor was stopped.", databases={"nvd": {"rows": 7}})

    conclude(run, ended, [], LATER)

    assert (run.status, run.reason) == (status, reason)
    assert run.result_data is not None
    assert all(line["rows"] == 7 for line in run.result_data["databases"] if line["name"] == "nvd")


def test_a_job_that_was_cancelled_cancels_the_run(running: Run) -> None:
    conclude(running, job("cancelled"), [], LATER)

    assert running.status is RunStatus.CANCELLED


def test_a_run_that_is_over_stays_as_it_is(running: Run) -> None:
    lifecycle.end(running, RunStatus.FAILED, "first", NOW)

    lifecycle.end(running, RunStatus.SUCCESS, None, LATER)
    lifecycle.cancel(running, LATER)

    assert (running.status, running.reason, running.completed_at) == (RunStatus.FAILED, "first", NOW)


def test_a_queued_run_is_cancelled_at_once_and_a_running_one_by_the_executor(
    make_task: MakeTask, running: Run
) -> None:
    queued = run_starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)

    lifecycle.cancel(queued, LATER)
    lifecycle.cancel(running, LATER)

    assert queued.status is RunStatus.CANCELLED
    assert (running.status, running.cancel_requested_at) == (RunStatus.RUNNING, LATER)


def test_a_log_is_kept_in_pieces_and_read_from_any_of_them(running: Run) -> None:
    for piece, next_offset in (("one\n", 4), ("zwei ü\n", 12), ("", 12)):
        logs.append(running, running.jobs[0], piece, next_offset)
    db.session.commit()

    assert logs.read_from(running.id, 0) == ("one\nzwei ü\n", 12)
    assert logs.read_from(running.id, 4) == ("zwei ü\n", 12)
    assert logs.read_from(running.id, 12) == ("", 12)
    with pytest.raises(ValueError, match="`offset` is 0"):
        logs.read_from(running.id, 5)


def test_stranded_runs_are_found(make_task: MakeTask, running: Run) -> None:
    queued = run_starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
    starting = run_starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
    lifecycle.claim(starting.id, NOW)
    db.session.commit()

    soon, later = NOW + timedelta(seconds=30), NOW + timedelta(seconds=90)

    assert (list(lifecycle.stranded(soon)), list(jobs.without_reply("main", soon))) == ([], [])
    assert list(lifecycle.stranded(later)) == [queued.id, starting.id]
    assert list(jobs.without_reply("main", later)) == [(running.jobs[0].id, running.id)]
    assert {run.id for run in lifecycle.overdue(NOW + timedelta(hours=7), timedelta(hours=6))} == {
        running.id,
        queued.id,
        starting.id,
    }
