"""The chain of entries: sealed in order, and each tampering is found."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from tests.conftest import EMPTY, NOW
from vulsweb.audit import chain, entries, exports, trail
from vulsweb.extensions import db
from vulsweb.models import AuditAction, AuditEntry, AuditKind, ScheduledTask

# What somebody who owns the database can do, and the application cannot.
FREELY = "SET LOCAL session_replication_role = replica"
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
VALUES = st.dictionaries(
    TEXT, st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT, max_size=3), max_size=4
)


def add(count: int, name: str = "a task") -> None:
    for number in range(count):
        trail.note(AuditAction.CHANGED, AuditKind.TASK, number, name, after={"number": number})
        db.session.commit()


def numbers() -> list[int | None]:
    return list(db.session.scalars(select(AuditEntry.number).order_by(AuditEntry.id)))


def test_entries_are_numbered_without_gaps_and_carry_the_hash_of_the_one_before(app: Flask) -> None:
    add(3)

    rows = db.session.scalars(select(AuditEntry).order_by(AuditEntry.number)).all()

    assert [row.number for row in rows] == [1, 2, 3]
    assert [row.previous for row in rows] == ["", rows[0].hash, rows[1].hash]
    assert chain.verify() == chain.Verified(3, 3, str(rows[2].hash))


def test_what_is_rolled_back_leaves_no_entry_and_no_gap(app: Flask) -> None:
    add(1)
    trail.note(AuditAction.CHANGED, AuditKind.TASK, 7, "gone")
    db.session.rollback()
    savepoint = db.session.begin_nested()
    trail.note(AuditAction.CHANGED, AuditKind.TASK, 8, "gone with its savepoint")
    savepoint.rollback()
    add(1)

    assert numbers() == [1, 2]
    assert chain.verify().problem == ""


def test_changes_at_the_same_time_are_sealed_one_after_another(app: Flask) -> None:
    def work() -> None:
        with app.app_context():
            add(10)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(number or 0 for number in numbers()) == list(range(1, 41))
    assert chain.verify().problem == ""


@settings(
    max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(before=VALUES, after=VALUES, name=TEXT)
def test_any_values_are_verified_as_they_were_stored(
    app: Flask, before: dict[str, object], after: dict[str, object], name: str
) -> None:
    trail.note(AuditAction.CHANGED, AuditKind.TASK, 1, name, before=before, after=after)
    db.session.commit()

    found = chain.verify()
    exported = [
        json.loads(line) for line in exports.as_json_lines(entries.each(app.app_context(), entries.Filter()))
    ]
    db.session.execute(text(EMPTY))
    db.session.commit()

    assert found.problem == ""
    # As anybody can with an export alone.
    assert chain.entry_hash({key: value for key, value in exported[0].items() if key != "hash"}) == found.hash


@pytest.mark.parametrize("column", sorted(set(chain.FIELDS) - {"number", "previous"}))
def test_a_changed_entry_is_found(app: Flask, column: str) -> None:
    add(3)
    changed = {
        "at": "now()",
        "actor_id": "5",
        "before": "'{\"a\": 1}'",
        "after": "'{}'",
        "way": "'page'",
        "action": "'deleted'",
        "kind": "'host'",
    }
    db.session.execute(text(FREELY))
    db.session.execute(
        text(f"UPDATE audit_entries SET {column} = {changed.get(column, repr('x'))} WHERE number = 2")  # noqa: S608
    )

    assert chain.verify().problem == "Entry 2 has been changed."


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM audit_entries WHERE number = 2", "After entry 1, entries are missing."),
        ("UPDATE audit_entries SET number = 9 WHERE number = 3", "After entry 2, entries are missing."),
        ("UPDATE audit_entries SET number = NULL WHERE number = 3", "After entry 2, entries are missing."),
        ("UPDATE audit_entries SET previous = 'x' WHERE number = 1", "Entry 1 has been changed."),
    ],
)
def test_a_chain_with_a_gap_or_another_order_is_found(app: Flask, statement: str, problem: str) -> None:
    add(3)
    db.session.execute(text(FREELY))
    db.session.execute(text(statement))

    assert chain.verify().problem == problem


def test_a_trail_written_anew_is_found_with_an_entry_that_was_noted_elsewhere(app: Flask) -> None:
    add(3)
    noted = chain.verify()
    db.session.execute(text(FREELY))
    db.session.execute(text("DELETE FROM audit_entries"))
    db.session.commit()
    add(2, "another story")

    shorter = chain.verify(noted.number, noted.hash)
    add(2, "another story")

    assert chain.verify().problem == ""
    assert shorter.problem == "Entry 3 is missing, as are all after it."
    assert chain.verify(noted.number, noted.hash).problem == "Entry 3 has another hash than the one given."


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET object_name = 'x'",
        "UPDATE audit_entries SET hash = NULL",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
    ],
)
def test_the_application_can_neither_change_nor_delete_an_entry(app: Flask, statement: str) -> None:
    add(1)

    with pytest.raises(DBAPIError, match="never changed"):
        db.session.execute(text(statement))


def test_old_entries_are_deleted_and_the_rest_still_verifies(app: Flask) -> None:
    add(5)
    db.session.execute(text(FREELY))
    db.session.execute(update(AuditEntry).where(AuditEntry.number > 3).values(at=NOW + timedelta(days=2)))
    db.session.execute(update(AuditEntry).where(AuditEntry.number <= 3).values(at=NOW))
    before = ""
    for row in db.session.execute(select(AuditEntry.__table__).order_by(AuditEntry.number)).mappings().all():
        after = chain.entry_hash(chain.content(row) | {"previous": before})
        db.session.execute(
            update(AuditEntry).where(AuditEntry.id == row["id"]).values(previous=before, hash=after)
        )
        before = after
    db.session.commit()

    deleted = chain.prune(NOW + timedelta(days=1))
    db.session.commit()

    # The newest of the old ones stays: the next one carries its hash.
    assert (deleted, numbers()) == (2, [3, 4, 5])
    assert chain.verify().problem == ""
    assert chain.prune(NOW) == 0
    with pytest.raises(DBAPIError, match="never changed"):
        db.session.execute(text("DELETE FROM audit_entries"))


def test_a_flush_notes_what_changed_and_nothing_else(make_task: Callable[..., ScheduledTask]) -> None:
    task = make_task(name="nightly")
    task.name, task.cron_expression, task.next_run_at = "daily", task.cron_expression, NOW
    db.session.commit()

    created, changed = db.session.scalars(select(AuditEntry).order_by(AuditEntry.number)).all()

    assert (created.action, created.object_name) == (AuditAction.ADDED, "nightly")
    assert (created.after["host"], created.after["scan_type"], created.before) == ("host-1", "fast", {})
    assert (changed.action, changed.object_name) == (AuditAction.CHANGED, "daily")
    assert (changed.before, changed.after) == ({"name": "nightly"}, {"name": "daily"})
