"""Hosts of which Vuls sees less than asked: an unknown release, no deep scan."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from tests.contract.conftest import Tools, follow
from vulsweb import worker
from vulsweb.extensions import db
from vulsweb.models import Finding, Host, Run, RunHost, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import starting

pytestmark = pytest.mark.usefixtures("executor_server")


def run_now(task: ScheduledTask) -> Run:
    run = starting.start(task, trigger=Trigger.PERSON, now=datetime.now(UTC))
    db.session.commit()
    worker.launch_runs([run.id])
    return follow(run)


def test_a_host_upgraded_to_a_release_that_vuls_does_not_know_keeps_its_findings_open(
    make_task: Callable[..., ScheduledTask], tools: Tools, document: Callable[..., str]
) -> None:
    scan = make_task(host_id=db.session.scalars(select(Host)).one().id)
    run_now(make_task(task_type="db_update", database_type="gost_debian"))
    warning = "Failed to check EOL. Register the issue with `Family: debian Release: 13.1`"
    runs = []
    for left in (document("CVE-2026-1"), document(release="13.1", warnings=[warning])):
        tools.vuls({"host-1": left})
        runs.append(run_now(scan))

    assert [run.status for run in runs] == [RunStatus.SUCCESS, RunStatus.PARTIAL]
    assert "does not know Debian 13.1: nothing can be found there." in str(runs[1].reason)
    assert db.session.scalars(select(Finding.fixed_at)).all() == [None]
    assert db.session.scalars(select(RunHost.warnings).order_by(RunHost.run_id)).all() == [[], [warning]]


def test_a_full_scan_of_an_offline_host_says_which_mode_it_ran_in(
    make_task: Callable[..., ScheduledTask], tools: Tools, document: Callable[..., str]
) -> None:
    tools.vuls({"host-1": document(scanMode="fast-root offline mode")})

    run_now(make_task(scan_type="full", host_id=db.session.scalars(select(Host)).one().id))

    (said,) = db.session.scalars(select(RunHost.warnings)).one()
    assert said.startswith("The full scan ran in fast-root offline mode")
