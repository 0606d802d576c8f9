"""`GET /api/databases`."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import EXECUTOR_KEY, TOOLS, Installation
from vulsweb.executors.settings import Executor
from vulsweb.models import ScheduledTask


def test_it_returns_the_content_of_each_database_and_whether_vuls_reads_it(
    api: FlaskClient, installation: Installation, make_task: Callable[..., ScheduledTask]
) -> None:
    installation.add_tools(*TOOLS)
    installation.add_version("v0.26.0")
    installation.add_database()
    task = make_task(name="Monthly", task_type="db_update", database_type="gost_debian")

    reply = api.get("/api/databases").get_json()

    items = {item["name"]: item for item in reply["items"]}
    assert (reply["vuls_version"], reply["executor"]["state"], len(items)) == ("Vuls v0.26.0", "ok", 10)
    assert items["gost_debian"] | {"size_bytes": 0, "tasks": []} == {
        "name": "gost_debian",
        "label": "GOST Debian",
        "about": "Debian's security tracker, including vulnerabilities without a fix.",
        "tool": "gost",
        "file": "gost.sqlite3",
        "families": ["debian", "raspbian"],
        "detects": True,
        "read": True,
        "why": "Vuls v0.26.0 reads it and finds nothing on such hosts without it.",
        "profile": "classic",
        "rows": 1,
        "fetched_at": "2026-01-01T00:00:00+00:00",
        "made_at": None,
        "digest": None,
        "still": False,
        "size_bytes": 0,
        "locked": False,
        "old": True,
        "hosts": {},
        "needed": False,
        "tasks": [],
        "last_fetch": None,
        "ended": "",
    }
    assert [each["id"] for each in items["gost_debian"]["tasks"]] == [task.id]
    assert items["ubuntu"]["read"] is False
    assert items["nvd"]["rows"] == 0


def test_without_the_executor_it_returns_what_is_known(api: FlaskClient) -> None:
    answer = api.get("/api/databases")

    reply = answer.get_json()
    assert (answer.status_code, reply["executor"]["state"], reply["vuls_version"]) == (200, "failed", None)
    assert {item["rows"] for item in reply["items"]} == {item["read"] for item in reply["items"]} == {None}


def test_a_database_that_is_not_read_may_be_scheduled(api: FlaskClient, installation: Installation) -> None:
    installation.add_version("v0.26.0")
    body = {
        "name": "OVAL",
        "task_type": "db_update",
        "config": {"database_type": "debian"},
        "cron_expression": "0 2 1 * *",
    }

    assert api.post("/api/scheduled-tasks/", json=body).status_code == 201


def test_a_database_of_another_profile_is_refused_with_a_reason(
    api: FlaskClient, current: Installation
) -> None:
    body = {
        "name": "NVD",
        "task_type": "db_update",
        "config": {"database_type": "nvd"},
        "cron_expression": "0 2 1 * *",
    }

    refused = api.post("/api/scheduled-tasks/", json=body)
    taken = api.post("/api/scheduled-tasks/", json=body | {"config": {"database_type": "vuls2"}})

    (sentence,) = refused.get_json()["errors"]["config.database_type"]
    assert refused.status_code == 422
    assert "The executor's profile is current. Its Vuls does not read NVD Database" in sentence
    assert (taken.status_code, taken.get_json()["config"]["database_type"]) == (201, "vuls2")


def test_it_returns_the_profile_and_why_vuls_does_not_fit_it(api: FlaskClient, current: Installation) -> None:
    current.add_version("v0.26.0")

    reply = api.get("/api/databases").get_json()

    assert reply["profile"] == "current"
    assert reply["misfit"].startswith("The executor's profile is current, and Vuls v0.26.0 does not know")
    assert {item["name"] for item in reply["items"] if item["profile"] == "current"} == {"vuls2"}


def test_one_of_several_executors_is_selected_by_name(
    api: FlaskClient, app: Flask, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.add_database()
    away = Executor("dmz", "http://127.0.0.1:1", EXECUTOR_KEY, ("dmz",))
    monkeypatch.setitem(app.config, "EXECUTORS", (*app.config["EXECUTORS"], away))

    main, dmz = (api.get(f"/api/databases{query}").get_json() for query in ("", "?executor=dmz"))
    unknown = api.get("/api/databases?executor=none")

    assert (main["executor"]["state"], dmz["executor"]["state"]) == ("ok", "failed")
    assert "It scans hosts tagged dmz." in dmz["executor"]["says"]
    assert (unknown.status_code, unknown.get_json()["detail"]) == (422, "There is no executor 'none'.")
