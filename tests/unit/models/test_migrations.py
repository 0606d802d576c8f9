"""The migrations create the tables that the models describe."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, select

from vulsweb.extensions import db
from vulsweb.models import ScheduledTask, TaskType, User


def test_the_migrations_create_what_the_models_describe(app: Flask) -> None:
    with db.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), db.metadata)

    assert differences == []


def test_the_migrations_can_be_undone_and_run_again(app: Flask) -> None:
    downgrade(revision="base")
    left = set(inspect(db.engine).get_table_names())
    upgrade()

    assert left == {"alembic_version"}


def test_an_existing_installation_gets_the_task_that_detects_again(app: Flask, admin: User) -> None:
    downgrade(revision="0020")
    upgrade()

    task = db.session.scalars(select(ScheduledTask)).one()
    assert (task.name, task.task_type, task.active) == ("Repeated Detection", TaskType.DETECTION, True)
    assert task.next_run_at is not None
    assert (task.next_run_at.weekday(), task.next_run_at.hour) == (6, 6)
