"""The real Vuls and gost: a document of an earlier scan, looked at with a newer database."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask

from tests.executor.callers import HEADERS, Caller
from tests.executor.conftest import caller_of
from tests.mirror.__main__ import settings
from tests.mirror.documents import DEBIAN_TRACKER, shipped_documents
from tests.mirror.server import mirror

PACKAGE = {"name": "curl", "version": "7.88.1-10+deb12u1", "release": "", "arch": "amd64"}
SOURCE = {"name": "curl", "version": "7.88.1-10+deb12u1", "arch": "", "binaryNames": ["curl"]}
FIXED = {"status": "resolved", "fixed_version": "7.88.1-10+deb12u9", "urgency": "not yet assigned"}


def scanned(name: str, **changes: Any) -> dict[str, Any]:
    document = {
        "jsonVersion": 4,
        "serverName": name,
        "family": "debian",
        "release": "12.4",
        "scannedAt": "2026-01-01T00:00:00Z",
        "scannedVersion": "v0.26.0",
        "runningKernel": {"release": "6.1.0-13-amd64", "version": "6.1.55-1"},
        "packages": {"curl": PACKAGE},
        "SrcPackages": {"curl": SOURCE},
        "scannedCves": {},
    }
    return {"server": "web1", "name": name, "document": document | changes}


def tracker(*cve_ids: str) -> bytes:
    """Return Debian's tracker with some CVEs in curl."""
    entry = {"scope": "remote", "releases": {"bookworm": FIXED | {"repositories": {"bookworm": "7.88.1-10"}}}}
    return json.dumps({"curl": dict.fromkeys(cve_ids, entry)}).encode()


def found(call: Caller, *documents: dict[str, Any]) -> dict[str, set[str]]:
    status, job = call("POST", "/detection", {"job_id": uuid.uuid4().hex, "documents": list(documents)})
    assert status == 202, job
    ended = call.finished(job["id"], seconds=90)
    assert ended["status"] == "completed", call.log(job["id"])
    answers = {
        result["server"]: json.loads(call.send("GET", result["url"], None, HEADERS)[2])
        for result in ended["results"]
    }
    assert {answer["reportedVersion"] for answer in answers.values()} == {"v0.26.0"}
    return {name: set(answer["scannedCves"]) for name, answer in answers.items()}


def test_what_a_new_database_lists_is_found_in_the_packages_of_an_earlier_scan(
    variables: dict[str, str], tools_dir: Path, start: Callable[[], Flask]
) -> None:
    variables["VULSWEB_TOOLS_DIR"] = str(tools_dir)
    feeds = shipped_documents() | {DEBIAN_TRACKER: tracker("CVE-2024-2004")}
    updated = tracker("CVE-2024-2004", "CVE-2024-2398")
    container = {"containerID": "1f", "name": "shop"}
    hosts = [
        scanned("web1"),
        scanned("shop@web1", container=container),
        scanned("fine", packages={}, SrcPackages={}),
    ]
    with mirror(feeds) as server:
        variables |= settings(server)
        call = caller_of(start())
        assert call.finished(call.submit_update("gost_debian"), seconds=90)["status"] == "completed"
        before = found(call, *hosts)
        feeds[DEBIAN_TRACKER] = updated
        assert call.finished(call.submit_update("gost_debian"), seconds=90)["status"] == "completed"
        after = found(call, *hosts)

    assert before == {"web1": {"CVE-2024-2004"}, "shop@web1": {"CVE-2024-2004"}, "fine": set()}
    news = {"CVE-2024-2004", "CVE-2024-2398"}
    assert after == {"web1": news, "shop@web1": news, "fine": set()}
