"""The age of a database's content: on pages, in the API, and as what a task demands."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from executor.databases.formats import FETCH_TIMES
from tests.conftest import TOOLS, Installation
from tests.views.conftest import MakeRun, flat
from vulsweb.extensions import db
from vulsweb.models import Host, OldDatabases, Run, RunStatus, ScheduledTask

SCAN = {
    "name": "Nightly",
    "task_type": "scan",
    "scan_type": "fast",
    "target": "tag",
    "host_tag": "web",
    "cron_expression": "0 2 * * *",
    "timezone": "UTC",
    "is_active": "on",
}


@pytest.fixture
def debian(installation: Installation) -> Callable[[int], None]:
    """Have GOST Debian fetched today, with content of so many days ago."""
    installation.add_tools(*TOOLS)
    installation.add_version("v0.26.0")

    def add(days: int) -> None:
        installation.add_database()
        now = datetime.now(UTC)
        made_at = (now - timedelta(days=days)).isoformat()
        with closing(sqlite3.connect(installation.databases / "gost.sqlite3")) as connection, connection:
            connection.execute(
                f"CREATE TABLE {FETCH_TIMES} (name TEXT, fetched_at TEXT, made_at TEXT, digest TEXT)"
            )
            stamp = ("gost_debian", now.isoformat(), made_at, "0123456789abcdef")
            connection.execute(f"INSERT INTO {FETCH_TIMES} VALUES (?, ?, ?, ?)", stamp)  # noqa: S608

    return add


def databases_part(client: FlaskClient) -> dict[str, str]:
    parts = client.get("/api/system").get_json()["parts"]
    return next(part for part in parts if part["name"] == "databases")


@pytest.mark.parametrize(("days", "still"), [(2, False), (6, False), (8, True), (400, True)])
def test_a_database_that_stands_still_although_updates_succeed_is_a_warning(
    signed_in: FlaskClient, debian: Callable[[int], None], days: int, still: bool
) -> None:
    debian(days)
    day = datetime.now(UTC) - timedelta(days=days)

    page = flat(re.sub("<[^>]*>", " ", signed_in.get("/databases/").text))
    system = flat(re.sub("<[^>]*>", " ", signed_in.get("/system/").text))
    part = databases_part(signed_in)
    overview = signed_in.get("/overview/databases").text

    assert f"Content of {day.day} {day:%b}" in page
    assert ("Updates succeed, but bring nothing new." in page) is still
    assert f"{day.day} {day:%b}" in system
    assert ("1 brings nothing new" in overview) is still
    assert part["state"] == ("warning" if still else "ok")
    expected = f"Updates succeed but bring nothing new: GOST Debian (content of {day.day} {day:%b %Y})."
    assert (part["says"] == expected) is still


def test_its_limit_is_a_setting(
    app: Flask,
    signed_in: FlaskClient,
    debian: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    debian(8)
    monkeypatch.setitem(app.config, "STILL_AFTER", timedelta(days=30))

    assert databases_part(signed_in)["state"] == "ok"


def test_the_api_has_day_and_digest(signed_in: FlaskClient, debian: Callable[[int], None]) -> None:
    debian(8)

    listed = signed_in.get("/api/databases").get_json()["items"]
    of_system = signed_in.get("/api/system").get_json()["executors"][0]["databases"]
    found, same = (
        next(entry for entry in entries if entry["name"] == "gost_debian") for entries in (listed, of_system)
    )

    assert found["made_at"] < found["fetched_at"]
    assert (found["digest"], found["still"]) == ("0123456789abcdef", True)
    assert all(same[key] == found[key] for key in ("made_at", "digest", "still"))


def stamp_run(run: Run, **facts: str) -> None:
    stamp = {"name": "vuls2", "rows": 7, "fetched_at": "2026-11-25T02:00:00Z", **facts}
    run.result_data = {"detected_by": [{"executor": "main", "vuls": "v0.40.1", "databases": [stamp]}]}
    db.session.commit()


def test_a_run_says_of_which_day_the_databases_were(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.SUCCESS)
    stamp_run(run, made_at="2026-11-24T01:00:00Z")

    page = flat(re.sub("<[^>]*>", " ", signed_in.get(f"/runs/{run.id}").text))

    assert "Detected by Vuls v0.40.1 with Vuls2 Database of 24 Nov , fetched Wed 25 Nov, 02:00" in page


def test_a_run_from_before_names_no_day(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.SUCCESS)
    stamp_run(run)

    assert "with Vuls2 Database, fetched" in flat(
        re.sub("<[^>]*>", "", signed_in.get(f"/runs/{run.id}").text)
    )


def test_a_task_demands_new_databases(signed_in: FlaskClient, make_host: Callable[..., Host]) -> None:
    make_host(tags=["web"])
    demand = {"database_hours": "24", "old_databases": "wait"}

    address = signed_in.post("/tasks/", data=SCAN | demand).location
    task = db.session.scalars(select(ScheduledTask)).one()
    page = flat(re.sub("<[^>]*>", " ", signed_in.get(address).text))
    form = flat(signed_in.get(f"{address}/edit").text)
    body = signed_in.get(f"/api/scheduled-tasks/{task.id}").get_json()
    signed_in.post(address, data=SCAN)

    assert (body["database_hours"], body["old_databases"]) == (24, "wait")
    assert "Databases at most 24 hours old If older: wait for an update" in page
    assert 'name="database_hours" value="24"' in form
    assert '<option value="wait" selected>' in form
    db.session.refresh(task)
    assert (task.database_hours, task.old_databases) == (None, OldDatabases.UPDATE)


@pytest.mark.parametrize("hours", ["0", "-1", "1.5", "a day", "8761", "9" * 5000, "\N{SUPERSCRIPT TWO}"])
def test_a_number_of_hours_that_makes_no_sense_is_said_at_its_field(
    signed_in: FlaskClient, hours: str
) -> None:
    answer = signed_in.post("/tasks/", data=SCAN | {"database_hours": hours})

    assert answer.status_code == 422
    assert "Give a whole number of hours from 1 to 8,760, or leave it empty." in answer.text
