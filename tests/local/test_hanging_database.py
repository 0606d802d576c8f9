"""A PostgreSQL that hangs: it neither answers nor refuses."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from psycopg2 import extensions

from tests.conftest import executors_at
from vulsweb import create_app
from vulsweb.extensions import db
from vulsweb.local import postgres
from vulsweb.system import database_waits


@pytest.fixture
def app(place: Path, tmp_path: Path) -> Iterator[Flask]:
    """The application as in gunicorn's worker, on a database of its own."""
    with postgres(place / "postgres", durable=False) as url:
        made = create_app(
            {
                "SECRET_KEY": "tests tests tests tests tests tests",
                "SQLALCHEMY_DATABASE_URI": url,
                "REDIS_URL": "redis://127.0.0.1:1/0",
                "RATELIMIT_STORAGE_URI": "memory://",
                "EXECUTORS": executors_at("http://127.0.0.1:1"),
                "VULS_CONFIG": tmp_path / "config.toml",
                "SSH_FOLDER": tmp_path / "ssh",
                "WTF_CSRF_ENABLED": False,
                "OPENID": None,
                "SECOND_FACTOR": "optional",
                "LOCAL_SIGN_IN": True,
            }
        )
        with made.app_context():
            upgrade()
        database_waits.apply()
        yield made
        extensions.set_wait_callback(None)
        with made.app_context():
            db.engine.dispose()


@contextmanager
def hanging(folder: Path) -> Iterator[None]:
    """Stop all processes of a server, as a failing disk does."""
    (pid_file,) = folder.rglob("postmaster.pid")
    server = psutil.Process(int(pid_file.read_text().split()[0]))
    stopped = [server, *server.children(recursive=True)]
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            process.resume()


def sign_in(client: FlaskClient) -> int:
    return client.post("/sign-in", data={"name": "nobody", "password": "wrong"}).status_code


@pytest.mark.parametrize("connected", [True, False], ids=["on an open connection", "on a new connection"])
def test_pages_and_calls_answer_while_the_database_hangs(
    app: Flask, place: Path, monkeypatch: pytest.MonkeyPatch, connected: bool
) -> None:
    monkeypatch.setattr(database_waits, "PAGE_SECONDS", 0.5)
    client = app.test_client()
    if connected:
        assert sign_in(client) == 422

    with hanging(place / "postgres"):
        page = client.post("/sign-in", data={"name": "nobody", "password": "wrong"})
        call = client.get("/api/system", headers={"Authorization": "Bearer token"})

    assert (page.status_code, call.status_code) == (503, 503)
    assert "PostgreSQL does not answer. Nothing is lost" in page.text
    assert call.get_json()["detail"] == database_waits.NO_ANSWER
    assert sign_in(client) == 422


def test_the_system_page_gives_up_sooner_than_others() -> None:
    assert database_waits.SYSTEM_SECONDS < 2 < database_waits.PAGE_SECONDS
