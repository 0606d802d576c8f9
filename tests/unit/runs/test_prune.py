"""Which runs are deleted each night."""

from datetime import UTC, datetime, timedelta

import pytest
from celery.schedules import crontab
from sqlalchemy import select

from tests.conftest import NOW
from tests.unit.runs.support import OLD, MakeRun, MakeTask
from vulsweb import worker
from vulsweb.extensions import db
from vulsweb.models import Finding, LogChunk, Result, Run, RunStatus
from vulsweb.runs import lifecycle
from vulsweb.vuls.results import Severity


def left() -> set[int]:
    return set(db.session.scalars(select(Run.id)))


def test_old_runs_are_deleted_and_young_ones_stay(make_task: MakeTask, make_run: MakeRun) -> None:
    task = make_task()
    make_run(task, OLD)
    young = [make_run(task, NOW - timedelta(days=days)) for days in (29, 1)]

    deleted = lifecycle.prune(NOW - timedelta(days=30), limit=100)

    assert deleted == 1
    assert left() == {run.id for run in young}


def test_the_newest_run_of_each_task_stays_at_any_age(make_task: MakeTask, make_run: MakeRun) -> None:
    newest = []
    for task in (make_task(), make_task()):
        make_run(task, OLD)
        newest.append(make_run(task, OLD))

    lifecycle.prune(NOW, limit=100)

    assert left() == {run.id for run in newest}


def test_the_run_that_the_last_status_comes_from_stays(make_task: MakeTask, make_run: MakeRun) -> None:
    task = make_task()
    last = make_run(task, OLD)
    task.last_run_id = last.id
    skipped = make_run(task, OLD, status=RunStatus.SKIPPED)

    lifecycle.prune(NOW, limit=100)

    assert left() == {last.id, skipped.id}


@pytest.mark.parametrize("status", [status for status in RunStatus if status.is_active])
def test_an_active_run_is_never_deleted(make_task: MakeTask, make_run: MakeRun, status: RunStatus) -> None:
    task = make_task()
    active = make_run(task, OLD, status=status, completed_at=None)
    newer = make_run(task, OLD, status=RunStatus.SKIPPED)

    lifecycle.prune(NOW, limit=100)

    assert left() == {active.id, newer.id}


def test_logs_and_results_are_deleted_with_their_run_and_findings_stay(
    make_task: MakeTask, make_run: MakeRun
) -> None:
    task = make_task()
    old, newest = make_run(task, OLD), make_run(task, OLD)
    for run in (old, newest):
        db.session.add(LogChunk(run_id=run.id, start=0, text="line\n"))
        db.session.add(
            Result(
                run_id=run.id,
                host_id=task.host_id,
                scanned_at=OLD,
                family="debian",
                release="12",
                package_count=1,
                severity_counts={},
                document=b"",
            )
        )
    db.session.add(
        Finding(
            host_id=task.host_id,
            cve_id="CVE-2026-1",
            severity=Severity.HIGH,
            title="Bad",
            packages=[],
            first_seen_at=OLD,
            first_run_id=old.id,
            last_seen_at=OLD,
        )
    )
    db.session.commit()

    lifecycle.prune(NOW, limit=100)
    db.session.commit()

    assert list(db.session.scalars(select(LogChunk.run_id))) == [newest.id]
    assert list(db.session.scalars(select(Result.run_id))) == [newest.id]
    assert db.session.scalars(select(Finding.first_run_id)).one() is None


def test_a_batch_takes_the_oldest_first_and_no_more_than_its_limit(
    make_task: MakeTask, make_run: MakeRun
) -> None:
    task = make_task()
    made = [make_run(task, OLD - timedelta(days=days)) for days in (1, 3, 2, 0)]

    deleted = lifecycle.prune(NOW, limit=2)

    assert deleted == 2
    assert left() == {made[0].id, made[3].id}


def test_pruning_continues_until_no_old_run_is_left(
    make_task: MakeTask, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RUNS_PER_BATCH", 2)
    task = make_task()
    for _ in range(5):
        make_run(task, datetime.now(UTC) - timedelta(days=31))
    newest = make_run(task, datetime.now(UTC))

    deleted = worker.prune.run()

    assert deleted == 5
    db.session.rollback()
    assert left() == {newest.id}


def test_beat_prunes_each_night() -> None:
    assert worker.BEAT["prune"] == {"task": worker.prune.name, "schedule": crontab(hour="3", minute="30")}
