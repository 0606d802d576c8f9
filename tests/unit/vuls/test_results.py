"""Result documents, parsed and judged."""

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vulsweb.vuls import results
from vulsweb.vuls.results import Outcome, Severity


@pytest.fixture
def document(data: Path) -> dict[str, Any]:
    """A result as Vuls v0.26.0 left it, with findings added as it writes them."""
    found: dict[str, Any] = json.loads((data / "scan_without_database.json").read_text())
    found["packages"]["tar"] = {"name": "tar", "version": "1.34+dfsg", "release": "1.2+deb12u1"}
    found["scannedCves"] = {
        "CVE-2005-2541": {
            "cveID": "CVE-2005-2541",
            "affectedPackages": [{"name": "tar", "notFixedYet": True, "fixState": "open"}],
            "cveContents": {
                "debian_security_tracker": [
                    {"cvss2Severity": "low", "cvss3Severity": "low", "summary": " a\nb "}
                ]
            },
        },
        "CVE-2026-0001": {
            "cveID": "CVE-2026-0001",
            "affectedPackages": [{"name": "gone", "fixedIn": "2.0"}],
            "cveContents": {"nvd": {"cvss2Score": 10.0, "cvss3Score": 9.8, "summary": "Worse"}},
        },
    }
    return found


def parse(document: dict[str, Any]) -> results.ScanResult:
    return results.parse(json.dumps(document).encode())


def test_a_result_has_the_host_and_its_findings(document: dict[str, Any]) -> None:
    result = parse(document)

    assert (result.server_name, result.family, result.release) == ("localhost", "debian", "12")
    assert result.scanned_at.isoformat().startswith("2026-11-24T02:03:33")
    assert result.package_count == len(document["packages"])
    assert [finding.cve_id for finding in result.findings] == ["CVE-2005-2541", "CVE-2026-0001"]
    assert result.severity_counts == {"critical": 1, "high": 0, "medium": 0, "low": 1, "unknown": 0}


@pytest.mark.parametrize(
    ("running", "kernel", "restart"),
    [
        (
            {"release": "6.1.0-18-amd64", "version": "6.1.76-1", "rebootRequired": True},
            "6.1.0-18-amd64",
            True,
        ),
        ({"release": "6.1.0\n\x1b[31m", "rebootRequired": "yes"}, "6.1.0 [31m", False),
        ({"release": "9" * 10_000}, "9" * results.SHOWN_RELEASE, False),
        ({}, "", False),
        (None, "", False),
    ],
)
def test_a_result_has_the_kernel_that_runs_and_whether_a_newer_one_waits(
    document: dict[str, Any], running: object, kernel: str, restart: bool
) -> None:
    result = parse(document | {"runningKernel": running})

    assert (result.kernel, result.restart_required) == (kernel, restart)


def test_a_finding_has_the_installed_and_fixed_versions(document: dict[str, Any]) -> None:
    tar, gone = (finding.packages[0] for finding in parse(document).findings)

    assert (tar.name, tar.installed_version, tar.fixed_in, tar.fix_state) == (
        "tar",
        "1.34+dfsg-1.2+deb12u1",
        "",
        "open",
    )
    assert (gone.installed_version, gone.fixed_in, gone.fix_state) == ("", "2.0", "")


def test_titles_are_one_line_and_short(document: dict[str, Any]) -> None:
    document["scannedCves"]["CVE-2026-0001"]["cveContents"]["nvd"]["summary"] = "x\x1b[31m\u202e" + "y" * 400

    titles = [finding.title for finding in parse(document).findings]

    assert titles[0] == "a b"
    assert titles[1].startswith("x [31m ")
    assert len(titles[1]) == results.TITLE_LENGTH


@pytest.mark.parametrize(
    ("contents", "severity", "source", "score"),
    [
        ({"nvd": [{"cvss3Score": 8.9}]}, Severity.HIGH, "nvd", 8.9),
        (
            {"nvd": [{"cvss3Score": 7.5}], "ubuntu": [{"cvss3Severity": "critical"}]},
            "critical",
            "ubuntu",
            7.5,
        ),
        ({"debian_security_tracker": [{"cvss3Severity": "unimportant"}]}, Severity.UNKNOWN, "", None),
    ],
)
def test_a_findings_severity_is_that_of_vuls_and_says_whose_it_is(
    document: dict[str, Any], contents: dict[str, Any], severity: str, source: str, score: float | None
) -> None:
    document["scannedCves"] = {"CVE-1": {"cveContents": contents}}

    (finding,) = parse(document).findings

    assert (finding.severity, finding.severity_source, finding.score) == (severity, source, score)


def test_a_scan_that_had_its_database_is_a_success(document: dict[str, Any]) -> None:
    assert results.judge(parse(document), {"gost_debian"}) == (Outcome.SUCCESS, None)


