"""The real gost and the real Vuls, fed by the mirror, against what dpkg alone expects."""

import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.feeds.tools import fetch_debian, scan_and_listen, scan_localhost
from tests.mirror.documents import DEBIAN_TRACKER, Tracker, debian_tracker, shipped_documents, trivy_db
from tests.mirror.expected import Expected, already_fixed, expected_findings
from tests.mirror.server import Fault, Request, mirror
from vulsweb.vuls import results
from vulsweb.vuls.results import Outcome

# What the table of a gost database holds, to be set against the document.
ROWS = "SELECT COUNT(DISTINCT cve_id) FROM debian_cves", "SELECT COUNT(*) FROM debian_releases"
DROPPED = (
    "SELECT cve_id, package_name, status, fixed_version FROM debian_cves"
    " JOIN debian_packages ON debian_cve_id = debian_cves.id"
    " JOIN debian_releases ON debian_package_id = debian_packages.id WHERE product_name = 'buster'"
)
# Its manifest first, its database last.
TRIVY = list(trivy_db())


@pytest.fixture(scope="module")
def tracker() -> Tracker:
    return debian_tracker()


@pytest.fixture(scope="module")
def fetched(gost: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database that the real gost fetched through the mirror."""
    folder = tmp_path_factory.mktemp("fetched")
    with mirror(shipped_documents()) as server:
        ended = fetch_debian(gost, server, folder)
        assert ended.returncode == 0, ended.stderr
        assert [request.url for request in server.requests if request.url in TRIVY] == [TRIVY[0], TRIVY[-1]]
        assert server.requests[0] == Request("GET", DEBIAN_TRACKER)
    return folder


@pytest.fixture(scope="module")
def findings(vuls: Path, fetched: Path, bookworm: Mapping[str, str]) -> dict[str, Any]:
    """The CVEs that the real Vuls reports for this machine."""
    result = scan_localhost(vuls, fetched)
    assert (result["family"], result["errors"]) == ("debian", [])
    scanned: dict[str, Any] = result["scannedCves"]
    return scanned


@pytest.fixture(scope="module")
def expected(tracker: Tracker, bookworm: Mapping[str, str]) -> dict[str, Expected]:
    return expected_findings(tracker)


def test_gost_stores_every_fact_of_the_document(fetched: Path, tracker: Tracker) -> None:
    cves = {cve for entries in tracker.values() for cve in entries}
    facts = sum(len(entries) for entries in tracker.values())

    with closing(sqlite3.connect(fetched / "gost.sqlite3")) as database:
        stored = [database.execute(query).fetchone()[0] for query in ROWS]
        dropped = database.execute(DROPPED).fetchall()

    # The tracker has dropped that release, and gost takes it from trivy-db.
    assert dropped == [("CVE-2021-44228", "apache-log4j2", "resolved", "2.15.0-1~deb10u1")]
    assert stored == [len(cves) + 1, facts + 1]


def test_vuls_finds_exactly_the_cves_that_dpkg_expects(
    findings: dict[str, Any], expected: dict[str, Expected]
) -> None:
    assert findings.keys() == expected.keys()


def test_vuls_reports_nothing_that_the_installed_version_has_fixed(
    findings: dict[str, Any], tracker: Tracker
) -> None:
    fixed = already_fixed(tracker)

    assert fixed
    assert not fixed & findings.keys()


def test_even_an_up_to_date_system_has_findings(findings: dict[str, Any]) -> None:
    tar = findings["CVE-2005-2541"]

    assert tar["affectedPackages"] == [{"name": "tar", "notFixedYet": True, "fixState": "open"}]


def test_a_release_that_vuls_does_not_know_has_no_findings_and_is_no_success(
    vuls: Path, fetched: Path, findings: dict[str, Any]
) -> None:
    result = scan_localhost(vuls, fetched, release="13.1")

    assert findings
    assert result["scannedCves"] == {}
    outcome, reason = results.judge(results.parse(json.dumps(result).encode()), {"gost_debian"})
    assert outcome is Outcome.PARTIAL
    assert "does not know Debian 13.1: nothing can be found there." in str(reason)


def test_a_finding_names_the_installed_packages_and_the_version_that_fixes_them(
    findings: dict[str, Any], expected: dict[str, Expected]
) -> None:
    found = {
        cve: (
            {package["name"] for package in finding["affectedPackages"]},
            {package.get("fixedIn") for package in finding["affectedPackages"]},
        )
        for cve, finding in findings.items()
    }

    wanted = {cve: (set(facts.packages), {facts.fixed_version}) for cve, facts in expected.items()}
    assert found == wanted


def test_the_trackers_urgency_is_the_only_severity_and_there_is_no_score(
    findings: dict[str, Any], expected: dict[str, Expected]
) -> None:
    contents = {cve: finding["cveContents"]["debian_security_tracker"] for cve, finding in findings.items()}

    severities = {cve: [content["cvss3Severity"] for content in found] for cve, found in contents.items()}
    assert severities == {cve: [facts.urgency] for cve, facts in expected.items()}
    assert {content["cvss3Score"] for found in contents.values() for content in found} == {0}


# As Vuls' log names the filters, and as config.toml does.
FILTERS = {
    "--cvss-over": "cvssScoreOver",
    "--ignore-unfixed": "ignoreUnfixed",
    "--confidence-over": "confidenceScoreOver",
    "ignoreCves": "ignoreCves",
    "ignorePkgsRegexp": "ignorePkgsRegexp",
    "--ignore-unscored-cves": "ignoreUnscoredCves",
}


@pytest.mark.parametrize(
    "general", ["", "ignoreUnfixed = true\ncvssScoreOver = 4.0\n"], ids=["own", "general and own"]
)
def test_config_toml_hides_here_what_vuls_filters_in_its_own_reports(
    vuls: Path, fetched: Path, findings: dict[str, Any], general: str
) -> None:
    own = f'ignoreCves = ["{min(findings)}", "{max(findings)}"]\nignorePkgsRegexp = ["^(lib|perl)", "s$"]\n'

    document, log = scan_and_listen(vuls, fetched, general=general, own=own)

    filtered = re.findall(r"localhost: (\d+) CVEs filtered by ([\w-]+)", log)
    result = results.parse(json.dumps(document).encode())
    assert result.hidden == {FILTERS[name]: int(count) for count, name in filtered if int(count)}
    assert sum(result.hidden.values()) > 0
    assert len(result.findings) + sum(result.hidden.values()) == len(findings)


def test_gost_refuses_a_mirror_whose_ca_it_was_not_given(gost: Path, tmp_path: Path) -> None:
    with mirror(shipped_documents()) as server:
        ended = fetch_debian(gost, server, tmp_path, trusting=False)

    # gost prints no reason, so the broken handshake is seen on our side.
    assert ended.returncode == 1
    assert (server.refused, server.requests) == (["security-tracker.debian.org"], [])


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.CUT])
def test_gost_fails_when_the_feed_does(gost: Path, tmp_path: Path, fault: Fault) -> None:
    with mirror(shipped_documents()) as server:
        server.fault = fault
        ended = fetch_debian(gost, server, tmp_path)

    assert ended.returncode == 1
    assert "Failed to fetch CVE details from Debian Security Tracker API" in ended.stderr


def test_a_failed_fetch_keeps_what_an_earlier_one_stored(gost: Path, tmp_path: Path) -> None:
    with mirror(shipped_documents()) as server:
        fetch_debian(gost, server, tmp_path)
        server.fault = Fault.CUT
        fetch_debian(gost, server, tmp_path)

    with closing(sqlite3.connect(tmp_path / "gost.sqlite3")) as database:
        assert database.execute(ROWS[1]).fetchone()[0] > 0
