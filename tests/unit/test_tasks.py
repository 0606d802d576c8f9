"""What a person may define, and how tasks are found again."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from tests.conftest import NOW
from vulsweb.extensions import db
from vulsweb.models import Host, Run, ScheduledTask, TaskType, Trigger
from vulsweb.runs import starting
from vulsweb.tasks import editing as task_editing
from vulsweb.tasks import queries as task_queries

MakeTask = Callable[..., ScheduledTask]
MakeHost = Callable[..., Host]
UPDATE = {"name": "monthly", "task_type": "db_update", "database_type": "all", "cron_expression": "0 2 1 * *"}


def names(wanted: task_queries.Filter) -> list[str]:
    return [task.name for task in db.session.scalars(task_queries.query(wanted))]


def test_a_new_task_knows_its_next_slot(app: Flask) -> None:
    task = task_editing.create(UPDATE, NOW)

    assert task.next_run_at is not None
    assert task.next_run_at.isoformat() == "2026-02-01T02:00:00+00:00"
    assert task.active


def test_an_inactive_task_has_no_next_slot(app: Flask) -> None:
    assert task_editing.create(UPDATE | {"is_active": False}, NOW).next_run_at is None


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        ({"name": "  "}, "name", "Give the task a name."),
        ({"name": "x" * 121}, "name", "at most 120 characters"),
        ({"name": "a\nb"}, "name", "control characters"),
        ({"task_type": "wish"}, "task_type", "scan, db_update"),
        ({"task_type": None}, "task_type", "scan, db_update"),
        ({"database_type": "oracle"}, "database_type", "gost_debian"),
        ({"cron_expression": "0 0 2 1 * *"}, "cron_expression", "five fields"),
        ({"cron_expression": "99 * * * *"}, "cron_expression", "is not a valid minute"),
        ({"timezone": "Mars/Base"}, "timezone", "'Mars/Base' is not a time zone"),
        ({"description": "x" * 2001}, "description", "at most 2000"),
        ({"description": "nul\x00"}, "description", "plain text"),
        ({"is_active": "maybe"}, "is_active", "true or false"),
        ({"task_type": "scan", "scan_type": "fast", "host_id": 999}, "host_id", "configured hosts"),
        ({"task_type": "scan", "scan_type": "fast", "host_id": "1 OR 1"}, "host_id", "configured hosts"),
        ({"task_type": "scan", "scan_type": "fast", "host_id": 10**30}, "host_id", "configured hosts"),
        ({"task_type": "scan", "scan_type": "slow"}, "scan_type", "fast, full"),
    ],
)
def test_a_wrong_field_gets_its_sentence_and_nothing_is_kept(
    app: Flask, wrong: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(task_editing.InvalidTask) as refusal:
        task_editing.create(UPDATE | wrong, NOW)

    assert said in refusal.value.errors[field]
    assert db.session.scalar(select(func.count()).select_from(ScheduledTask)) == 0


def test_all_wrong_fields_are_told_at_once(app: Flask) -> None:
    with pytest.raises(task_editing.InvalidTask) as refusal:
        task_editing.create({}, NOW)

    assert set(refusal.value.errors) == {"name", "task_type", "cron_expression"}


def test_a_name_is_taken_whatever_its_case(make_task: MakeTask) -> None:
    make_task(name="Nightly")

    with pytest.raises(task_editing.NameTaken):
        task_editing.create(UPDATE | {"name": "NIGHTLY"}, NOW)


def test_two_people_who_choose_one_name_at_once_get_one_task(app: Flask) -> None:
    together = threading.Barrier(2)
    refused: list[task_editing.NameTaken] = []

    def create() -> None:
        with app.app_context():
            together.wait()
            try:
                task_editing.create(UPDATE, NOW)
                db.session.commit()
            except task_editing.NameTaken as error:
                db.session.rollback()
                refused.append(error)
            db.session.remove()

    threads = [threading.Thread(target=create) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 1
    assert names(task_queries.Filter()) == ["monthly"]


def test_a_retired_host_cannot_be_chosen_but_stays_where_it_is(
    make_host: MakeHost, make_task: MakeTask
) -> None:
    host = make_host("old")
    task = make_task(host_id=host.id)
    host.retired_at = NOW
    values = {"task_type": "scan", "scan_type": "full", "host_id": host.id, "cron_expression": "0 3 * * *"}

    task_editing.change(task, values | {"name": "same host"}, NOW)
    with pytest.raises(task_editing.InvalidTask) as refusal:
        task_editing.create(values | {"name": "new"}, NOW)

    assert task.name == "same host"
    assert "no longer in config.toml" in refusal.value.errors["host_id"]


def test_a_refused_change_changes_nothing(make_task: MakeTask) -> None:
    task = make_task(name="kept")

    with pytest.raises(task_editing.InvalidTask):
        task_editing.change(task, UPDATE | {"name": "lost", "cron_expression": "x"}, NOW)
    db.session.commit()

    assert names(task_queries.Filter()) == ["kept"]
    assert task.task_type is TaskType.SCAN


def test_a_change_of_type_drops_what_belonged_to_the_other(make_task: MakeTask) -> None:
    task = make_task()

    task_editing.change(task, UPDATE, NOW)
    db.session.commit()

    assert (task.host, task.scan_type, task.target) == (None, None, "All Databases")


def test_deleting_a_task_takes_its_history_with_it(make_task: MakeTask) -> None:
    task = make_task()
    starting.start(task, trigger=Trigger.PERSON, now=NOW)
    db.session.commit()

    task_editing.delete(task)
    db.session.commit()

    assert db.session.scalar(select(func.count()).select_from(Run)) == 0


def test_the_four_counts(make_task: MakeTask) -> None:
    make_task()
    make_task(is_active=False)
    make_task(task_type="db_update", database_type="nvd")

    assert task_queries.statistics() == task_queries.Statistics(
        total=3, active=2, scans=2, database_updates=1
    )


def test_tasks_are_found_by_type_status_and_text(make_task: MakeTask, make_host: MakeHost) -> None:
    make_task(name="Alpha", host_id=make_host("db-1").id)
    make_task(name="beta", is_active=False, description="100% of the web tier")
    make_task(name="Gamma", task_type="db_update", database_type="nvd")

    assert names(task_queries.Filter()) == ["Alpha", "beta", "Gamma"]
    assert names(task_queries.Filter(task_type=TaskType.SCAN)) == ["Alpha", "beta"]
    assert names(task_queries.Filter(active=False)) == ["beta"]
    assert names(task_queries.Filter(text="DB-1")) == ["Alpha"]
    assert names(task_queries.Filter(text="0% of")) == ["beta"]
    assert names(task_queries.Filter(text="%")) == ["beta"]
    assert names(task_queries.Filter(task_type=TaskType.SCAN, active=True, text="a")) == ["Alpha"]


def test_a_task_that_is_made_active_again_gets_the_next_slot_from_now(make_task: MakeTask) -> None:
    task = make_task(task_type="db_update", database_type="all", is_active=False)

    task_editing.change(task, UPDATE | {"cron_expression": "0 * * * *"}, NOW + timedelta(days=3, minutes=5))

    assert task.next_run_at == NOW + timedelta(days=3, hours=1)
