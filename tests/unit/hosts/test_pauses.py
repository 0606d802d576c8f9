"""Tasks pause while their host is retired."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import NOW, at
from vulsweb.extensions import db
from vulsweb.hosts import config_sync
from vulsweb.models import Host, ScheduledTask, Trigger
from vulsweb.runs import starting
from vulsweb.tasks import editing as task_editing
from vulsweb.tasks import queries as task_queries

TWO = '[servers.a]\nhost = "192.0.2.1"\n[servers.b]\nhost = "192.0.2.2"\n'
LATER = NOW + timedelta(hours=1)


def host(name: str) -> Host:
    return db.session.scalars(select(Host).where(Host.name == name)).one()


def test_a_retired_host_pauses_its_tasks_and_its_return_resumes_them(
    app: Flask, make_task: Callable[..., ScheduledTask]
) -> None:
    config_sync.sync(TWO, NOW)
    nightly = make_task(host_id=host("b").id)
    switched_off = make_task(host_id=host("b").id, is_active=False)
    other = make_task(host_id=host("a").id)
    update = make_task(task_type="db_update", database_type="all")

    config_sync.sync(TWO.split("[servers.b]")[0], at("2026-01-02 12:00"))
    paused = [(task.paused_at is not None, task.next_run_at is not None) for task in (nightly, switched_off)]
    running = [(task.paused_at is None, task.next_run_at is not None) for task in (other, update)]
    why, wanted = nightly.paused_reason, nightly.active
    config_sync.sync(TWO, at("2026-01-05 12:00"))

    assert paused == [(True, False), (True, False)]
    assert running == [(True, True), (True, True)]
    assert why == "b is no longer in config.toml. The task resumes when the host is back."
    assert wanted
    assert (nightly.paused_at, nightly.next_run_at) == (None, at("2026-01-06 02:00"))
    assert (switched_off.paused_at, switched_off.active, switched_off.next_run_at) == (None, False, None)


def test_a_paused_task_cannot_be_run(app: Flask, make_task: Callable[..., ScheduledTask]) -> None:
    config_sync.sync(TWO, NOW)
    task = make_task(host_id=host("b").id)
    config_sync.sync("", LATER, confirmed=True)

    with pytest.raises(starting.TaskPaused, match=r"b is no longer in config\.toml"):
        starting.start(task, trigger=Trigger.PERSON, now=LATER)
    assert task_queries.count_paused([task.id]) == 1


def test_deactivating_and_activating_a_paused_task_does_not_resume_it(
    app: Flask, make_task: Callable[..., ScheduledTask]
) -> None:
    config_sync.sync(TWO, NOW)
    task = make_task(host_id=host("b").id)
    config_sync.sync("", LATER, confirmed=True)

    task_editing.set_active([task.id], active=False, now=LATER)
    task_editing.set_active([task.id], active=True, now=LATER)

    assert (task.active, task.next_run_at, task.paused_at) == (True, None, LATER)


def test_a_paused_task_resumes_with_another_host(
    app: Flask, make_task: Callable[..., ScheduledTask], make_host: Callable[..., Host]
) -> None:
    config_sync.sync(TWO, NOW)
    task = make_task(name="Nightly", host_id=host("b").id)
    config_sync.sync("", LATER, confirmed=True)
    values = {
        "name": "Nightly",
        "task_type": "scan",
        "scan_type": "fast",
        "cron_expression": "0 2 * * *",
        "host_id": make_host("spare").id,
    }

    task_editing.change(task, values, LATER)

    assert (task.paused_at, task.next_run_at) == (None, at("2026-01-02 02:00"))
