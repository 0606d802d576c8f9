"""A connection test through the real executor and the real Vuls, and what becomes of it in words."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from executor import application
from tests.conftest import EXECUTOR_KEY, NOW, executors_at
from tests.support.needs import tool
from tests.support.serving import serving
from tests.support.waiting import wait_for
from vulsweb import worker
from vulsweb.extensions import db
from vulsweb.hosts import config_sync, connection_tests
from vulsweb.models import ConnectionTest, Host, RunStatus

CONFIG = """
[servers.here]
host = "localhost"
port = "local"

[servers.nobody]
host = "127.0.0.9"
port = "9"
user = "vuls"
"""


@pytest.fixture
def both(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Host]]:
    """The machine itself and an address at which nobody listens, known to a real executor."""
    (tmp_path / "config.toml").write_text(CONFIG)
    made = application.create_app(
        {
            "EXECUTOR_API_KEY": EXECUTOR_KEY,
            "EXECUTOR_DATA_DIR": str(tmp_path / "executor"),
            "EXECUTOR_VULS_CONFIG": str(tmp_path / "config.toml"),
            "VULSWEB_TOOLS_DIR": str(tool("vuls").parent),
        }
    )
    with serving(made) as url:
        monkeypatch.setitem(app.config, "EXECUTORS", executors_at(url))
        config_sync.sync(CONFIG, NOW)
        db.session.commit()
        yield {host.name: host for host in db.session.query(Host)}


def outcome_of(host: Host) -> ConnectionTest:
    test = connection_tests.start(host, datetime.now(UTC))
    db.session.commit()

    def over() -> bool:
        worker.follow_tests()
        db.session.refresh(test)
        return not test.status.is_active

    wait_for(over, 60)
    return test


def test_this_machine_can_be_scanned(both: dict[str, Host]) -> None:
    test = outcome_of(both["here"])

    (found,) = connection_tests.explanations(test)
    assert test.status is RunStatus.SUCCESS
    assert found.message.startswith("It can be scanned: Debian")
    assert "configtest" in test.log


def test_a_host_that_does_not_answer_is_reported_as_unreachable(
    both: dict[str, Host], signed_in: FlaskClient
) -> None:
    test = outcome_of(both["nobody"])

    (found,) = connection_tests.explanations(test)
    answer = signed_in.get(f"/api/hosts/{test.host_id}/connection-test").get_json()
    assert test.status is RunStatus.FAILED
    assert found.message == "The host cannot be reached."
    assert answer["status"] == "failed"
    assert answer["servers"][0]["outcome"] == "unreachable"
