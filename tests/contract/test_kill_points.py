"""Workers that are killed: wherever it happens, each run ends with its results, once."""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from tests.contract.conftest import Tools, follow
from tests.support.waiting import wait_for
from vulsweb import worker
from vulsweb.executors import settings as executor_settings
from vulsweb.executors.client import ExecutorClient
from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.models import Host, JobStatus, Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import lifecycle, starting, targets

MakeTask = Callable[..., ScheduledTask]
TWO_MINUTES = timedelta(minutes=2)

pytestmark = pytest.mark.usefixtures("executor_server")


class Killed(BaseException):
    """Ends the worker's function as a kill would: nothing catches it."""


class KillPoints:
    """Kills the worker at the n-th moment before or after a commit or a request."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        for owner, name in ((db.session, "commit"), (ExecutorClient, "_send")):
            monkeypatch.setattr(owner, name, self._around(getattr(owner, name)))

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def killable(*arguments: Any, **named: Any) -> Any:
            self._pass()
            answer = function(*arguments, **named)
            self._pass()
            return answer

        return killable

    def _pass(self) -> None:
        if self.left:
            self.left -= 1
            if self.left == 0:
                raise Killed

    def pause(self, act: Callable[[], object]) -> None:
        """Do `act` without a kill."""
        left, self.left = self.left, 0
        act()
        self.left = left

    def is_killed(self, act: Callable[[], object], at: int) -> bool:
        """Do `act` and return whether it was killed on the way."""
        self.left = at
        try:
            act()
        except Killed:
            # What a killed process has not committed is gone.
            db.session.rollback()
            db.session.expire_all()
            return True
        finally:
            self.left = 0
        return False


@pytest.fixture
def client(app: Flask, executor_server: str) -> Iterator[ExecutorClient]:
    with ExecutorClient(app.config["EXECUTORS"][0]) as made:
        yield made


@pytest.fixture
def task(make_task: MakeTask, tools: Tools, document: Callable[..., str]) -> ScheduledTask:
    """A scan of host-1 that finds something, with the database for it."""
    tools.vuls({"host-1": document("CVE-2026-1")})
    update = start(make_task(task_type="db_update", database_type="gost_debian"))
    worker.launch_runs([update.id])
    follow(update)
    return make_task(host_id=db.session.scalars(select(Host)).one().id)


def start(task: ScheduledTask) -> Run:
    run = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()
    return run


def let_jobs_end(run: Run, client: ExecutorClient) -> None:
    """Wait until the executor has ended what it knows of the run."""
    ids = [job.id for job in run.jobs]
    wait_for(lambda: all(job.ended for job in client.jobs(ids).values()), 30)


def next_worker(run: Run, sent: list[int]) -> Run:
    """Do what the other workers do when the run's own has been gone for two minutes."""
    earlier = datetime.now(UTC) - TWO_MINUTES
    run.created_at = run.heartbeat_at = earlier
    for job in run.jobs:
        job.heartbeat_at = earlier
    db.session.commit()
    sent.clear()
    worker.sweep()
    worker.launch_runs(list(sent))
    return follow(run)


def test_a_run_ends_with_its_results_wherever_its_worker_is_killed(
    task: ScheduledTask, client: ExecutorClient, sent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = KillPoints(monkeypatch)

    def work(run: Run) -> None:
        worker.launch_runs([run.id])
        kills.pause(lambda: let_jobs_end(run, client))
        worker.follow_runs()

    for point in itertools.count(1):
        run = start(task)
        if not kills.is_killed(partial(work, run), point):
            break
        let_jobs_end(run, client)
        next_worker(run, sent)

        assert (run.status, run.reason) == (RunStatus.SUCCESS, None), point
        assert [seen.finding.cve_id for seen in storage.of_run(run.id)] == ["CVE-2026-1"]
    assert point > 10


def begin(task: ScheduledTask, client: ExecutorClient) -> Run:
    """Return a run whose worker died between the executor's answer and the commit."""
    run = start(task)
    claimed = lifecycle.claim(run.id, datetime.now(UTC) - TWO_MINUTES)
    assert claimed is not None
    targets.prepare(claimed, executor_settings.configured())
    db.session.commit()
    (job,) = claimed.jobs
    client.submit(job.id, job.request)
    return claimed


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ("completed", RunStatus.SUCCESS),
        ("failed", RunStatus.FAILED),
        ("cancelled", RunStatus.CANCELLED),
    ],
)
@pytest.mark.parametrize("cancelled", [False, True], ids=["asked again", "withdrawn"])
def test_a_job_that_ended_before_anyone_heard_of_it_is_concluded(
    task: ScheduledTask,
    client: ExecutorClient,
    tools: Tools,
    ends: str,
    status: RunStatus,
    cancelled: bool,
) -> None:
    if ends == "failed":
        tools.vuls({}, exit={"scan": 1})
    if ends == "cancelled":
        tools.hold()
    run = begin(task, client)
    if ends == "cancelled":
        client.cancel(run.jobs[0].id)
    let_jobs_end(run, client)
    assert client.jobs([run.jobs[0].id])[run.jobs[0].id].status == ends
    if cancelled:
        lifecycle.cancel(run, datetime.now(UTC))
        db.session.commit()

    worker.launch_runs([run.id])
    follow(run)

    assert run.status is status
    assert run.jobs[0].status is JobStatus(ends)


def test_a_run_that_an_older_version_left_without_a_job_to_follow_is_concluded(
    task: ScheduledTask, client: ExecutorClient, sent: list[int]
) -> None:
    run = begin(task, client)
    let_jobs_end(run, client)
    run.status, run.jobs[0].status = RunStatus.RUNNING, JobStatus.COMPLETED
    db.session.commit()

    next_worker(run, sent)

    assert (run.status, run.reason) == (RunStatus.SUCCESS, None)
    assert [seen.finding.cve_id for seen in storage.of_run(run.id)] == ["CVE-2026-1"]
