"""The System page, its dot, and the usual duration on the page of a run."""

import re
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import EXECUTOR_KEY, TOOLS, Installation, executors_at
from tests.views.conftest import HOSTILE, MakeRun, flat
from vulsweb.executors.settings import Executor
from vulsweb.extensions import db
from vulsweb.models import RunStatus
from vulsweb.runs import starting

LIVE = {"HX-Request": "true"}
BADGE = re.compile(r'id="check-(\w+)" class="check"> <span class="badge (\w+)">')


def test_it_shows_each_check_with_its_state(signed_in: FlaskClient, installation: Installation) -> None:
    installation.add_tools(*TOOLS)
    starting.record_tick(datetime.now(UTC))
    db.session.commit()

    page = flat(signed_in.get("/system/").text)

    assert dict(BADGE.findall(page)) == {
        "worker": "failed",
        "beat": "ok",
        "redis": "failed",
        "postgresql": "ok",
        "executor": "ok",
        "tools": "ok",
        "databases": "warning",
        "disk": "ok",
        "machine": "ok",
    }
    assert "3 components need attention." in page


def test_it_shows_the_version(signed_in: FlaskClient) -> None:
    assert f"Vuls Web {version('vulsweb')}" in flat(signed_in.get("/system/").text)


def test_a_failed_check_shows_what_to_do_and_hides_the_technical_text(signed_in: FlaskClient) -> None:
    page = flat(signed_in.get("/system/").text)

    assert "The executor does not answer, so nothing runs." in page
    assert "Verify that the API key matches between the services" in page
    assert "<summary>Technical details</summary>" in page


def test_it_shows_tools_and_databases(signed_in: FlaskClient, installation: Installation) -> None:
    installation.add_tools("vuls")
    installation.add_database()

    page = flat(signed_in.get("/system/").text)

    assert page.count("Missing") == 3
    assert page.count("Never</span>") == 8
    assert '<td class="number" data-label="Rows">1</td>' in page


def test_it_shows_the_profile_and_on_what_it_finds_nothing(
    signed_in: FlaskClient, installation: Installation
) -> None:
    installation.add_tools(*TOOLS)
    installation.add_version("v0.26.0")

    page = flat(signed_in.get("/system/").text)

    assert "The profile is classic. It finds nothing on Debian 13, " in page
    assert "The profile current finds more: docs/engines.md says how to move to it" in page


def test_where_it_knows_all_it_shows_the_profile_alone(signed_in: FlaskClient, current: Installation) -> None:
    page = flat(signed_in.get("/system/").text)

    assert "The profile is current.</bdi>" in page


def test_the_live_part_is_silent_until_something_changes(
    signed_in: FlaskClient, installation: Installation
) -> None:
    found = re.search(r'id="system-live"[^>]*?hx-get="([^"]+)"', signed_in.get("/system/").text)
    assert found is not None

    unchanged = signed_in.get(found[1], headers=LIVE)
    installation.add_tools(*TOOLS)
    changed = signed_in.get(found[1], headers=LIVE)

    assert unchanged.status_code == 204
    assert changed.status_code == 200


def test_the_dot_has_the_worst_state(signed_in: FlaskClient) -> None:
    dot = signed_in.get("/system/dot").text

    assert 'class="state failed"' in dot
    assert '<span class="sr-only">Failed</span>' in dot


def test_no_page_waits_for_the_dot(signed_in: FlaskClient) -> None:
    page = signed_in.get("/tasks/").text

    assert re.search(r'hx-get="/system/dot"\s+hx-trigger="load', page)
    assert "state failed" not in page


def test_messages_of_a_check_are_escaped(
    signed_in: FlaskClient, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "EXECUTORS", executors_at(f"http://127.0.0.1:1/{HOSTILE}"))

    page = signed_in.get("/system/").text

    assert HOSTILE not in page


def test_of_several_executors_the_one_that_is_down_is_shown(
    signed_in: FlaskClient, app: Flask, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.add_tools(*TOOLS)
    away = Executor("dmz", "http://127.0.0.1:1", EXECUTOR_KEY, ("dmz", "lab"))
    monkeypatch.setitem(app.config, "EXECUTORS", (*app.config["EXECUTORS"], away))

    page = flat(signed_in.get("/system/").text)

    badges = dict(re.findall(r'id="check-([\w-]+)" class="check"> <span class="badge (\w+)">', page))
    assert (badges["executor"], badges["executor-dmz"]) == ("ok", "failed")
    assert "Executor, dmz" in page
    assert "so nothing runs there. It scans hosts tagged dmz or lab." in page


def test_a_run_shows_what_is_usual_for_its_task(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.SUCCESS)

    page = flat(signed_in.get(f"/runs/{run.id}").text)

    assert '1 min 12 s <span class="muted">usually 1 min 12 s</span>' in page


def test_an_active_run_shows_what_is_usual_beside_the_time_so_far(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    done = make_run(RunStatus.SUCCESS)
    begun = datetime.now(UTC) - timedelta(seconds=30)
    run = make_run(RunStatus.RUNNING, done.task, started_at=begun)

    page = flat(signed_in.get(f"/runs/{run.id}").text)

    assert re.search(r'3\d s</span> so far <span class="muted">usually about 1 min</span>', page)


def test_without_history_nothing_is_usual(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.RUNNING)

    assert "usually" not in signed_in.get(f"/runs/{run.id}").text


def test_what_is_usual_does_not_wake_the_page(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.RUNNING)
    found = re.search(r'id="run-status"[^>]*?hx-get="([^"]+)"', signed_in.get(f"/runs/{run.id}").text)
    assert found is not None
    make_run(RunStatus.SUCCESS, run.task)

    assert signed_in.get(found[1], headers=LIVE).status_code == 204
