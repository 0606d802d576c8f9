"""The usual duration of a task, and the runs of a period."""

from datetime import timedelta

from sqlalchemy import func, select

from tests.conftest import NOW
from tests.unit.runs.support import OLD, MakeRun, MakeTask
from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus, Trigger
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


def test_runs_of_one_moment_are_all_in_the_period_that_begins_with_it(make_task: MakeTask) -> None:
    task = make_task(task_type="db_update", database_type="nvd")
    made = [
        Run(task=task, status=status, trigger=Trigger.SCHEDULE, created_at=NOW, request={})
        for status in (RunStatus.RUNNING, RunStatus.SUCCESS, RunStatus.SUCCESS)
    ]
    db.session.add_all(made)
    db.session.commit()
    # PostgreSQL moves a row that changes behind the others.
    made[0].status = RunStatus.FAILED
    db.session.commit()

    found = history.page(history.Filter(task_id=task.id, since=NOW), limit=10)

    assert {run.id for run in found.runs} == {run.id for run in made}
