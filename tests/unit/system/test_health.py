"""Health checks of all components: up, down, slow and late."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from tests.conftest import EXECUTOR_KEY, NOW, PASSWORD, TOOLS, Installation, executors_at
from vulsweb import worker
from vulsweb.executors.settings import MAIN, Executor
from vulsweb.extensions import celery, db
from vulsweb.local import redis
from vulsweb.runs import starting
from vulsweb.system import executor_checks, health, service_checks
from vulsweb.system.checks import Check, State
from vulsweb.system.executor_checks import (
    Database,
    Health,
    disk_check,
    docker_checks,
    machine_checks,
    readiness,
    tools_check,
)
from vulsweb.system.health import System
from vulsweb.vuls.catalogue import DatabaseType


@pytest.fixture(scope="module")
def redis_url(open_folder: Path) -> Iterator[str]:
    """A real Redis-compatible server without a worker."""
    with redis(open_folder / "redis", durable=False) as url:
        yield url


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def checks(found: System) -> dict[str, Check]:
    return {check.name: check for check in found.checks}


def read(app: Flask, now: datetime = NOW, **settings: Any) -> dict[str, Check]:
    return checks(health.read({**app.config, **settings}, now))


def test_components_that_are_down_are_red_and_say_what_to_do(app: Flask) -> None:
    found = read(app, SQLALCHEMY_DATABASE_URI="postgresql+psycopg2://nobody@127.0.0.1:1/none")

    for name in ("worker", "redis", "postgresql", "executor"):
        assert found[name].state is State.FAILED
        assert found[name].advice
        assert found[name].detail
    assert "REDIS_URL" in " ".join(found["redis"].advice)
    assert "DATABASE_URL" in " ".join(found["postgresql"].advice)
    assert "EXECUTOR_API_KEY" in " ".join(found["executor"].advice)


def test_what_is_unknown_is_amber_and_says_what_to_fix_first(app: Flask) -> None:
    found = read(app, SQLALCHEMY_DATABASE_URI="postgresql+psycopg2://nobody@127.0.0.1:1/none")

    for name in ("beat", "tools", "databases", "disk"):
        assert found[name].state is State.WARNING
        assert found[name].advice


def test_components_that_hang_are_not_waited_for(app: Flask, silent_port: int) -> None:
    address = f"127.0.0.1:{silent_port}"

    found = read(
        app,
        SQLALCHEMY_DATABASE_URI=f"postgresql+psycopg2://nobody@{address}/none",
        REDIS_URL=f"redis://{address}/0",
        EXECUTORS=executors_at(f"http://{address}"),
    )

    assert [found[name].state for name in ("redis", "postgresql", "executor")] == [State.FAILED] * 3


def test_error_messages_of_checks_hold_no_secrets(app: Flask) -> None:
    found = health.read(
        {
            **app.config,
            "SQLALCHEMY_DATABASE_URI": f"postgresql+psycopg2://nobody:{PASSWORD}@127.0.0.1:1/none",
            "REDIS_URL": f"redis://:{PASSWORD.replace(' ', '+')}@127.0.0.1:1/0",
        },
        NOW,
    )

    assert PASSWORD not in repr(found)
    assert PASSWORD.replace(" ", "+") not in repr(found)
    assert EXECUTOR_KEY not in repr(found)


def test_the_system_has_the_state_of_its_worst_check() -> None:
    ok, amber, red = (Check("disk", "Disk", state, "") for state in State)

    assert System((ok, ok), ()).state is State.OK
    assert System((ok, amber), ()).state is State.WARNING
    assert System((red, amber, ok), ()).state is State.FAILED


def test_postgresql_reports_its_version(app: Flask) -> None:
    version = str(db.session.scalar(text("SHOW server_version"))).split()[0]

    check = read(app)["postgresql"]

    assert (check.state, check.message) == (State.OK, f"PostgreSQL {version} answers.")


def test_redis_answers_where_no_worker_does(
    app: Flask, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celery.conf, "broker_url", redis_url)
    monkeypatch.setattr(celery, "_pool", None)

    found = read(app, REDIS_URL=redis_url)

    assert found["redis"].state is State.OK
    assert found["worker"].state is State.FAILED
    assert found["worker"].message == "No Celery worker answers, so no task runs."


def test_a_tick_records_its_time(app: Flask) -> None:
    before = datetime.now(UTC)

    worker.tick.run()
    worker.tick.run()

    at = read(app, now=before)["beat"].at
    assert at is not None
    assert before <= at <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("age", "state"),
    [
        (timedelta(seconds=59), State.OK),
        (timedelta(seconds=89), State.OK),
        (timedelta(seconds=95), State.WARNING),
    ],
)
def test_beat_is_late_if_its_last_tick_is_old(app: Flask, age: timedelta, state: State) -> None:
    starting.record_tick(NOW - age)
    db.session.commit()

    check = read(app)["beat"]

    assert (check.state, check.at) == (state, NOW - age)


def test_before_the_first_tick_beat_is_amber(app: Flask) -> None:
    assert read(app)["beat"].state is State.WARNING


def test_a_missing_tick_is_red() -> None:
    info = service_checks.PostgresqlInfo("18", NOW - timedelta(minutes=9))

    check = service_checks.beat_check(info, NOW)

    assert check.state is State.FAILED
    assert "8 min late" in check.message


def test_a_tick_from_the_future_is_a_warning_about_clocks() -> None:
    info = service_checks.PostgresqlInfo("18", NOW + timedelta(hours=1))

    check = service_checks.beat_check(info, NOW)

    assert check.state is State.WARNING
    assert "3600 s in the future: a clock was set back" in check.message


@pytest.mark.parametrize(
    ("ahead", "state", "expected"),
    [
        (timedelta(seconds=5), State.WARNING, "Its clock is 5 s ahead of this machine's."),
        (timedelta(seconds=-70), State.WARNING, "Its clock is 70 s behind this machine's."),
        (timedelta(seconds=-1), State.OK, "PostgreSQL 18 answers."),
    ],
)
def test_a_database_whose_clock_differs_is_a_warning(ahead: timedelta, state: State, expected: str) -> None:
    check = service_checks.postgresql_check(service_checks.PostgresqlInfo("18", NOW, ahead))

    assert (check.state, check.message) == (state, expected)


@pytest.mark.parametrize(
    ("seconds", "state", "expected"),
    [
        (-90, State.WARNING, "Its clock is 90 s behind this machine's."),
        (5, State.WARNING, "Its clock is 5 s ahead of this machine's."),
        (0.5, State.OK, "Running with the local engine."),
    ],
)
def test_an_executor_whose_clock_differs_is_a_warning(seconds: float, state: State, expected: str) -> None:
    answer = executor_checks.Health("local", (), (), ahead=timedelta(seconds=seconds))

    check = executor_checks.executor_check(answer, Executor(MAIN, "http://executor", "key"))

    assert (check.state, check.message) == (state, expected)


def test_a_rejected_key_is_told_apart_from_no_answer(app: Flask, installation: Installation) -> None:
    url = app.config["EXECUTORS"][0].url

    check = read(app, EXECUTORS=executors_at(url, "some other key, just as long as ours"))["executor"]

    assert check.state is State.FAILED
    assert check.message == "The executor rejected the API key, so nothing runs."


def test_an_executor_reports_its_engine_tools_databases_and_disk(
    app: Flask, installation: Installation
) -> None:
    installation.add_tools(*TOOLS)
    installation.add_database()

    found = health.read(app.config, NOW)

    assert checks(found)["executor"].message == "Running with the local engine."
    assert checks(found)["tools"].state is State.OK
    assert checks(found)["databases"].message == "1 of 9 fetched, all up to date."
    assert "GB free of" in checks(found)["disk"].message
    assert [tool.name for tool in found.tools] == sorted(TOOLS)
    debian = next(database for database in found.databases if database.name == "gost_debian")
    assert (debian.rows, debian.old) == (1, False)
    assert debian.fetched_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert debian.size_bytes > 0


def test_a_missing_tool_is_named(app: Flask, installation: Installation) -> None:
    installation.add_tools("vuls", "gost")

    check = read(app)["tools"]

    assert check.state is State.FAILED
    assert check.message == "Not installed where the executor runs: go-cve-dictionary, goval-dictionary."


def test_without_a_database_it_says_to_fetch_one(app: Flask, installation: Installation) -> None:
    check = read(app)["databases"]

    assert check.state is State.WARNING
    assert check.advice == ("Run a Database Update from the Scheduler.",)


def test_a_fetched_database_whose_feed_has_ended_is_a_warning_with_what_to_do() -> None:
    nvd, debian = (Database(name, rows=1) for name in (DatabaseType.NVD, DatabaseType.GOST_DEBIAN))
    ended = {"nvd": "Run make tools.", "gost_redhat": "Never fetched."}

    check = executor_checks.databases_check(Health("local", (), (nvd, debian), ended=ended))

    assert check.state is State.WARNING
    assert check.message == "The feed has ended: NVD Database. The content gets older."
    assert check.advice == ("Run make tools.",)


def test_a_database_older_than_a_month_is_old(app: Flask, installation: Installation) -> None:
    installation.add_database("2025-11-01T00:00:00Z")

    check = read(app)["databases"]

    assert check.state is State.WARNING
    assert check.message == "Older than a month: GOST Debian."
    assert "Keep vulnerability databases updated monthly" in check.advice[0]


@pytest.mark.parametrize(
    ("free", "state"), [(50 * 10**9, State.OK), (3 * 10**9, State.WARNING), (10**8, State.FAILED)]
)
def test_a_disk_that_fills_up_is_reported_in_time(free: int, state: State) -> None:
    answer = Health("local", (), (), {"free_bytes": free, "total_bytes": 10**11})

    assert disk_check(answer).state is state


MACHINE = {"load": 3.2, "cpus": 4, "memory_free_bytes": 6 * 10**9, "memory_total_bytes": 16 * 10**9}


@pytest.mark.parametrize(("free", "state"), [(6 * 10**9, State.OK), (5 * 10**8, State.WARNING)])
def test_the_machine_of_an_executor_shows_load_and_memory(free: int, state: State) -> None:
    (check,) = machine_checks(Health("local", (), (), machine=MACHINE | {"memory_free_bytes": free}))

    assert check.state is state
    assert check.message.startswith("Load 3 on 4 processors; ")
    assert check.message.endswith(" of 16 GB memory free.")


def test_docker_away_is_docker_away_and_not_a_missing_tool() -> None:
    away = Health("docker", (), (), docker="Docker does not answer at tcp://x:1. Check that it runs.")

    (check,) = docker_checks(away)

    assert (check.state, check.message) == (State.FAILED, "Docker does not answer at tcp://x:1.")
    assert check.advice[0] == "Check that it runs."
    assert tools_check(away).message == "Unknown while Docker does not answer."
    assert readiness(away) == 1


def test_docker_is_a_part_only_where_the_executor_needs_it() -> None:
    assert docker_checks(Health("local", (), ())) == []
    assert [check.state for check in docker_checks(Health("docker", (), (), docker=""))] == [State.OK]
