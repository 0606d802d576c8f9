"""A real PostgreSQL, an application on it, and the cast: an admin, a host, tasks."""

import contextlib
import contextvars
import json
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy import text, update
from werkzeug.test import TestResponse
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

import executor.application
from tests.images import server_images, ssh_target, tool_images
from tests.support.dockerd import docker_engine
from tests.support.serving import serving
from tests.support.sessions import sign_in
from tests.support.waiting import patience
from vulsweb import create_app
from vulsweb.accounts import tokens, users
from vulsweb.executors.settings import MAIN, Executor
from vulsweb.extensions import celery, db, limiter
from vulsweb.local import postgres
from vulsweb.models import ApiToken, Host, Role, ScheduledTask, Scope, User
from vulsweb.models import user as user_model
from vulsweb.system import checks, executor_checks, service_checks
from vulsweb.tasks import editing as task_editing
from vulsweb.vuls.connections import HostConnection

# Fixtures that stand beside what they are about.
__all__ = ["docker_engine", "server_images", "ssh_target", "tool_images"]

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"
EXECUTOR_KEY = "tests tests tests tests tests tests"
TOOLS = ("vuls", "gost", "go-cve-dictionary", "goval-dictionary")

# TRUNCATE makes new files for each table and index, and takes fifteen times as long.
EMPTY = """
DO $$
DECLARE name regclass; has_rows boolean;
BEGIN
  SET LOCAL session_replication_role = replica;  -- no foreign keys, no triggers
  FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                                         AND relname <> 'alembic_version' LOOP
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %s)', name) INTO has_rows;
    IF has_rows THEN EXECUTE format('DELETE FROM %s', name); END IF;
  END LOOP;
  -- Those of ids, and not the counter of changes.
  PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence JOIN pg_depend ON objid = seqrelid
    WHERE deptype IN ('a', 'i') AND classid = 'pg_class'::regclass
      AND pg_sequence_last_value(seqrelid) IS NOT NULL;
END $$
"""


def executors_at(url: str, key: str = EXECUTOR_KEY) -> tuple[Executor, ...]:
    """Return the setting that names one executor."""
    return (Executor(MAIN, url, key),)


def at(moment: str) -> datetime:
    """Return a moment written like "2026-01-01 03:00", in UTC."""
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


def handle_messages(monkeypatch: pytest.MonkeyPatch, name: str, handle: Callable[..., object]) -> None:
    """Give messages for the worker function `name` to `handle` instead of to Redis."""
    send = celery.send_task

    def send_task(task: str, arguments: Sequence[Any] = (), **options: Any) -> object:
        return handle(*arguments) if task == f"vulsweb.{name}" else send(task, arguments, **options)

    monkeypatch.setattr(celery, "send_task", send_task)


# Files of tests/docker that start whole production stacks. The others are about one executor or one image.
COMPOSE_STACKS = {
    f"tests/docker/test_{name}.py" for name in ("compose_file", "front", "stack", "stack_databases", "zone")
}
# Files of tests/e2e whose tests start stacks of their own. The others share one, and take as long.
OWN_STACKS = {
    f"tests/e2e/test_{name}.py"
    for name in ("api", "current_profile", "documentation", "monitoring", "ssh_hosts", "wheel")
}


class SharedStacks(LoadScopeScheduling):
    """Hands out tests one by one, but those that share an engine, a stack or a browser to one worker.

    xdist's own mark for groups does nothing with pytest 9.2, which ignores the names that it gives to tests.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith("tests/docker/"):
            return "compose stacks" if file in COMPOSE_STACKS else "docker"
        if file.startswith("tests/e2e/"):
            return "own stacks" if file in OWN_STACKS else "browser"
        return nodeid


@pytest.hookimpl(tryfirst=True)  # before pytest-timeout reads it
def pytest_configure(config: pytest.Config) -> None:
    """End a test that hangs."""
    if config.option.timeout is None:
        config.option.timeout = patience(300)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SharedStacks:
    """Distribute the tests over the workers."""
    return SharedStacks(config, log)


class SeparateClient(FlaskClient):
    """A client whose requests share nothing with the test: no session, no current user."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Send a request as if from another process."""
        return contextvars.Context().run(super().open, *args, **kwargs)


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user can enter, which pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="vulsweb-tests-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def database_url(open_folder: Path) -> Iterator[str]:
    with postgres(open_folder / "postgres", durable=False) as url:
        yield url


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> None:
    """Hash passwords in no time: the real parameters take half a second on a busy machine."""
    user_model.HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(scope="session", autouse=True)
def patient_checks() -> None:
    """Give what answers health checks as much time as a busy machine needs."""
    checks.TIMEOUT_SECONDS = round(patience(checks.TIMEOUT_SECONDS))
    for module in (service_checks, executor_checks):
        vars(module)["ANSWER_SECONDS"] = round(patience(checks.ANSWER_SECONDS))


