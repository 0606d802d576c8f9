"""The list of tasks: filtered and counted."""

from collections.abc import Callable

from vulsweb.extensions import db
from vulsweb.models import Host, ScheduledTask, TaskType
from vulsweb.tasks import queries

MakeTask = Callable[..., ScheduledTask]
MakeHost = Callable[..., Host]


def names(wanted: queries.Filter) -> list[str]:
    return [task.name for task in db.session.scalars(queries.query(wanted))]


def test_the_four_counts(make_task: MakeTask) -> None:
    make_task()
    make_task(is_active=False)
    make_task(task_type="db_update", database_type="nvd")

    assert queries.statistics() == queries.Statistics(
        total=3, active=2, scans=2, database_updates=1, detections=0
    )


def test_tasks_are_found_by_type_status_and_text(make_task: MakeTask, make_host: MakeHost) -> None:
    make_task(name="Alpha", host_id=make_host("db-1").id)
    make_task(name="beta", is_active=False, description="100% of the web tier")
    make_task(name="Gamma", task_type="db_update", database_type="nvd")

    assert names(queries.Filter()) == ["Alpha", "beta", "Gamma"]
    assert names(queries.Filter(task_type=TaskType.SCAN)) == ["Alpha", "beta"]
    assert names(queries.Filter(active=False)) == ["beta"]
    assert names(queries.Filter(text="DB-1")) == ["Alpha"]
    assert names(queries.Filter(text="0% of")) == ["beta"]
    assert names(queries.Filter(text="%")) == ["beta"]
    assert names(queries.Filter(task_type=TaskType.SCAN, active=True, text="a")) == ["Alpha"]