def test_a_scan_without_a_database_for_the_family_is_partial_and_says_which(document: dict[str, Any]) -> None:
    outcome, sentence = results.judge(parse(document), {"gost_ubuntu", "nvd"})

    assert outcome is Outcome.PARTIAL
    assert "no vulnerability database for debian, so nothing" in str(sentence)
    assert "GOST Debian" in str(sentence)


@pytest.mark.parametrize(
    ("change", "outcome", "expected"),
    [
        ({"errors": ["Failed to\x1b[0m connect"]}, Outcome.FAILED, "Failed to [0m connect"),
        ({"family": "unknown"}, Outcome.FAILED, "could not identify the operating system"),
        ({"family": ""}, Outcome.FAILED, "could not identify the operating system"),
        ({"packages": {}}, Outcome.FAILED, "no installed packages"),
        ({"reportedVersion": ""}, Outcome.PARTIAL, "the report that finds CVEs did not run"),
        ({"family": "plan9"}, Outcome.PARTIAL, "No known database covers plan9"),
    ],
)
def test_a_result_is_judged_by_its_content(
    document: dict[str, Any], change: dict[str, Any], outcome: Outcome, expected: str
) -> None:
    judged, sentence = results.judge(parse(document | change), {"gost_debian"})

    assert judged is outcome
    assert expected in str(sentence)


@pytest.mark.parametrize(
    ("vuls", "outcome", "expected"),
    [
        ("v0.33.2", Outcome.SUCCESS, "None"),
        ("v0.33.3", Outcome.PARTIAL, "First run a database update of Vuls2 Database or of all"),
        # Built from source, Vuls does not know its version; we assume the classic one.
        ("`make build` or `make install` will show the version", Outcome.SUCCESS, "None"),
    ],
)
def test_a_result_is_judged_by_the_version_of_vuls_that_reported_it(
    document: dict[str, Any], vuls: str, outcome: Outcome, expected: str
) -> None:
    change = {"family": "ubuntu", "release": "22.04", "reportedVersion": vuls}

    judged, sentence = results.judge(parse(document | change), {"gost_ubuntu"})

    assert judged is outcome
    assert expected in str(sentence)


@pytest.mark.parametrize(
    ("family", "release", "vuls", "expected"),
    [
        ("debian", "13.1", "v0.26.0", "Vuls v0.26.0 does not know Debian 13.1: nothing can be found there."),
        ("debian", "13.1", "v0.26.0", "Use an executor with the profile current."),
        ("raspbian", "13.1", "v0.26.0", "does not know Raspberry Pi OS 13.1"),
        ("debian", "99", "v0.26.0", "A newer Vuls may know it."),
        ("ubuntu", "26.04", "v0.26.0", "does not know Ubuntu 26.04"),
        ("ubuntu", "14.04", "v0.26.0", "Support of Ubuntu 14.04 ended on 2022-04-01"),
        ("debian", "8.11", "v0.26.0", "Support of Debian 8 ended: vulnerabilities"),
        ("debian", "13.1", "v0.36.0", None),
        ("debian", "12.4", "v0.26.0", None),
        ("ubuntu", "20.04", "v0.26.0", None),
    ],
)
def test_a_release_that_hides_vulnerabilities_is_never_a_success(
    document: dict[str, Any], family: str, release: str, vuls: str, expected: str | None
) -> None:
    change = {"family": family, "release": release, "reportedVersion": vuls}

    outcome, sentence = results.judge(parse(document | change), {"gost_debian", "gost_ubuntu", "vuls2"})

    assert outcome is (Outcome.PARTIAL if expected else Outcome.SUCCESS)
    assert (expected or "None") in str(sentence)


def test_a_release_that_vuls_itself_does_not_know_is_never_a_success(document: dict[str, Any]) -> None:
    line = "Failed to check EOL. Register the issue with `Family: debian Release: 12`"

    outcome, sentence = results.judge(parse(document | {"warnings": [line]}), {"gost_debian"})

    assert outcome is Outcome.PARTIAL
    assert "does not know Debian 12" in str(sentence)


def test_a_missing_database_and_an_ended_release_are_both_said(document: dict[str, Any]) -> None:
    change = {"family": "ubuntu", "release": "14.04"}

    outcome, sentence = results.judge(parse(document | change), {})

    assert outcome is Outcome.PARTIAL
    assert "First run a database update of GOST Ubuntu" in str(sentence)
    assert "ended on 2022-04-01" in str(sentence)


@pytest.mark.parametrize(
    ("change", "databases", "outcome"),
    [
        ({"packages": {}, "libraries": [{"lockfilePath": "/srv/Gemfile.lock"}]}, set(), Outcome.SUCCESS),
        ({"packages": {}, "WordPressPackages": [{"name": "core"}]}, set(), Outcome.SUCCESS),
        ({"packages": {}, "libraries": [{}], "reportedVersion": ""}, set(), Outcome.PARTIAL),
        ({"packages": {}, "family": "pseudo"}, {"nvd"}, Outcome.SUCCESS),
        ({"packages": {}, "family": "pseudo"}, {"gost_debian"}, Outcome.PARTIAL),
    ],
)
def test_a_scan_of_something_else_than_packages_is_judged_by_what_it_has(
    document: dict[str, Any], change: dict[str, Any], databases: set[str], outcome: Outcome
) -> None:
    assert results.judge(parse(document | change), databases)[0] is outcome


