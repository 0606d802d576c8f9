"""Results of scans: what config.toml hides, and what looked for vulnerabilities."""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from tests.unit.runs.support import LATER, conclude, job
from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.models import Finding, Result, Run, RunHost, RunStatus, Trigger
from vulsweb.runs import lifecycle, starting


def hiding(document: bytes, *cve_ids: str) -> bytes:
    """Return the document as Vuls writes it with these ids in ignoreCves."""
    data: dict[str, Any] = json.loads(document)
    report = {"servers": {data["serverName"]: {"ignoreCves": list(cve_ids)}}}
    return json.dumps(data | {"config": {"report": report}}).encode()


def open_ids() -> list[str]:
    return list(
        db.session.scalars(select(Finding.cve_id).where(Finding.fixed_at.is_(None)).order_by(Finding.cve_id))
    )


def test_more_findings_than_one_statement_stores_are_all_stored(
    running: Run, document: Callable[..., bytes]
) -> None:
    cves = [f"CVE-2026-{number:05}" for number in range(storage.ROWS_AT_ONCE + 1)]
    found = document(*cves, serverName="host-1")

    conclude(running, job(results=["host-1.json"]), [("host-1", found)], LATER)

    assert open_ids() == cves
    assert {seen.finding.packages[0].fixed_in for seen in storage.of_run(running.id)} == {"2.6.2"}


def test_what_is_hidden_is_counted_and_said(running: Run, document: Callable[..., bytes]) -> None:
    found = hiding(document("CVE-1", "CVE-2", serverName="host-1"), "CVE-1")

    conclude(running, job(results=["host-1.json"]), [("host-1", found)], LATER)

    (row,) = db.session.scalars(select(RunHost))
    assert open_ids() == ["CVE-2"]
    assert "1 CVE is hidden by config.toml: 1 by ignoreCves." in row.warnings
    db.session.refresh(running.task.host)
    assert running.task.host is not None
    assert running.task.host.warned
    assert running.result_data is not None
    assert (running.result_data["hidden"], running.result_data["opened"]) == (1, 1)
    assert running.result_data["severity_counts"]["high"] == 1


def test_a_run_says_which_vuls_looked_into_which_databases(
    running: Run, document: Callable[..., bytes]
) -> None:
    facts = {"rows": 300, "fetched_at": "2026-01-01T01:00:00Z", "made_at": None, "digest": "00ff"}
    reply = job(
        results=["host-1.json"], databases={"gost_debian": facts | {"size_bytes": 1}}, profile="classic"
    )

    conclude(running, reply, [("host-1", document(reportedVersion="v0.26.0"))], LATER)

    assert running.result_data is not None
    stamp = {
        "executor": "main",
        "profile": "classic",
        "vuls": "v0.26.0",
        "databases": [{"name": "gost_debian", **facts}],
    }
    assert running.result_data["detected_by"] == [stamp]
    assert db.session.scalars(select(Result.detected_by)).all() == [stamp]


def test_a_finding_that_is_hidden_later_is_neither_open_nor_fixed(
    running: Run, document: Callable[..., bytes]
) -> None:
    found = document("CVE-1", "CVE-2", serverName="host-1")
    conclude(running, job(results=["host-1.json"]), [("host-1", found)], LATER)
    again = starting.start(running.task, trigger=Trigger.PERSON, now=LATER)
    lifecycle.claim(again.id, LATER)

    conclude(again, job(results=["host-1.json"]), [("host-1", hiding(found, "CVE-1"))], LATER)

    assert open_ids() == ["CVE-2"]
    assert again.status is RunStatus.SUCCESS
    assert again.result_data is not None
    assert (again.result_data["fixed"], again.result_data["hidden"]) == (0, 1)
    assert db.session.scalar(select(Finding.id).where(Finding.cve_id == "CVE-1")) is None
