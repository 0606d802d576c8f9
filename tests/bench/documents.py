"""How long a large result document takes from its bytes to stored findings, and how much memory."""

import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select

from vulsweb.extensions import db
from vulsweb.findings import storage
from vulsweb.models import Host, Run
from vulsweb.vuls import results

REPEATS = 3
PACKAGES = 2000
TEXT = "A flaw was found in the way in which the library handles certain inputs. " * 6
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measured(cves: int) -> str:
    """Store a document with that many CVEs and return one line.

    The database needs a host and a run; what is stored is taken back.
    """
    document = _document(cves)
    run_id, host = db.session.scalars(select(Run.id).limit(1)).one(), _host()
    alone = statistics.median(_timed(lambda: orjson.loads(document)) for _ in range(REPEATS))

    def store() -> None:
        found = results.parse(document)
        now = datetime.now(UTC)
        storage.store(run_id=run_id, host=host(), document=document, result=found, complete=True, now=now)
        db.session.rollback()

    store()
    before = _memory("VmRSS")
    RESET.write_text("5")  # the peak starts anew
    taken = statistics.median(_timed(store) for _ in range(REPEATS))
    above = _memory("VmHWM") - before
    size = len(document) / 1e6
    return (
        f"A document of {size:.0f} MB with {cves:,} CVEs is stored in {taken:.1f} s,"
        f" {taken / alone:.1f} times what orjson.loads alone takes,"
        f" with {above / 1e6:.0f} MB of memory above the document."
    )


def _host() -> Callable[[], Host]:
    host_id = db.session.scalars(select(Host.id).limit(1)).one()
    return lambda: db.session.scalars(select(Host).where(Host.id == host_id)).one()


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _memory(name: str) -> int:
    """Return what the kernel says of this process, in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _document(cves: int) -> bytes:
    """Return a document of the size and form that Vuls writes: 2 KB for each CVE."""
    packages = {f"package-{number}": {"version": "1.0", "release": "1"} for number in range(PACKAGES)}
    entries = [_entry(f"CVE-{2000 + number % 26}-{number:06}", number) for number in range(cves)]
    return json.dumps(
        {
            "jsonVersion": results.JSON_VERSION,
            "serverName": "host-1",
            "family": "ubuntu",
            "release": "22.04",
            "scannedAt": "2026-01-01T00:00:00Z",
            "reportedVersion": "v0.26.0",
            "packages": {name: {"name": name, **version} for name, version in packages.items()},
            "scannedCves": {entry["cveID"]: entry for entry in entries},
        }
    ).encode()


def _entry(cve: str, number: int) -> dict[str, Any]:
    links = [{"link": f"https://example.org/{number}/{each}", "source": "x"} for each in range(5)]
    common = {"cveID": cve, "summary": TEXT, "published": "2020-01-01T00:00:00Z"}
    nvd = {"type": "nvd", "cvss3Score": 7.5, "cvss3Severity": "HIGH", "references": links, **common}
    ubuntu = {"type": "ubuntu", "cvss3Severity": "medium", "references": [], **common}
    affected = [{"name": f"package-{(number + each) % PACKAGES}", "fixedIn": "1.1"} for each in range(3)]
    return {"cveID": cve, "affectedPackages": affected, "cveContents": {"nvd": [nvd], "ubuntu": [ubuntu]}}
