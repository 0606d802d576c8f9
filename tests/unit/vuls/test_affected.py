"""What a CVE affects: every kind that Vuls writes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vulsweb.vuls import affected, results
from vulsweb.vuls.affected import Affected, Installed

DOCUMENT = {
    "jsonVersion": 4,
    "serverName": "web-1",
    "family": "debian",
    "release": "12.4",
    "scannedAt": "2026-01-01T00:00:00Z",
    "packages": {"tar": {"name": "tar", "version": "1.34+dfsg", "release": "1.2+deb12u1"}},
    "libraries": [
        {"Type": "npm", "path": "/srv/package-lock.json", "Libs": [{"Name": "lodash", "Version": "4.17.20"}]},
        {"Type": "npm", "path": "/old/package-lock.json", "Libs": [{"Name": "lodash", "Version": "3.0.0"}]},
    ],
    "WordPressPackages": [{"name": "akismet", "version": "4.0", "type": "plugin", "status": "active"}],
}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            {"affectedPackages": [{"name": "tar", "fixedIn": "1.35"}]},
            Affected("tar", "1.34+dfsg-1.2+deb12u1", "1.35"),
        ),
        (
            {"affectedPackages": [{"name": "gone", "notFixedYet": True}]},
            Affected("gone", "", "", "Not fixed yet"),
        ),
        (
            {"libraryFixedIns": [{"key": "npm", "name": "lodash", "path": "/old/package-lock.json"}]},
            Affected("lodash", "3.0.0", kind="library", path="/old/package-lock.json"),
        ),
        (
            {
                "libraryFixedIns": [
                    {"name": "lodash", "fixedIn": "4.17.21", "path": "/srv/package-lock.json", "version": "9"}
                ]
            },
            Affected("lodash", "9", "4.17.21", kind="library", path="/srv/package-lock.json"),
        ),
        (
            {"wpPackageFixStats": [{"name": "akismet", "fixedIn": "4.1"}]},
            Affected("akismet", "4.0", "4.1", kind="wordpress"),
        ),
        (
            {"cpeURIs": ["cpe:/a:rails:rails:4.2.1"]},
            Affected("cpe:/a:rails:rails:4.2.1", fix_state="Compare the version", kind="cpe"),
        ),
        ({"windowsKBFixedIns": ["5034439"]}, Affected("5034439", fixed_in="5034439", kind="update")),
        (
            {
                "gitHubSecurityAlerts": [
                    {
                        "repository": "owner/site",
                        "package": {"name": "rack", "manifestPath": "Gemfile.lock"},
                        "fixedIn": "2.2.3",
                        "affectedRange": "< 2.2.3",
                    }
                ]
            },
            Affected("owner/site rack", "< 2.2.3", "2.2.3", kind="github", path="Gemfile.lock"),
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value.kind,
)
def test_each_kind_says_what_is_vulnerable_and_what_fixes_it(
    entry: dict[str, Any], expected: Affected
) -> None:
    result = results.parse(json.dumps(DOCUMENT | {"scannedCves": {"CVE-1": entry}}).encode())

    assert result.findings[0].packages == (expected,)


def test_a_cve_may_affect_several_kinds() -> None:
    entry = {"affectedPackages": [{"name": "tar"}], "libraryFixedIns": [{"name": "lodash"}], "cpeURIs": ["x"]}

    found = affected.affected_by("CVE-1", entry, Installed.of(DOCUMENT))

    assert [each.kind for each in found] == ["package", "library", "cpe"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("libraryFixedIns", "wpPackageFixStats", "cpeURIs", "windowsKBFixedIns", "gitHubSecurityAlerts")


@given(
    entry=st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, VALUES)),
    document=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("packages", "libraries", "WordPressPackages"), VALUES)
    ),
)
def test_whatever_a_host_writes_is_read_as_text(entry: dict[str, Any], document: dict[str, Any]) -> None:
    found = affected.affected_by("CVE-1", entry, Installed.of(document))

    assert all(
        isinstance(text, str) and "\x00" not in text for each in found for text in each.as_dict().values()
    )
