"""Runs in any state, and the few looks at a page that many tests take."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from tests.conftest import NOW
from vulsweb.executors import client as executor_client
from vulsweb.executors.settings import MAIN
from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.models import Finding, Host, JobStatus, LogChunk, Run, RunJob, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import starting
from vulsweb.vuls import results
from vulsweb.vuls.results import Severity

MakeRun = Callable[..., Run]
MakeHost = Callable[..., Host]

LIVE = {"HX-Request": "true"}  # how htmx asks
PACKAGE = {"name": "curl", "installed_version": "7.88.1-10", "fixed_in": "", "fix_state": ""}
SCORES = {"critical": 9.8, "high": 8.1, "medium": 5.0, "low": 2.0, "unknown": None}

# Inserted as a package name, a title or a line of a log by a host that means harm.
HOSTILE = "<script>alert('x')</script>"


def flat(text: str) -> str:
    """Return a page's text as a browser shows it: no line breaks, one space."""
    return " ".join(text.split())


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect the SQL that is sent meanwhile."""
    sent: list[str] = []

    def note(_: Any, __: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


@pytest.fixture
def make_run(app: Flask, make_task: Callable[..., ScheduledTask]) -> MakeRun:
    """Make a run of a fresh task, or of the one given, in any state."""

    def make(status: RunStatus = RunStatus.RUNNING, task: ScheduledTask | None = None, **fields: Any) -> Run:
        task = task or make_task()
        given: dict[str, Any] = {
            "task": task,
            "status": status,
            "trigger": Trigger.PERSON,
            "created_at": NOW,
            "started_at": NOW,
            "completed_at": None if status.is_active else NOW + timedelta(seconds=72),
            "request": starting.request_for(task),
        }
        steps = fields.pop("steps", [])
        run = Run(**(given | fields))
        if status not in (RunStatus.QUEUED, RunStatus.SKIPPED):
            run.jobs = [job_of(run, steps)]
        db.session.add(run)
        db.session.flush()
        task.last_run_id = run.id
        db.session.commit()
        return run

    return make


def job_of(run: Run, steps: list[dict[str, Any]], executor: str = MAIN) -> RunJob:
    """Return a job of the run, in the state that goes with the run's."""
    status = {RunStatus.STARTING: JobStatus.WAITING, RunStatus.RUNNING: JobStatus.RUNNING}
    return RunJob(
        id=executor_client.new_job_id(),
        number=len(run.jobs) + 1,
        executor=executor,
        status=status.get(run.status, JobStatus.COMPLETED),
        request=run.request,
        steps=steps,
        log_offset=0,
    )


def add_log(run: Run, text: str) -> None:
    """Add a piece to the run's log."""
    db.session.add(LogChunk(run_id=run.id, start=run.log_offset, text=text))
    run.log_offset += len(text.encode())
    db.session.commit()


def document(cves: dict[str, dict[str, Any]]) -> bytes:
    """Return a result document of a Debian host with one package and the given CVEs."""
    return json.dumps(
        {
            "jsonVersion": 4,
            "serverName": "host-1",
            "family": "debian",
            "release": "12",
            "scannedAt": "2026-01-01T12:00:00Z",
            "reportedVersion": "v0.26.0",
            "packages": {"curl": {"name": "curl", "version": "7.88.1", "release": "10"}},
            "scannedCves": cves,
            "errors": [],
        }
    ).encode()


def cve(
    score: float, title: str = "A title", fixed_in: str = "7.88.1-11", package: str = "curl"
) -> dict[str, Any]:
    """Return one CVE as Vuls writes it."""
    return {
        "affectedPackages": [{"name": package, "fixedIn": fixed_in}],
        "cveContents": {"nvd": [{"cvss3Score": score, "title": title}]},
    }


def store(run: Run, cves: dict[str, dict[str, Any]]) -> None:
    """Keep a scan's result for the run, as its end does."""
    assert run.task.host is not None
    kept = document(cves)
    result = results.parse(kept)
    change = storage.store(
        run_id=run.id, host=run.task.host, document=kept, result=result, complete=True, now=NOW
    )
    run.result_data = {
        "severity_counts": result.severity_counts,
        "opened": change.opened,
        "fixed": change.fixed,
        "hosts": [],
    }
    db.session.commit()


def asked_again(html: str, place: str) -> str:
    """Return the address that a live element asks, as the browser reads it."""
    found = re.search(rf'id="{place}"[^>]*?hx-get="([^"]+)"', html, re.DOTALL)
    assert found is not None
    return found[1].replace("&amp;", "&")


def add_finding(host: Host, cve_id: str, severity: str = "high", **fields: Any) -> Finding:
    """Add an open finding to the host, or what the fields say."""
    given: dict[str, Any] = {
        "title": "A title",
        "score": SCORES[severity],
        "packages": [PACKAGE],
        "first_seen_at": NOW,
        "last_seen_at": NOW,
    }
    finding = Finding(host=host, cve_id=cve_id, severity=Severity(severity), **(given | fields))
    db.session.add(finding)
    db.session.commit()
    return finding
