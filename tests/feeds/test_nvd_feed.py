"""The real go-cve-dictionary and Vuls, fed by the mirror: scores where the tracker has only words."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.feeds.tools import fetch_debian, fetch_nvd, scan_localhost
from tests.mirror.documents import shipped_documents
from tests.mirror.nvd import records
from tests.mirror.server import Fault, Request, mirror


def stored_cves(folder: Path) -> set[str]:
    with closing(sqlite3.connect(folder / "cve.sqlite3")) as database:
        return {cve for (cve,) in database.execute("SELECT cve_id FROM nvds")}


@pytest.fixture(scope="module")
def fetched(go_cve_dictionary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an NVD database that the real tool fetched through the mirror."""
    folder = tmp_path_factory.mktemp("fetched")
    with mirror(shipped_documents()) as server:
        ended = fetch_nvd(go_cve_dictionary, server, folder)
        assert ended.returncode == 0, ended.stderr
        manifest, layer = server.requests
        assert manifest == Request(
            "GET", "https://ghcr.io/v2/vulsio/vuls-data-db/manifests/vuls-data-raw-nvd-api-cve"
        )
        assert layer.url.startswith("https://ghcr.io/v2/vulsio/vuls-data-db/blobs/sha256:")
    return folder


@pytest.fixture(scope="module")
def findings(gost: Path, vuls: Path, fetched: Path, bookworm: Mapping[str, str]) -> dict[str, Any]:
    """The CVEs that the real Vuls reports for this machine, with NVD at hand."""
    with mirror(shipped_documents()) as server:
        ended = fetch_debian(gost, server, fetched)
        assert ended.returncode == 0, ended.stderr
    scanned: dict[str, Any] = scan_localhost(vuls, fetched)["scannedCves"]
    return scanned


def test_every_record_of_the_archive_is_stored(fetched: Path) -> None:
    assert stored_cves(fetched) == {record.cve_id for record in records()}


def test_a_finding_carries_nvds_score_beside_the_trackers_urgency(findings: dict[str, Any]) -> None:
    contents = findings["CVE-2019-1010022"]["cveContents"]

    (nvd,), (tracker,) = contents["nvd"], contents["debian_security_tracker"]
    assert (nvd["cvss3Score"], nvd["cvss3Severity"]) == (9.8, "CRITICAL")
    assert (tracker["cvss3Score"], tracker["cvss3Severity"]) == (0, "unimportant")


def test_scores_and_words_are_reported_as_the_archive_has_them(findings: dict[str, Any]) -> None:
    known = {record.cve_id: record for record in records() if record.cve_id in findings}

    found = {cve: findings[cve]["cveContents"]["nvd"] for cve in known}

    assert known
    for cve, record in known.items():
        (nvd,) = found[cve]
        assert (nvd["cvss2Score"], nvd["cvss3Score"]) == (record.cvss2_score, record.cvss3_score)
        assert nvd["summary"] == record.description


def test_a_registry_without_a_known_ca_is_not_trusted(go_cve_dictionary: Path, tmp_path: Path) -> None:
    with mirror(shipped_documents()) as server:
        ended = fetch_nvd(go_cve_dictionary, server, tmp_path, trusting=False)

    assert ended.returncode == 1
    assert (set(server.refused), server.requests) == ({"ghcr.io"}, [])


def test_the_unpacked_archive_is_removed(fetched: Path) -> None:
    assert list(fetched.glob("go-cve-dictionary*")) == []


def test_a_failed_fetch_leaves_the_stored_records_alone(go_cve_dictionary: Path, tmp_path: Path) -> None:
    with mirror(shipped_documents()) as server:
        fetch_nvd(go_cve_dictionary, server, tmp_path)
        server.fault = Fault.ERROR
        ended = fetch_nvd(go_cve_dictionary, server, tmp_path)

    assert ended.returncode == 1
    assert stored_cves(tmp_path) == {record.cve_id for record in records()}
