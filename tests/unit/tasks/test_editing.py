"""Scheduled tasks: created, changed and deleted."""

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
from vulsweb.tasks import editing

MakeTask = Callable[..., ScheduledTask]
MakeHost = Callable[..., Host]
UPDATE = {"name": "monthly", "task_type": "db_update", "database_type": "all", "cron_expression": "0 2 1 * *"}


def names() -> list[str]:
    return list(db.session.scalars(select(ScheduledTask.name).order_by(ScheduledTask.name)))


def test_a_new_task_knows_its_next_slot(app: Flask) -> None:
    task = editing.create(UPDATE, NOW)

    assert task.next_run_at is not None
    assert task.next_run_at.isoformat() == "2026-02-01T02:00:00+00:00"
    assert task.active


def test_an_inactive_task_has_no_next_slot(app: Flask) -> None:
    assert editing.create(UPDATE | {"is_active": False}, NOW).next_run_at is None


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
        ({"cron_expression": ",".join(["1"] * 65) + " * * * *"}, "cron_expression", "at most 120 characters"),
        ({"cron_expression": "@daily"}, "cron_expression", "Write 0 0 * * *"),
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
def test_an_invalid_field_gets_its_sentence_and_nothing_is_created(
    app: Flask, wrong: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(editing.InvalidTask) as refusal:
        editing.create(UPDATE | wrong, NOW)

    assert said in refusal.value.errors[field]
    assert db.session.scalar(select(func.count()).select_from(ScheduledTask)) == 0


def test_all_invalid_fields_are_reported_together(app: Flask) -> None:
    with pytest.raises(editing.InvalidTask) as refusal:
        editing.create({}, NOW)

    assert set(refusal.value.errors) == {"name", "task_type", "cron_expression"}


def test_a_name_is_taken_in_any_case(make_task: MakeTask) -> None:
    make_task(name="Nightly")

    with pytest.raises(editing.NameTaken):
        editing.create(UPDATE | {"name": "NIGHTLY"}, NOW)


def test_two_users_who_choose_one_name_at_the_same_time_get_one_task(app: Flask) -> None:
    together = threading.Barrier(2)
    refused: list[editing.NameTaken] = []

    def create() -> None:
        with app.app_context():
            together.wait()
            try:
                editing.create(UPDATE, NOW)
                db.session.commit()
            except editing.NameTaken as error:
                db.session.rollback()
                refused.append(error)
            db.session.remove()

    threads = [threading.Thread(target=create) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 1
    assert names() == ["monthly"]


def test_a_retired_host_cannot_be_chosen_but_can_be_kept(make_host: MakeHost, make_task: MakeTask) -> None:
    host = make_host("old")
    task = make_task(host_id=host.id)
    host.retired_at = NOW
    values = {"task_type": "scan", "scan_type": "full", "host_id": host.id, "cron_expression": "0 3 * * *"}

    editing.change(task, values | {"name": "same host"}, NOW)
    with pytest.raises(editing.InvalidTask) as refusal:
        editing.create(values | {"name": "new"}, NOW)

    assert task.name == "same host"
    assert "no longer in config.toml" in refusal.value.errors["host_id"]


def test_a_refused_change_changes_nothing(make_task: MakeTask) -> None:
    task = make_task(name="kept")

    with pytest.raises(editing.InvalidTask):
        editing.change(task, UPDATE | {"name": "lost", "cron_expression": "x"}, NOW)
    db.session.commit()

    assert names() == ["kept"]
    assert task.task_type is TaskType.SCAN


def test_a_change_of_type_clears_the_fields_of_the_other_type(make_task: MakeTask) -> None:
    task = make_task()

    editing.change(task, UPDATE, NOW)
    db.session.commit()

    assert (task.host, task.scan_type, task.target) == (None, None, "All Databases")


def test_deleting_a_task_deletes_its_runs(make_task: MakeTask) -> None:
    task = make_task()
    starting.start(task, trigger=Trigger.PERSON, now=NOW)
    db.session.commit()

    editing.delete(task)
    db.session.commit()

    assert db.session.scalar(select(func.count()).select_from(Run)) == 0


def test_a_task_that_is_activated_again_gets_the_next_slot_from_now(make_task: MakeTask) -> None:
    task = make_task(task_type="db_update", database_type="all", is_active=False)

    editing.change(task, UPDATE | {"cron_expression": "0 * * * *"}, NOW + timedelta(days=3, minutes=5))

    assert task.next_run_at == NOW + timedelta(days=3, hours=1)
