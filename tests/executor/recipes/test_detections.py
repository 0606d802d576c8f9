"""Detections through the whole executor: documents of earlier scans, reported again."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.executor.callers import HEADERS, Caller
from tests.executor.conftest import caller_of
from tests.executor.fakes import FakeTools
from tests.executor.processes import steps

# It reports nothing at all if a document says that it is broken.
FRAGILE = """
paths = list(pathlib.Path(options["results-dir"]).glob("*/*.json"))
for path in paths:
    if json.loads(path.read_text()).get("broken"):
        sys.exit(path.stem + " is broken")
for path in paths:
    document = json.loads(path.read_text())
    document.update(reportedAt="2026-01-01T00:00:00Z", together=len(paths))
    path.write_text(json.dumps(document))
"""


def entry(server: str, name: str = "", **document: Any) -> dict[str, Any]:
    """Return a document as a caller sends it: reported long ago."""
    return {
        "server": server,
        "name": name or server,
        "document": {"serverName": server, "reportedAt": "2020-01-01T00:00:00Z", **document},
    }


def submit(call: Caller, *documents: dict[str, Any], job_id: str | None = None) -> tuple[int, dict[str, Any]]:
    return call("POST", "/detection", {"job_id": job_id or uuid.uuid4().hex, "documents": list(documents)})


def detect(call: Caller, *documents: dict[str, Any]) -> dict[str, Any]:
    status, job = submit(call, *documents)
    assert status == 202, job
    return call.finished(job["id"])


def left(call: Caller, job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        result["server"]: json.loads(call.send("GET", result["url"], None, HEADERS)[2])
        for result in job["results"]
    }


def test_documents_are_reported_together_and_returned_under_their_names(
    call: Caller, fakes: FakeTools, data: Path
) -> None:
    fakes.vuls(report=FRAGILE)
    container = {"containerID": "1f", "name": "shop"}

    job = detect(call, entry("web1", family="debian"), entry("web1", "shop@web1", container=container))

    assert (job["status"], job["kind"], steps(job)) == ("completed", "detection", {"report": "completed"})
    assert (job["steps"][0]["done"], job["steps"][0]["total"], job["steps"][0]["unit"]) == (2, 2, "documents")
    documents = left(call, job)
    assert list(documents) == ["web1", "shop@web1"]
    assert documents["web1"]["family"] == "debian"
    assert documents["shop@web1"]["container"] == container
    assert {document["together"] for document in documents.values()} == {2}
    assert "vuls scan" not in call.log(job["id"])
    assert list(data.rglob("documents.json")) == []


def test_a_document_that_vuls_cannot_report_keeps_no_other_from_it(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls(report=FRAGILE)

    job = detect(call, entry("localhost"), entry("web1", broken=True), entry("web2"))

    assert (job["status"], job["error"]) == ("completed", None)
    assert (steps(job), job["steps"][0]["message"]) == ({"report": "failed"}, "web1: web1 is broken")
    documents = left(call, job)
    assert [name for name in documents if "together" in documents[name]] == ["localhost", "web2"]
    assert documents["web1"]["reportedAt"].startswith("0001")


def test_a_job_of_which_no_document_was_reported_fails(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls(report="sys.exit('no database')")

    job = detect(call, entry("web1"), entry("web2"))

    assert (job["status"], job["error"]) == ("failed", "web2: no database")


def test_without_the_database_of_the_current_profile_a_job_says_what_to_do(
    variables: dict[str, str], start: Callable[[], Flask], fakes: FakeTools
) -> None:
    variables["EXECUTOR_PROFILE"] = "current"
    (fakes.folder / "current").symlink_to(fakes.folder)
    fakes.vuls()
    call = caller_of(start())

    job = detect(call, entry("web1"))
    scan = call.finished(call.submit_scan("web1"))

    assert (job["status"], job["error"]) == (
        "failed",
        "There is no vuls2 database yet: run a database update.",
    )
    assert (scan["status"], scan["steps"][2]["message"]) == ("completed", job["error"])


def test_the_name_chooses_the_file_and_never_the_document(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls(report=FRAGILE)
    outside = entry("web1", "shop@web1", container={"containerID": "1f", "name": "../../shop"})
    outside["document"]["serverName"] = "../../web1"

    document = left(call, detect(call, outside))["shop@web1"]

    assert (document["serverName"], document["container"]["name"]) == ("web1", "shop")


def test_a_repeated_request_is_the_same_job_and_another_one_is_refused(
    call: Caller, fakes: FakeTools
) -> None:
    fakes.vuls(report=FRAGILE)
    _, job = submit(call, entry("web1"))
    call.finished(job["id"])

    assert submit(call, entry("web1"), job_id=job["id"])[0] == 200
    assert submit(call, entry("web2"), job_id=job["id"])[0] == 409


@pytest.mark.parametrize(
    "documents",
    [
        [],
        "web1",
        [entry("web1"), entry("web1")],
        [{"server": "web1", "name": "web1"}],
        [entry("web1") | {"more": 1}],
        [entry("web1") | {"document": []}],
        [entry("../web1")],
        [entry("web1", "a/b@web1")],
        [entry("web1") | {"name": 7}],
    ],
)
def test_a_request_that_is_not_as_described_is_refused(call: Caller, documents: Any) -> None:
    status, problem = call("POST", "/detection", {"job_id": "0" * 32, "documents": documents})

    assert (status, problem["field"]) == (422, "documents")


def test_servers_that_are_not_in_config_toml_are_named(call: Caller) -> None:
    status, problem = submit(call, entry("web1"), entry("gone"))

    assert (status, problem["unknown"]) == (422, ["gone"])


def test_a_request_may_be_as_large_as_a_result(
    variables: dict[str, str], start: Callable[[], Flask], fakes: FakeTools
) -> None:
    variables["EXECUTOR_RESULT_MB"] = "1"
    call = caller_of(start())
    fakes.vuls(report=FRAGILE)

    assert submit(call, entry("web1", text="x" * 1_000_000))[0] == 202
    assert submit(call, entry("web1", text="x" * 1_300_000))[0] == 413
