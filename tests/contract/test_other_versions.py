"""An executor of another version: what it says is not understood, until it is."""

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from tests.contract.conftest import Tools, follow
from vulsweb import worker
from vulsweb.executors.client import ExecutorClient
from vulsweb.extensions import db
from vulsweb.models import Absence, Host, Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import lifecycle, starting

STEP = {"name": "scan", "status": "running", "message": None}
# What another version may say of a job, and how the sentence goes on.
ODD_JOBS: list[tuple[dict[str, Any], str]] = [
    ({"status": "paused"}, 'status of the job is "paused".'),
    ({"status": 5}, "status of the job is 5."),
    ({"status": ["running"]}, 'status of the job is ["running"].'),
    ({"steps": "none"}, 'steps of the job is "none".'),
    ({"steps": ["scan"]}, 'a step is "scan".'),
    ({"steps": [{"name": "scan"}]}, "a step has no status."),
    ({"steps": [STEP | {"status": "dreaming"}]}, 'status of a step is "dreaming".'),
    ({"steps": [STEP | {"done": "half"}]}, 'done of a step is "half".'),
    ({"log_size": "12"}, 'log_size of the job is "12".'),
    ({"log_size": True}, "log_size of the job is true."),
    ({"log_size": 2**40}, f"log_size of the job is {2**40}."),
    ({"error": {"text": "x"}}, 'error of the job is {"text": "x"}.'),
    ({"results": None}, "results of the job is null."),
    ({"results": [{"server": "host-1", "url": "@192.0.2.1/"}]}, 'url of a result is "@192.0.2.1/".'),
    ({"databases": []}, "databases of the job is []."),
    ({"databases": {"nvd": {"rows": "many"}}}, 'rows of a database is "many".'),
]

pytestmark = pytest.mark.usefixtures("executor_server")


class Answers:
    """Changes what the executor answers to a path."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.change: Callable[[str, dict[str, Any]], None] = lambda _path, _answer: None
        real = ExecutorClient._json

        def changed(client: ExecutorClient, method: str, path: str, **arguments: Any) -> dict[str, Any]:
            answer = copy.deepcopy(real(client, method, path, **arguments))
            self.change(path, answer)
            return answer

        monkeypatch.setattr(ExecutorClient, "_json", changed)

    def of_jobs(self, fields: dict[str, Any]) -> None:
        """Have every job described with these fields."""

        def change(path: str, answer: dict[str, Any]) -> None:
            for job in answer.get("jobs", []) if path == "/jobs" else [answer]:
                job.update(fields)

        self.change = change

    def of_logs(self, fields: dict[str, Any]) -> None:
        """Have every piece of a log with these fields."""
        self.change = lambda path, answer: answer.update(fields) if path.endswith("/logs") else None

    def are_right(self) -> None:
        """Change nothing any more."""
        self.change = lambda _path, _answer: None


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    return Answers(monkeypatch)


@pytest.fixture
def run(make_task: Callable[..., ScheduledTask], tools: Tools, document: Callable[..., str]) -> Run:
    """A scan of host-1, which waits for the test."""
    tools.vuls({"host-1": document("CVE-2026-1")})
    tools.hold()
    task = make_task(host_id=db.session.scalars(select(Host)).one().id)
    run = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()
    return run


def test_a_run_says_what_was_unexpected_and_continues_with_the_next_right_answer(
    run: Run, tools: Tools, answers: Answers
) -> None:
    worker.launch_runs([run.id])
    for fields, sentence in ODD_JOBS:
        answers.of_jobs(fields)
        worker.follow_runs()
        db.session.refresh(run)

        assert run.status is RunStatus.RUNNING, fields
        assert str(run.reason).startswith(f"The executor sent an unexpected answer: {sentence}")
        assert "could not be stored" not in str(run.reason)

        answers.are_right()
        worker.follow_runs()
        db.session.refresh(run)
        assert (run.status, run.reason) == (RunStatus.RUNNING, None), fields
    tools.let_go()
    follow(run)

    assert run.status is RunStatus.PARTIAL
    assert "no vulnerability database" in str(run.reason)


@pytest.mark.parametrize(
    "fields", [{"text": 5}, {"next_offset": "1"}, {"next_offset": -1}, {"next_offset": 2**40}], ids=str
)
def test_an_odd_log_delays_its_run_and_no_more(
    run: Run, tools: Tools, answers: Answers, fields: dict[str, Any]
) -> None:
    worker.launch_runs([run.id])
    tools.let_go()
    answers.of_logs(fields)
    follow(run, until=lambda run: run.reason is not None)
    assert (run.status, "of the log is" in str(run.reason)) == (RunStatus.RUNNING, True)

    answers.are_right()
    follow(run)

    assert run.status is RunStatus.PARTIAL


@pytest.mark.parametrize("absence", Absence)
def test_a_job_that_was_taken_with_odd_words_is_followed(
    run: Run, tools: Tools, answers: Answers, absence: Absence
) -> None:
    run.task.absence = absence
    answers.of_jobs({"status": "accepted"})
    worker.launch_runs([run.id])
    db.session.refresh(run)
    assert (run.status, 'is "accepted"' in str(run.reason)) == (RunStatus.RUNNING, True)

    answers.are_right()
    tools.let_go()
    follow(run)

    assert run.status is RunStatus.PARTIAL


def test_text_that_postgresql_cannot_hold_is_stored_without_it(
    run: Run, tools: Tools, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = ExecutorClient._send

    def sent(client: ExecutorClient, method: str, path: str, **arguments: Any) -> bytes:
        body = send(client, method, path, **arguments)
        return body.replace(b'"message":null', rb'"message":"\u0000 \ud800"') if path == "/jobs" else body

    monkeypatch.setattr(ExecutorClient, "_send", sent)
    worker.launch_runs([run.id])
    worker.follow_runs()
    db.session.refresh(run)

    assert (run.status, run.reason) == (RunStatus.RUNNING, None)
    assert {step["message"] for step in run.steps} == {"\N{REPLACEMENT CHARACTER} ?"}


def test_after_five_minutes_of_odd_answers_a_task_may_let_its_run_fail(run: Run, answers: Answers) -> None:
    worker.launch_runs([run.id])
    run.task.absence = Absence.FAIL
    run.jobs[0].heartbeat_at = datetime.now(UTC) - timedelta(minutes=6)
    db.session.commit()
    answers.of_jobs({"status": "paused"})

    worker.sweep()

    db.session.refresh(run)
    assert run.status is RunStatus.FAILED
    assert 'status of the job is "paused"' in str(run.reason)


def test_a_cancelled_run_is_cancelled_whatever_is_said_of_its_job(run: Run, answers: Answers) -> None:
    worker.launch_runs([run.id])
    answers.of_jobs({"status": "paused"})
    lifecycle.cancel(run, datetime.now(UTC))
    db.session.commit()
    worker.follow_runs()

    answers.are_right()
    follow(run)

    assert run.status is RunStatus.CANCELLED