@pytest.mark.parametrize(
    ("scan_type", "mode", "said"),
    [
        ("full", "fast-root offline mode", "The full scan ran in fast-root offline mode, because"),
        ("full", "deep mode", ""),
        ("fast", "fast offline mode", ""),
    ],
)
def test_a_full_scan_that_was_less_says_so(
    document: dict[str, Any], scan_type: str, mode: str, said: str
) -> None:
    sentences = results.why_not_deep(scan_type, parse(document | {"scanMode": mode}))

    assert [sentence[: len(said)] for sentence in sentences] == ([said] if said else [])


def test_warnings_are_bounded_lines(document: dict[str, Any]) -> None:
    document["warnings"] = ["a\x1b[31m\nb", 7, "x" * 5_000, *["y"] * 100]

    warnings = parse(document).warnings

    assert warnings[:2] == ("a [31m b", "7")
    assert len(warnings) == results.MAX_WARNINGS
    assert max(map(len, warnings)) == results.WARNING_LENGTH


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"jsonVersion": 3}, "jsonVersion is 3"),
        ({"serverName": None}, "serverName is missing"),
        ({"family": 7}, "family is not text"),
        ({"packages": []}, None),
        ({"packages": [1]}, "packages is not an object"),
        ({"scannedCves": [1]}, "scannedCves is not an object"),
        ({"scannedCves": {"CVE-1": 5}}, "scannedCves.CVE-1 is not an object"),
        ({"scannedCves": {"CVE-1": {"affectedPackages": ["tar"]}}}, "CVE-1.affectedPackages has an entry"),
        ({"scannedCves": {"CVE-1": {"affectedPackages": [{}]}}}, "name is missing"),
        ({"errors": "bad"}, "errors is not a list"),
        ({"scannedAt": "yesterday"}, "scannedAt is 'yesterday'"),
        ({"scannedAt": "0001-01-01T00:00:00+09:00"}, "which is not a time"),
        ({"scannedAt": "9999-12-31T23:59:59-09:00"}, "which is not a time"),
        ({"scannedCves": {"CVE-" + "1" * 9_000: {}}}, "scannedCves has an id of 9,004 characters."),
    ],
)
def test_a_malformed_result_is_refused_by_its_first_wrong_field(
    document: dict[str, Any], change: dict[str, Any], expected: str | None
) -> None:
    wrong = copy.deepcopy(document) | change
    if expected is None:
        assert parse(wrong).package_count == 0
        return

    with pytest.raises(results.ResultsError) as refusal:
        parse(wrong)

    assert expected in str(refusal.value)


@pytest.mark.parametrize("entry", ["tru", '{"a": }', '{"a": "\\ud800"}', '{"a": 1', "[" * 100_000])
def test_a_result_with_an_entry_that_is_not_json_is_refused(document: dict[str, Any], entry: str) -> None:
    text = json.dumps(document | {"scannedCves": {"CVE-1": "HERE"}}).replace('"HERE"', entry)

    with pytest.raises(results.ResultsError, match="The result is not JSON"):
        results.parse(text.encode())


def test_a_result_without_cves_has_no_findings(document: dict[str, Any]) -> None:
    assert parse(document | {"scannedCves": None}).findings == ()


HALF_A_PAIR = b'{"jsonVersion": 4, "serverName": "\\ud800"}'


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, HALF_A_PAIR])
def test_anything_but_a_json_object_is_refused(document: bytes) -> None:
    with pytest.raises(results.ResultsError):
        results.parse(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    field=st.sampled_from(
        ["packages", "scannedCves", "errors", "warnings", "libraries", "family", "release", "scannedAt"]
    ),
    value=JSON,
)
def test_hostile_values_are_refused_or_read_but_never_crash(field: str, value: Any) -> None:
    whole = {
        "jsonVersion": 4,
        "serverName": "a",
        "family": "debian",
        "release": "12",
        "scannedAt": "2026-01-01T00:00:00Z",
    }

    with contextlib.suppress(results.ResultsError):
        results.judge(results.parse(json.dumps(whole | {field: value}).encode()), [])


def test_the_stored_document_has_no_key_files(document: dict[str, Any]) -> None:
    document["config"] = {"scan": {"servers": {"web": {"keyPath": "/root/.ssh/id_ed25519"}}}}

    kept = b"".join(results.without_config(json.dumps(document).encode()))

    assert b"id_ed25519" not in kept
    assert results.parse(kept) == parse(document)
