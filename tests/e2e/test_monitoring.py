"""A real Prometheus reads a running stack, and every query of ours has an answer."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.stack import DEBIAN, Program, Stack
from tests.support.needs import lacking
from tests.support.waiting import patience, wait_for
from vulsweb.local.valkey import free_port

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
CONFIG = """
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: [{rules}]
scrape_configs:
  - job_name: vulsweb
    authorization:
      credentials_file: {token}
    static_configs:
      - targets: ["{target}"]
"""


class Prometheus:
    """A running server."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/api/v1"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what a query gives now."""
        answer = requests.get(f"{self.url}/query", params={"query": expression}, timeout=patience(10)).json()
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def reads(self) -> bool:
        """Return whether it has read the metrics."""
        try:
            return bool(self.query("vulsweb_info"))
        except requests.RequestException:  # it says so in plain text while it starts
            return False


@pytest.fixture(scope="module")
def prometheus(
    shared: Stack, shared_program: Program, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    program = shutil.which("prometheus") or lacking("prometheus is missing: apt-get install prometheus.")
    updates = shared_program.post("/api/scheduled-tasks/", DEBIAN | {"name": "For Prometheus"})
    assert shared_program.run_to_end(updates["id"])["status"] == "success"
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    token = shared.command("token", "create", "prometheus", "--scope", "metrics", "--days", "1")
    (folder / "token").write_text(token.strip())
    settings = {"rules": MONITORING / "alerts.yml", "token": folder / "token"}
    (folder / "prometheus.yml").write_text(
        CONFIG.format(**settings, target=shared.url.removeprefix("http://"))
    )
    words = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*words, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, cwd=folder
        )
    try:
        found = Prometheus(port)
        wait_for(lambda: server.poll() is not None or found.reads(), seconds=60)
        assert server.poll() is None, (folder / "log").read_text()[-2000:]
        yield found
    finally:
        server.terminate()
        server.wait(patience(30))


def test_each_panel_of_the_dashboard_has_data(prometheus: Prometheus) -> None:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]

    empty = [query for query in queries if not prometheus.query(query)]

    assert len(queries) >= 9
    assert empty == []


def test_each_alert_is_understood_and_none_of_them_rings_on_a_healthy_stack(prometheus: Prometheus) -> None:
    def rules() -> list[dict[str, Any]]:
        answer = requests.get(f"{prometheus.url}/rules", timeout=patience(10)).json()
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]

    wait_for(lambda: all(rule["health"] == "ok" for rule in rules()), seconds=30)
    found = {rule["name"]: rule for rule in rules()}

    assert len(found) == 10
    # The stack is shared with tests that fetch NVD, which the mirror has as of 2024.
    true = {"VulsWebPartFailing", "VulsWebDatabaseContentOld"}
    assert {name for name, rule in found.items() if rule["state"] == "firing"} <= true
    subprocess.run(["promtool", "check", "rules", MONITORING / "alerts.yml"], check=True, capture_output=True)
