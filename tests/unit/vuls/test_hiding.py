"""What config.toml hides, by Vuls' own rules."""

import json
from pathlib import Path
from typing import Any

import pytest

from vulsweb.vuls import hiding, results

FIXED = {"name": "curl", "fixedIn": "2"}
UNFIXED = {"name": "curl", "notFixedYet": True}


@pytest.fixture
def document(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data / "scan_without_database.json").read_text())
    return found


def entry(*packages: dict[str, Any], score: float = 7.5, sure: int = 100, **more: Any) -> dict[str, Any]:
    return {
        "affectedPackages": list(packages),
        "confidences": [{"score": sure, "detectionMethod": "DebianSecurityTrackerMatch"}],
        "cveContents": {"nvd": [{"cvss3Score": score}]},
    } | more


def hidden(document: dict[str, Any], report: Any, **cves: Any) -> dict[str, int]:
    found = document | {"scannedCves": cves, "config": {"report": report}}
    return dict(results.parse(json.dumps(found).encode()).hidden)


def server(**settings: Any) -> dict[str, Any]:
    return {"servers": {"localhost": settings, "other": {"ignoreCves": ["A", "B", "C"]}}}


@pytest.mark.parametrize(
    ("report", "cve", "setting"),
    [
        ({"confidenceScoreOver": 80}, entry(sure=100), None),
        ({"confidenceScoreOver": 80}, entry(sure=80), None),
        ({"confidenceScoreOver": 80}, entry(sure=10), "confidenceScoreOver"),
        ({"confidenceScoreOver": 80}, entry(confidences=[]), None),
        ({"confidenceScoreOver": 80}, entry(confidences=[{"score": 10}, {"score": 100}]), None),
        ({"cvssScoreOver": 7.5}, entry(score=7.5), None),
        ({"cvssScoreOver": 7.5}, entry(score=7.4), "cvssScoreOver"),
        ({"ignoreUnfixed": True}, entry(FIXED), None),
        ({"ignoreUnfixed": True}, entry(FIXED, UNFIXED), None),
        ({"ignoreUnfixed": True}, entry(UNFIXED), "ignoreUnfixed"),
        ({"ignoreUnfixed": True}, entry(UNFIXED, cpeURIs=["cpe:/a:b:c"]), None),
        ({"ignoreUnfixed": False}, entry(UNFIXED), None),
        ({"ignoreUnscoredCves": True}, entry(), None),
        ({"ignoreUnscoredCves": True}, entry(cveContents={}), "ignoreUnscoredCves"),
        (server(ignoreCves=["A"]), entry(), "ignoreCves"),
        (server(ignoreCves=["a", "B"]), entry(), None),
        (server(ignorePkgsRegexp=["^cu"]), entry(FIXED), "ignorePkgsRegexp"),
        (server(ignorePkgsRegexp=["^cu"]), entry(FIXED, {"name": "vim"}), None),
        (server(ignorePkgsRegexp=["^cu", "vi?m"]), entry(FIXED, {"name": "vim"}), "ignorePkgsRegexp"),
        (server(ignorePkgsRegexp=["^cu"]), entry(), None),
        (server(ignorePkgsRegexp=["(", r"\p{Lu}"]), entry(FIXED), None),
        (server(ignorePkgsRegexp=[r"^\pL+$"]), entry(FIXED), "ignorePkgsRegexp"),
        # What is not as Vuls writes it hides nothing.
        ({"ignoreUnfixed": "yes", "cvssScoreOver": "9"}, entry(UNFIXED), None),
        ({"servers": []}, entry(), None),
        ({"servers": {"localhost": {"ignoreCves": "A", "ignorePkgsRegexp": {}}}}, entry(FIXED), None),
        ([], entry(), None),
        (None, entry(), None),
    ],
)
def test_each_filter_hides_what_vuls_would(
    document: dict[str, Any], report: Any, cve: dict[str, Any], setting: str | None
) -> None:
    assert hidden(document, report, A=cve) == ({setting: 1} if setting else {})


def test_a_container_has_filters_of_its_own(document: dict[str, Any]) -> None:
    report = server(ignoreCves=["A"], containers={"app": {"ignoreCves": ["B"]}})

    assert hidden(document | {"container": {"name": "app"}}, report, A=entry(), B=entry(), C=entry()) == {
        "ignoreCves": 1
    }
    assert hidden(document | {"container": {"name": "db"}}, report, A=entry(), B=entry()) == {}


def test_an_expression_takes_linear_time_whatever_a_host_calls_its_packages(document: dict[str, Any]) -> None:
    package = {"name": "a" * 50_000 + "!"}

    assert hidden(document, server(ignorePkgsRegexp=["^(a+)+$"]), A=entry(package)) == {}


def test_what_is_hidden_is_no_finding_and_does_not_count(document: dict[str, Any]) -> None:
    cves = {"A": entry(FIXED), "B": entry(UNFIXED), "C": entry(FIXED)}
    report = server(ignoreCves=["C"]) | {"ignoreUnfixed": True}

    result = results.parse(
        json.dumps(document | {"scannedCves": cves, "config": {"report": report}}).encode()
    )

    assert [finding.cve_id for finding in result.findings] == ["A"]
    assert sum(result.severity_counts.values()) == 1
    assert hiding.sentence(result.hidden) == (
        "2 CVEs are hidden by config.toml: 1 by ignoreCves, 1 by ignoreUnfixed."
    )


def test_the_stored_document_keeps_the_filters_and_no_other_setting(document: dict[str, Any]) -> None:
    report = server(ignoreCves=["A"], keyPath="/secret", user="eve", containers={"app": {"cpes": ["x"]}}) | {
        "confidenceScoreOver": 80,
        "cveDict": {"SQLite3Path": "/secret"},
    }
    found = json.dumps(document | {"scannedCves": {"A": entry()}, "config": {"report": report}}).encode()

    stored = b"".join(results.without_config(found))

    assert json.loads(stored)["config"] == {
        "report": {
            "confidenceScoreOver": 80,
            "servers": {"localhost": {"ignoreCves": ["A"], "containers": {"app": {}}}},
        }
    }
    assert results.parse(stored).hidden == {"ignoreCves": 1}
