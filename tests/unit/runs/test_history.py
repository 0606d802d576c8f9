"""The usual duration of a task."""

from datetime import timedelta

from sqlalchemy import func, select

from tests.unit.runs.support import OLD, MakeRun, MakeTask
from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus
from vulsweb.runs import history


def test_the_usual_duration_is_the_median_of_successful_and_partial_runs(
    make_task: MakeTask, make_run: MakeRun
) -> None:
    task = make_task()
    for seconds, status in [
        (60, RunStatus.SUCCESS),
        (90, RunStatus.PARTIAL),
        (600, RunStatus.SUCCESS),
        (1, RunStatus.FAILED),
        (1, RunStatus.CANCELLED),
    ]:
        make_run(task, OLD, status=status, completed_at=OLD + timedelta(seconds=seconds))
    make_run(make_task(), OLD, completed_at=OLD + timedelta(hours=9))

    assert history.usual_duration(task.id) == timedelta(seconds=90)


def test_the_usual_duration_ignores_old_runs(make_task: MakeTask, make_run: MakeRun) -> None:
    task = make_task()
    for minutes in [50] * 30 + [2] * 20:
        make_run(task, OLD, completed_at=OLD + timedelta(minutes=minutes))

    assert history.usual_duration(task.id) == timedelta(minutes=2)


def test_a_task_without_successful_runs_has_no_usual_duration(make_task: MakeTask, make_run: MakeRun) -> None:
    task = make_task()
    make_run(task, OLD, status=RunStatus.FAILED)

    assert history.usual_duration(task.id) is None
    assert db.session.scalar(select(func.count()).select_from(Run)) == 1
