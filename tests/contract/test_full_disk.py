"""A run whose executor has no room, and then has."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from executor import disk
from tests.contract.conftest import follow
from vulsweb import worker
from vulsweb.extensions import db
from vulsweb.models import Host, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import starting

pytestmark = pytest.mark.usefixtures("executor_server")


@pytest.mark.parametrize("absence", ["wait", "fail"])
def test_a_run_waits_while_the_executors_disk_is_full_and_pages_say_so(
    make_task: Callable[..., ScheduledTask],
    signed_in: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    absence: str,
) -> None:
    task = make_task(host_id=db.session.scalars(select(Host)).one().id, absence=absence)
    run = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()

    with monkeypatch.context() as full:
        # As if all of the disk were to be kept free.
        full.setattr(disk, "reserve", lambda total_bytes: total_bytes)
        worker.launch_runs([run.id])
        notice = signed_in.get("/system-notice").text
        parts = {each["name"]: each for each in signed_in.get("/api/system").get_json()["parts"]}
    db.session.refresh(run)
    waiting, reason = run.status, str(run.jobs[0].reason)
    run.heartbeat_at = datetime.now(UTC) - timedelta(minutes=6)
    db.session.commit()
    worker.launch_runs([run.id])
    follow(run)

    assert waiting.is_active
    assert reason.startswith(f"The disk of {tmp_path}/executor is full:")
    assert reason.endswith("Trying again within two minutes.")
    assert "Runs wait." in notice
    assert (parts["disk"]["state"], "is full:" in parts["disk"]["says"]) == ("failed", True)
    assert run.status is not RunStatus.QUEUED
    assert not run.status.is_active
