"""Runs and result documents for the tests of runs."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import NOW
from tests.unit.runs.support import OLD, MakeRun, MakeTask, accept, job
from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import lifecycle, starting


@pytest.fixture
def running(make_task: MakeTask) -> Run:
    """A scan of host-1 that the executor has accepted."""
    run = starting.start(make_task(), trigger=Trigger.PERSON, now=NOW)
    db.session.commit()
    claimed = lifecycle.claim(run.id, NOW)
    assert claimed is not None
    accept(claimed, job("running"), NOW)
    db.session.commit()
    return claimed


@pytest.fixture
def document(data: Path) -> Callable[..., bytes]:
    """Make a result document of host-1 with these CVE ids, all of high severity."""
    found = json.loads((data / "scan_without_database.json").read_text())

    def make(*cve_ids: str, **changes: Any) -> bytes:
        entry = {
            "affectedPackages": [{"name": "apt", "fixedIn": "2.6.2"}],
            "cveContents": {"nvd": [{"cvss3Score": 7.5, "title": "Bad"}]},
        }
        return json.dumps(found | {"scannedCves": dict.fromkeys(cve_ids, entry)} | changes).encode()

    return make


@pytest.fixture
def make_run() -> MakeRun:
    def make(task: ScheduledTask, created_at: datetime = OLD, **fields: Any) -> Run:
        given: dict[str, Any] = {
            "status": RunStatus.SUCCESS,
            "trigger": Trigger.SCHEDULE,
            "started_at": created_at,
            "completed_at": created_at + timedelta(minutes=1),
            "request": {},
        }
        run = Run(task=task, created_at=created_at, **(given | fields))
        db.session.add(run)
        db.session.commit()
        return run

    return make
