"""Metrics and probes."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from tests.conftest import NOW
from tests.views.conftest import MakeRun, cve, statements, store
from tests.views.conftest import make_run as make_run
from vulsweb.accounts import tokens
from vulsweb.extensions import db
from vulsweb.models import Host, RunStatus, ScheduledTask, Scope, Trigger, Trouble, User
from vulsweb.runs import starting

MakeTask = Callable[..., ScheduledTask]


@pytest.fixture
def scrape(app: Flask, client: FlaskClient, admin: User) -> Callable[[], dict[tuple[str, str], float]]:
    """Read all samples as a program with the smallest scope does: by name and labels."""
    token = tokens.create("prometheus", admin, Scope.METRICS, 0, NOW)
    db.session.commit()

    def read() -> dict[tuple[str, str], float]:
        answer = client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200
        assert answer.content_type.startswith("text/plain")
        return {
            (sample.name, ",".join(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    return read


def test_metrics_say_what_is_there(
    scrape: Callable[[], dict[tuple[str, str], float]],
    make_run: MakeRun,
    make_task: MakeTask,
    make_host: Callable[..., Host],
) -> None:
    now = datetime.now(UTC)
    make_host("never")
    scan = make_run(RunStatus.SUCCESS, make_task(), created_at=now)
    store(scan, {"CVE-2026-1": cve(9.8), "CVE-2026-2": cve(5.0)})
    late = {"trigger": Trigger.SCHEDULE, "created_at": now, "scheduled_for": now - timedelta(seconds=50)}
    make_run(RunStatus.RUNNING, make_task(), started_at=now - timedelta(seconds=42), **late)
    update = make_task(task_type="db_update", database_type="gost_debian")
    older, newer = (make_run(RunStatus.SUCCESS, update, created_at=now, completed_at=now) for _ in range(2))
    for run, day in ((older, 20), (newer, 24)):
        entry = {"executor": "main", "name": "gost_debian", "status": "completed"}
        odd = entry | {"name": "nvd", "made_at": "yesterday"}
        run.result_data = {"databases": [entry | {"made_at": f"2026-11-{day}T00:00:00Z"}, odd]}
    make_run(RunStatus.FAILED, update, created_at=now - timedelta(days=2))
    db.session.add(Trouble(part="executor", since=now - timedelta(minutes=10)))
    starting.record_tick(now - timedelta(seconds=30))
    db.session.commit()

    found = scrape()

    assert found["vulsweb_runs_active", "running"] == 1
    assert found["vulsweb_runs_24h", "success,scan"] == 1
    assert found["vulsweb_runs_24h", "success,db_update"] == 2
    assert found["vulsweb_runs_24h", "failed,db_update"] == 0
    assert found["vulsweb_run_start_lateness_seconds_bucket", "5.0"] == 0
    assert found["vulsweb_run_start_lateness_seconds_bucket", "10.0"] == 1
    assert found["vulsweb_run_start_lateness_seconds_count", ""] == 1
    assert found["vulsweb_database_updated_timestamp_seconds", "gost_debian"] == pytest.approx(
        now.timestamp(), abs=1
    )
    content = found["vulsweb_database_content_timestamp_seconds", "gost_debian,main"]
    assert content == datetime(2026, 11, 24, tzinfo=UTC).timestamp()
    assert ("vulsweb_database_content_timestamp_seconds", "nvd,main") not in found
    assert found["vulsweb_hosts", "never_scanned"] >= 1
    assert found["vulsweb_open_findings", "critical"] == 1
    assert found["vulsweb_open_findings", "medium"] == 1
    assert 30 <= found["vulsweb_scheduler_tick_age_seconds", ""] < 90
    assert found["vulsweb_failing_parts", "executor"] >= 600
    assert found["vulsweb_outbox_waiting", ""] == 0


def test_an_empty_installation_has_all_metrics(scrape: Callable[[], dict[tuple[str, str], float]]) -> None:
    found = scrape()

    assert found["vulsweb_open_findings", "critical"] == 0
    assert found["vulsweb_run_start_lateness_seconds_count", ""] == 0
    assert any(name == "vulsweb_info" for name, _ in found)


def test_the_number_of_queries_does_not_grow(
    scrape: Callable[[], dict[tuple[str, str], float]], make_task: MakeTask
) -> None:
    scrape()
    with statements() as few:
        scrape()
    for _ in range(20):
        make_task()
    with statements() as many:
        scrape()

    assert len(few) == len(many) <= 11


@pytest.mark.parametrize("scope", [Scope.RESULTS, None])
def test_others_do_not_read_them(app: Flask, client: FlaskClient, admin: User, scope: Scope | None) -> None:
    headers = {}
    if scope:
        headers = {"Authorization": f"Bearer {tokens.create('other', admin, scope, 0, NOW)}"}
        db.session.commit()

    answer = client.get("/metrics", headers=headers)

    assert answer.status_code == (403 if scope else 401)
    assert "vulsweb_" not in answer.text


def test_a_signed_in_user_reads_them(signed_in: FlaskClient) -> None:
    assert "vulsweb_info" in signed_in.get("/metrics").text


@pytest.fixture
def old_schema(app: Flask) -> Iterator[None]:
    """A database that another version has not migrated yet."""
    found = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    db.session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    db.session.commit()
    yield
    db.session.execute(text("UPDATE alembic_version SET version_num = :found"), {"found": found})
    db.session.commit()


def test_it_is_ready_with_its_schema(client: FlaskClient) -> None:
    answers = {path: client.get(path) for path in ("/livez", "/readyz", "/startupz", "/healthz")}

    assert {path: (answer.status_code, answer.text) for path, answer in answers.items()} == dict.fromkeys(
        answers, (200, "ok")
    )


@pytest.mark.usefixtures("old_schema")
def test_it_is_not_ready_while_the_database_is_migrated(client: FlaskClient) -> None:
    answer = client.get("/readyz")

    assert (answer.status_code, answer.text) == (503, "The database is being migrated.\n")
    assert client.get("/livez").status_code == 200


def test_it_is_not_ready_without_a_schema(app: Flask, client: FlaskClient) -> None:
    db.session.execute(text("ALTER TABLE alembic_version RENAME TO gone"))
    db.session.commit()
    try:
        answer = client.get("/readyz")
    finally:
        db.session.execute(text("ALTER TABLE gone RENAME TO alembic_version"))
        db.session.commit()

    assert (answer.status_code, "PostgreSQL does not answer" in answer.text) == (503, True)
