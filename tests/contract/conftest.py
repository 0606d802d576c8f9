"""The real executor, with stand-ins for the tools, and the real worker functions."""

import json
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from flask import Flask

from executor import application
from tests.conftest import EXECUTOR_KEY, NOW, executors_at
from tests.support.serving import serving
from tests.support.waiting import wait_for
from vulsweb import worker
from vulsweb.executors import settings as executor_settings
from vulsweb.executors.client import Job
from vulsweb.extensions import db
from vulsweb.hosts import config_sync
from vulsweb.models import JobStatus, Run, RunJob, RunStatus
from vulsweb.runs import targets
from vulsweb.runs.scan_results import HostResult

CONFIG = '[servers.host-1]\nhost = "localhost"\nport = "local"\n'

# A stand-in for Vuls: it leaves the documents found in its folder, as `vuls scan` and `report` do.
VULS = """#!{python} -SE
import json, pathlib, sys, time
here = pathlib.Path(__file__).parent
say = json.loads((here / "vuls.json").read_text())
option = dict(word.lstrip("-").split("=", 1) for word in sys.argv[2:] if "=" in word)
print(sys.argv[1], say.get("noise", ""), flush=True)
if sys.argv[1] == "scan":
    while not (here / "go").exists():
        time.sleep(0.02)
    folder = pathlib.Path(option["results-dir"]) / "2026-01-01T00-00-00+0000"
    folder.mkdir(parents=True)
    for name, text in say["documents"].items():
        (folder / (name + ".json")).write_text(text)
if sys.argv[1] == "report":
    for path in pathlib.Path(option["results-dir"]).glob("*/*.json"):
        document = json.loads(path.read_text())
        if path.stem in say.get("refuses", ()):
            sys.exit(path.stem + " cannot be read")
        document.update(reportedAt="2026-01-01T00:00:00Z", reportedVersion="stand-in")
        if "finds" in say:
            document["scannedCves"] = say["finds"].get(path.stem, {{}})
        path.write_text(json.dumps(document))
sys.exit(say.get("exit", {{}}).get(sys.argv[1], 0))
"""
GOST = """#!{python} -SE
import pathlib, sqlite3, sys
path = sys.argv[sys.argv.index("--dbpath") + 1]
with sqlite3.connect(path) as connection:
    connection.executescript(
        "CREATE TABLE IF NOT EXISTS fetch_meta (schema_version INT, last_fetched_at TEXT);"
        "INSERT INTO fetch_meta VALUES (3, '2026-01-01T00:00:00Z');"
        "CREATE TABLE IF NOT EXISTS debian_cves (id INT); INSERT INTO debian_cves VALUES (1), (2);"
    )
connection.close()
"""


class Tools:
    """The folder of the stand-ins, and what they do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in (("vuls", VULS), ("gost", GOST)):
            (folder / name).write_text(text.format(python=sys.executable))
            (folder / name).chmod(stat.S_IRWXU)
        self.vuls()
        self.let_go()

    def vuls(self, documents: dict[str, str] | None = None, **said: object) -> None:
        """Say which documents a scan leaves, what is printed and how the commands exit."""
        (self.folder / "vuls.json").write_text(json.dumps({"documents": documents or {}, **said}))

    def hold(self) -> None:
        """Have a scan wait until `let_go`."""
        (self.folder / "go").unlink()

    def let_go(self) -> None:
        """Let a waiting scan continue."""
        (self.folder / "go").touch()


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    folder = tmp_path / "tools"
    folder.mkdir()
    return Tools(folder)


@pytest.fixture
def document(data: Path) -> Callable[..., str]:
    """Make the document that a scan of host-1 leaves, with these CVE ids."""
    found = json.loads((data / "scan_without_database.json").read_text())

    def make(*cve_ids: str, **changes: object) -> str:
        entry = {"affectedPackages": [{"name": "apt", "fixedIn": "2.6.2"}]}
        return json.dumps(found | {"scannedCves": dict.fromkeys(cve_ids, entry)} | changes)

    return make


@pytest.fixture
def executor_server(
    app: Flask, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A listening executor, which the application is configured for."""
    (tmp_path / "config.toml").write_text(CONFIG)
    made = application.create_app(
        {
            "EXECUTOR_API_KEY": EXECUTOR_KEY,
            "EXECUTOR_DATA_DIR": str(tmp_path / "executor"),
            "EXECUTOR_VULS_CONFIG": str(tmp_path / "config.toml"),
            "VULSWEB_TOOLS_DIR": str(tools.folder),
        }
    )
    with serving(made) as url:
        monkeypatch.setitem(app.config, "EXECUTORS", executors_at(url))
        config_sync.sync(CONFIG, NOW)
        db.session.commit()
        yield url
        tools.let_go()


def accept(run: Run, now: datetime) -> None:
    """Mark the run's job as accepted by an executor that does not have it."""
    targets.prepare(run, executor_settings.configured())
    run.status, run.jobs[0].status, run.jobs[0].heartbeat_at = RunStatus.RUNNING, JobStatus.RUNNING, now


def stumble(
    _job: RunJob, _reply: Job, documents: Iterable[tuple[str, bytes]], *_: datetime
) -> list[HostResult]:
    """Replace `store_documents` by one that raises an error at the first document."""
    for _document in documents:
        raise ZeroDivisionError
    return []


def follow(run: Run, until: Callable[[Run], bool] = lambda run: not run.status.is_active) -> Run:
    """Follow the run as the worker does, but faster, until it is as wanted."""

    def over() -> bool:
        worker.follow_runs()
        db.session.refresh(run)
        return until(run)

    wait_for(over)
    return run
