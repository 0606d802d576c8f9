"""`GET /api/databases`."""

from collections.abc import Callable

from flask.testing import FlaskClient

from tests.conftest import TOOLS, Installation
from vulsweb.models import ScheduledTask


def test_it_tells_of_each_database_what_is_in_it_and_whether_vuls_reads_it(
    api: FlaskClient, installation: Installation, make_task: Callable[..., ScheduledTask]
) -> None:
    installation.add_tools(*TOOLS)
    installation.add_version("v0.26.0")
    installation.add_database()
    task = make_task(name="Monthly", task_type="db_update", database_type="gost_debian")

    told = api.get("/api/databases").get_json()

    items = {item["name"]: item for item in told["items"]}
    assert (told["vuls_version"], told["executor"]["state"], len(items)) == ("Vuls v0.26.0", "ok", 9)
    assert items["gost_debian"] | {"size_bytes": 0, "tasks": []} == {
        "name": "gost_debian",
        "label": "GOST Debian",
        "about": "Debian's security tracker, flaws without a fix included.",
        "tool": "gost",
        "file": "gost.sqlite3",
        "families": ["debian", "raspbian"],
        "detects": True,
        "read": True,
        "why": "Vuls v0.26.0 reads it, and finds nothing on such hosts without it.",
        "rows": 1,
        "fetched_at": "2026-01-01T00:00:00+00:00",
        "size_bytes": 0,
        "old": True,
        "hosts": {},
        "needed": False,
        "tasks": [],
        "last_fetch": None,
    }
    assert [each["id"] for each in items["gost_debian"]["tasks"]] == [task.id]
    assert items["ubuntu"]["read"] is False
    assert items["nvd"]["rows"] == 0


def test_without_the_executor_it_tells_what_is_known(api: FlaskClient) -> None:
    answer = api.get("/api/databases")

    told = answer.get_json()
    assert (answer.status_code, told["executor"]["state"], told["vuls_version"]) == (200, "failed", None)
    assert {item["rows"] for item in told["items"]} == {item["read"] for item in told["items"]} == {None}


def test_a_database_that_is_not_read_may_be_scheduled(api: FlaskClient, installation: Installation) -> None:
    installation.add_version("v0.26.0")
    body = {
        "name": "OVAL",
        "task_type": "db_update",
        "config": {"database_type": "debian"},
        "cron_expression": "0 2 1 * *",
    }

    assert api.post("/api/scheduled-tasks/", json=body).status_code == 201
