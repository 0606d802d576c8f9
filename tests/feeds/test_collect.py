"""Which facts are read out of a changelog, and which are left out because it does not settle them."""

import subprocess

from tests.mirror.collect import fixed_rows, newest_first, read_changelog, read_index
from tests.mirror.documents import debian_tracker
from tests.mirror.expected import RELEASE, URGENCIES

CHANGELOG = """\
sample (1.0-1+deb12u3) bookworm-security; urgency=high

  * Fix a regression of the fix for CVE-2024-0002.
  * Parser:
    - CVE-2024-0003: check the length
    - a test for CVE-2024-0004 is dropped
    + [CVE-2024-0005]: check the depth

 -- Maintainer <maintainer@example.org>  Wed, 05 Jun 2024 10:00:00 +0000

sample (1.0-1+deb12u2) bookworm; urgency=medium

  * CVE-2024-0001 (Closes: #1)
  * CVE-2024-0002

 -- Maintainer <maintainer@example.org>  Mon, 03 Jun 2024 10:00:00 +0000

sample (1.0-1) unstable; urgency=medium

  * CVE-2022-0001

 -- Maintainer <maintainer@example.org>  Sat, 07 Jan 2023 10:00:00 +0000
"""
INDEX = """\
Package: libsample1
Source: sample (1.0-1+deb12u3)
Version: 1.0-1+deb12u3+b1
Size: 2000

Package: sample
Version: 1.0-1+deb12u3
Size: 1000

Package: sample
Version: 1.0-1
Size: 900
"""


def test_a_fix_belongs_to_the_one_bookworm_upload_that_names_it() -> None:
    rows = fixed_rows(read_changelog(CHANGELOG))

    assert {cve: (stanza.version, stanza.urgency) for cve, stanza in rows.items()} == {
        "CVE-2024-0001": ("1.0-1+deb12u2", "medium"),
        "CVE-2024-0003": ("1.0-1+deb12u3", "high"),
        "CVE-2024-0005": ("1.0-1+deb12u3", "high"),
    }


def test_the_smallest_package_of_the_newest_source_version_comes_first(dpkg: None) -> None:
    binaries = newest_first(read_index(INDEX, "bookworm"))

    assert [(binary.name, binary.source_version) for binary in binaries] == [
        ("sample", "1.0-1+deb12u3"),
        ("libsample1", "1.0-1+deb12u3"),
    ]


def test_every_shipped_row_is_complete() -> None:
    releases = [
        entry["releases"][RELEASE] for entries in debian_tracker().values() for entry in entries.values()
    ]

    assert len(releases) > 500
    for release in releases:
        assert release["urgency"] in URGENCIES
        assert release["status"] in {"open", "resolved"}
        assert ("fixed_version" in release) == (release["status"] == "resolved")


def test_every_shipped_fixed_version_is_one_that_dpkg_accepts(dpkg: None) -> None:
    rows = [entry["releases"][RELEASE] for entries in debian_tracker().values() for entry in entries.values()]
    versions = {release["fixed_version"] for release in rows if "fixed_version" in release}

    refused = [v for v in versions if subprocess.run(["dpkg", "--validate-version", v]).returncode != 0]

    assert refused == []
