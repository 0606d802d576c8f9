"""Jobs as an executor describes them, and runs that it accepts and ends."""

import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from flask import Flask

from tests.conftest import NOW, executors_at
from vulsweb.executors.client import Job
from vulsweb.extensions import db
from vulsweb.models import Run, RunJob, ScheduledTask
from vulsweb.runs import conclusions, jobs, lifecycle, starting, targets

MakeTask = Callable[..., ScheduledTask]
MakeRun = Callable[..., Run]
OLD = NOW - timedelta(days=40)
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


def accept(run: Run, reply: Job, now: datetime) -> RunJob:
    """Let the executor have taken the run's job."""
    assert targets.prepare(run, EXECUTORS) is None
    jobs.record_reply(run.jobs[0], reply, now)
    lifecycle.mark_running_or_waiting(run)
    return run.jobs[0]


def conclude(run: Run, reply: Job, documents: Iterable[tuple[str, bytes]], now: datetime) -> None:
    """Let the run's one job have ended."""
    assert targets.prepare(run, EXECUTORS) is None
    conclusions.conclude(run, run.jobs[0], reply, documents, now)


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
            except starting.AlreadyActive as error:
                db.session.rollback()
                answers.append(error)
            db.session.remove()

    threads = [threading.Thread(target=one) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