@pytest.fixture(scope="session")
def application(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    made = create_app(
        {
            "TESTING": True,
            "SECRET_KEY": "tests tests tests tests tests tests",
            "SQLALCHEMY_DATABASE_URI": database_url,
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "RATELIMIT_STORAGE_URI": "memory://",
            "EXECUTORS": executors_at("http://127.0.0.1:1"),
            "VULS_CONFIG": tmp_path_factory.mktemp("config") / "config.toml",
            "SSH_FOLDER": tmp_path_factory.mktemp("ssh"),
            "SSH_SHARE_CONNECTIONS": True,
            "SEED_LOCALHOST": True,
            "RUN_TIMEOUT": timedelta(hours=6),
            "KEEP_RUNS": timedelta(days=30),
            "KEEP_AUDIT": timedelta(days=400),
            "LOG_DIR": None,
            "OPENID": None,
            "SECOND_FACTOR": "optional",
            "LOCAL_SIGN_IN": True,
            "STILL_AFTER": timedelta(days=7),
            "SESSION_IDLE": timedelta(hours=2),
            "PROXIES": 0,
            "PUBLIC_URL": "",
            "PING_URL": "",
            "WTF_CSRF_ENABLED": False,
        }
    )
    made.test_client_class = SeparateClient
    with made.app_context():
        upgrade()
        yield made
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def app(application: Flask) -> Iterator[Flask]:
    """The application on an empty database; the test stands inside its context."""
    yield application
    limiter.reset()
    db.session.remove()
    db.session.execute(text(EMPTY))
    db.session.commit()
    shutil.rmtree(application.config["SSH_FOLDER"], ignore_errors=True)
    application.config["VULS_CONFIG"].unlink(missing_ok=True)


@pytest.fixture
def admin(app: Flask) -> User:
    user = users.create_user("admin", PASSWORD, Role.ADMIN, NOW)
    db.session.commit()
    return user


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def signed_in(app: Flask, admin: User) -> FlaskClient:
    return sign_in(app.test_client(), admin)


@pytest.fixture
def token(app: Flask, admin: User) -> str:
    made = tokens.create("tests", admin, Scope.ADMIN, 0, NOW)
    # As if it had been used a moment ago: the first call of a minute writes that down.
    db.session.execute(update(ApiToken).values(last_used_at=datetime.now(UTC), last_used_from="127.0.0.1"))
    db.session.commit()
    return made


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the runs that were handed to the workers."""
    ids: list[int] = []
    handle_messages(monkeypatch, "launch_runs", ids.extend)
    return ids


@pytest.fixture
def make_host(app: Flask) -> Callable[..., Host]:
    def make(name: str = "web-1", **fields: Any) -> Host:
        given: dict[str, Any] = {
            "name": name,
            "entry": name,
            "hostname": name,
            "connection": HostConnection.DIRECT,
            "scan_modes": ["fast"],
            "vuls_config": {"host": name},
            "created_at": NOW,
            "synced_at": NOW,
        }
        host = Host(**(given | fields))
        db.session.add(host)
        db.session.commit()
        return host

    return make


@pytest.fixture
def make_task(app: Flask, make_host: Callable[..., Host]) -> Callable[..., ScheduledTask]:
    """Make a scan of a fresh host, or what the overrides say (values as in tasks.create)."""
    count = 0

    def make(*, next_run_at: datetime | None = None, **overrides: Any) -> ScheduledTask:
        nonlocal count
        count += 1
        values: dict[str, Any] = {
            "name": f"task {count}",
            "task_type": "scan",
            "scan_type": "fast",
            "cron_expression": "0 2 * * *",
        } | overrides
        if values["task_type"] == "scan" and "host_id" not in values:
            values["host_id"] = make_host(f"host-{count}").id
        task = task_editing.create(values, NOW)
        if next_run_at is not None:
            task.next_run_at = next_run_at
        db.session.commit()
        return task

    return make


@pytest.fixture
def data() -> Path:
    """The folder of real documents."""
    return Path(__file__).parent / "data"


class Installation:
    """What is installed beside a real executor."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self.tools = folder / "tools"
        self.databases = folder / "executor" / "databases"
        self.tools.mkdir(parents=True)

    def add_tools(self, *names: str) -> None:
        """Install stand-ins, which only have to be found."""
        for name in names:
            (self.tools / name).write_text("#!/bin/sh\n")
            (self.tools / name).chmod(stat.S_IRWXU)

    def add_version(self, vuls: str, others: Mapping[str, str] = MappingProxyType({})) -> None:
        """Say which Vuls and which other tools are installed, as the builder of the tools does."""
        (self.tools / "versions.json").write_text(json.dumps({"vuls": vuls, **others}))

    def add_database(self, fetched_at: str = "2026-01-01T00:00:00Z") -> None:
        """Leave a database with a row in it."""
        with contextlib.closing(sqlite3.connect(self.databases / "gost.sqlite3")) as connection:
            connection.executescript(
                "CREATE TABLE fetch_meta (schema_version INT, last_fetched_at TEXT);"
                "CREATE TABLE debian_cves (id INT); INSERT INTO debian_cves VALUES (1);"
            )
            connection.execute("INSERT INTO fetch_meta VALUES (3, ?)", (fetched_at,))
            connection.commit()


@pytest.fixture
def installation(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """A real executor with nothing installed; the application knows where it listens."""
    with _installed(app, tmp_path, monkeypatch, "classic") as installation:
        yield installation


@pytest.fixture
def current(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """A real executor of the current profile, with Vuls v0.40.1."""
    with _installed(app, tmp_path / "current", monkeypatch, "current") as installation:
        installation.tools /= "current"
        installation.tools.mkdir()
        installation.add_tools("vuls")
        installation.add_version("v0.40.1")
        yield installation


@contextlib.contextmanager
def _installed(
    app: Flask, folder: Path, monkeypatch: pytest.MonkeyPatch, profile: str
) -> Iterator[Installation]:
    installation = Installation(folder)
    (folder / "config.toml").touch()
    made = executor.application.create_app(
        {
            "EXECUTOR_API_KEY": EXECUTOR_KEY,
            "EXECUTOR_PROFILE": profile,
            "EXECUTOR_DATA_DIR": str(folder / "executor"),
            "EXECUTOR_VULS_CONFIG": str(folder / "config.toml"),
            "VULSWEB_TOOLS_DIR": str(installation.tools),
            "PATH": str(installation.tools),
        }
    )
    with serving(made) as installation.url:
        monkeypatch.setitem(app.config, "EXECUTORS", executors_at(installation.url))
        yield installation
