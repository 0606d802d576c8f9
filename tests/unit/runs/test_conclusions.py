"""Judging runs by the results of their jobs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.conftest import NOW
from tests.unit.runs.support import LATER, MakeTask, accept, conclude, job
from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.models import Finding, JobStatus, Result, Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import conclusions, lifecycle, starting
from vulsweb.runs import jobs as run_jobs
from vulsweb.vuls.results import Severity


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
    run = starting.start(task, trigger=Trigger.PERSON, now=LATER)
    claimed = lifecycle.claim(run.id, LATER)
    assert claimed is not None
    done = job() if databases is None else job(databases=databases)
    accept(claimed, done, LATER)
    conclude(claimed, done, [("host-1", leaves)], LATER)
    db.session.commit()
    return claimed


def test_findings_missing_from_a_later_scan_are_fixed_and_open_again_when_found(
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


def test_without_a_database_the_scan_is_partial_and_no_finding_is_fixed(
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


def test_a_scan_without_results_fails_with_the_executors_error(running: Run) -> None:
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
        (
            [step("nvd", "skipped", "It has ended."), step("debian")],
            RunStatus.SUCCESS,
            "Skipped: nvd. Upstream has ended the feed.",
        ),
        (
            [step("nvd", "skipped", "It has ended."), step("debian"), step("redhat", "failed", "No route.")],
            RunStatus.PARTIAL,
            "1 of 3 databases updated. redhat: No route.",
        ),
        ([step("nvd", "skipped", "It has ended.")], RunStatus.FAILED, "nvd: It has ended."),
        # Skipped, because the job ended before.
        (
            [step("nvd"), step("debian", "skipped")],
            RunStatus.PARTIAL,
            "1 of 2 databases updated. debian: skipped",
        ),
        ([step("nvd", "failed", "404.")], RunStatus.FAILED, "nvd: 404."),
        ([], RunStatus.FAILED, "The executor was stopped."),
    ],
)
def test_an_update_is_judged_database_by_database(
    make_task: MakeTask, steps: list[dict[str, Any]], status: RunStatus, reason: str | None
) -> None:
    run = starting.start(make_task(task_type="db_update", database_type="all"), trigger=Trigger.API, now=NOW)
    ended = job("failed", steps=steps, error="The executor was stopped.", databases={"nvd": {"rows": 7}})

    conclude(run, ended, [], LATER)

    assert (run.status, run.reason) == (status, reason)
    assert run.result_data is not None
    assert all(line["rows"] == 7 for line in run.result_data["databases"] if line["name"] == "nvd")


def test_a_job_that_was_cancelled_cancels_the_run(running: Run) -> None:
    conclude(running, job("cancelled"), [], LATER)

    assert running.status is RunStatus.CANCELLED


@pytest.mark.parametrize(
    ("hours", "reason"), [(6, "Timed out after 6 hours."), (1, "Timed out after 1 hour.")]
)
def test_a_run_past_its_deadline_says_how_long_it_may_take(running: Run, hours: int, reason: str) -> None:
    conclusions.time_out(running, timedelta(hours=hours), LATER)

    assert (running.status, running.reason) == (RunStatus.TIMEOUT, reason)


@pytest.mark.parametrize("status", [status for status in JobStatus if status is not JobStatus.WAITING])
def test_a_reply_never_ends_a_job_since_only_a_conclusion_stores_its_results(
    running: Run, status: JobStatus
) -> None:
    (job_row,) = running.jobs

    run_jobs.record_reply(job_row, job(status.value), LATER)
    db.session.commit()

    assert job_row.status.is_with_executor
    assert [row.id for row in run_jobs.to_poll(job_row.executor)] == [job_row.id]


def test_a_run_whose_results_are_all_stored_is_ended_and_no_job_is_followed_again(
    running: Run, document: Callable[..., bytes]
) -> None:
    (one,) = running.jobs
    conclusions.conclude(running, one, job(), [("host-1", document("CVE-1"))], NOW)
    running.status, running.completed_at = RunStatus.RUNNING, None
    db.session.commit()

    (found,) = lifecycle.unfollowed()
    conclusions.reopen(found, LATER)

    assert (running.status, one.status) == (RunStatus.SUCCESS, JobStatus.COMPLETED)
    assert running.result_data is not None
    assert running.result_data["opened"] == 1


def test_a_running_run_without_jobs_is_ended_with_a_sentence(running: Run) -> None:
    db.session.delete(running.jobs[0])
    db.session.commit()
    db.session.refresh(running)

    (found,) = lifecycle.unfollowed()
    conclusions.reopen(found, LATER)

    assert (running.status, running.reason) == (RunStatus.FAILED, conclusions.NO_JOBS)


def test_a_run_with_an_open_job_or_about_to_get_its_jobs_is_not_unfollowed(
    running: Run, make_task: MakeTask
) -> None:
    starting_run = starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
    lifecycle.claim(starting_run.id, NOW)
    db.session.commit()

    assert running.jobs[0].status.is_with_executor
    assert lifecycle.unfollowed() == []
