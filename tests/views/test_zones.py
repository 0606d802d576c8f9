"""Pages that speak of several executors at once: two real ones, of both profiles."""

from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import EXECUTOR_KEY, TOOLS, Installation
from tests.views.conftest import flat
from vulsweb.executors.settings import MAIN, Executor


@pytest.fixture(autouse=True)
def zones(
    app: Flask, installation: Installation, current: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main executor of the classic profile, and `dmz` of the current one."""
    known = (
        Executor(MAIN, installation.url, EXECUTOR_KEY),
        Executor("dmz", current.url, EXECUTOR_KEY, ("dmz",)),
    )
    monkeypatch.setitem(app.config, "EXECUTORS", known)


@pytest.fixture
def away(app: Flask, zones: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third one, which does not answer."""
    lab = Executor("lab", "http://127.0.0.1:1", EXECUTOR_KEY, ("lab",))
    monkeypatch.setitem(app.config, "EXECUTORS", (*app.config["EXECUTORS"], lab))


def test_the_overview_counts_where_the_fewest_databases_are_and_says_whose_are_missing(
    signed_in: FlaskClient, installation: Installation
) -> None:
    installation.add_database(datetime.now(UTC).isoformat())

    part = flat(signed_in.get("/overview/databases").text)

    assert "No databases yet: dmz" in part
    assert "No databases yet: main" not in part
    assert "Updated <time" in part


@pytest.mark.usefixtures("away")
def test_the_overview_says_who_does_not_answer(signed_in: FlaskClient) -> None:
    part = flat(signed_in.get("/overview/databases").text)

    assert "lab does not answer" in part
    assert "No databases yet: main, dmz" in part


def test_the_notice_names_the_executor_that_is_farthest_from_scanning(
    signed_in: FlaskClient, installation: Installation
) -> None:
    without_tools = flat(signed_in.get("/system-notice").text)
    installation.add_tools(*TOOLS)
    installation.add_database()
    without_database = flat(signed_in.get("/system-notice").text)

    assert "Vuls is not installed at main." in without_tools
    assert "No vulnerability database yet at dmz." in without_database


@pytest.mark.usefixtures("away")
def test_the_notice_says_whose_hosts_are_not_scanned(signed_in: FlaskClient) -> None:
    notice = flat(signed_in.get("/system-notice").text)

    assert "lab: The executor does not answer, so nothing runs there. It scans hosts tagged lab." in notice


@pytest.mark.parametrize("name", ["nvd", "vuls2"])
def test_what_one_of_them_reads_may_be_scheduled(signed_in: FlaskClient, name: str) -> None:
    hint = flat(signed_in.get(f"/databases/hint?database_type={name}").text)
    form = {"name": "n", "task_type": "db_update", "database_type": name, "cron_expression": "0 2 * * *"}

    assert "no effect" not in hint
    assert signed_in.post("/tasks/", data=form).status_code == 303
