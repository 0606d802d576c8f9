"""Workers that want the same executor at the same time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from tests.contract.conftest import Tools, follow
from vulsweb import worker
from vulsweb.executors.settings import MAIN
from vulsweb.extensions import db
from vulsweb.models import Host, JobStatus, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import starting
from vulsweb.worker import turns

pytestmark = pytest.mark.usefixtures("executor_server")


@pytest.mark.parametrize("absence", ["wait", "fail"])
def test_an_executor_for_which_another_worker_waits_is_asked_again_later(
    make_task: Callable[..., ScheduledTask],
    tools: Tools,
    document: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    absence: str,
) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.1)
    tools.vuls({"host-1": document("CVE-2026-1")})
    task = make_task(host_id=db.session.scalars(select(Host)).one().id, absence=absence)
    run = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()

    with turns.turn(MAIN):
        worker.launch_runs([run.id])
    db.session.refresh(run)
    (job,) = run.jobs
    waiting, said = job.status, str(job.reason)
    run.heartbeat_at = datetime.now(UTC) - timedelta(minutes=6)
    db.session.commit()
    worker.launch_runs([run.id])
    follow(run)

    assert (waiting, run.status) == (JobStatus.WAITING, RunStatus.PARTIAL)  # without a database
    assert said == "The executor main is slow: another worker waits for it. Trying again within two minutes."
