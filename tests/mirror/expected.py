"""What Vuls should find on a Debian machine, worked out from dpkg alone.

Vuls reads the same document by way of gost's database and compares versions with a Go library;
here `dpkg --compare-versions` decides, so the two agree only if both are right.
"""

import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tests.mirror.documents import Release, Tracker

RELEASE = "bookworm"
# In this order Vuls ranks the tracker's urgencies; it joins several with "|", the worst one last.
URGENCIES = ("unimportant", "not yet assigned", "low", "medium", "high")
QUERY = r"${binary:Package}\t${db:Status-Status}\t${source:Package}\t${source:Version}\n"


@dataclass(frozen=True)
class Expected:
    """One CVE that a scan of this machine must report; of several sources the first gives the version."""

    packages: frozenset[str]
    fixed_version: str | None
    urgency: str


@dataclass(frozen=True)
class InstalledSource:
    """A source package some of whose binary packages are installed."""

    version: str
    packages: frozenset[str]


def listing_of_this_machine() -> str:
    """Ask dpkg for what is installed here."""
    words = ["dpkg-query", "-W", "-f", QUERY]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def installed_sources(listing: str) -> dict[str, InstalledSource]:
    """Return the sources that the installed packages were built from."""
    versions: dict[str, str] = {}
    packages: dict[str, set[str]] = defaultdict(set)
    for package, status, source, version in (line.split("\t") for line in listing.splitlines()):
        if status == "installed":
            # Of two versions of one source, as after half an upgrade, Vuls keeps the last one listed.
            versions[source] = version
            packages[source].add(package.partition(":")[0])
    return {source: InstalledSource(versions[source], frozenset(packages[source])) for source in versions}


def older(version: str, than: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", version, "lt", than], check=False).returncode == 0


def affects(release: Release, installed: InstalledSource) -> bool:
    """Say whether what the tracker says of a CVE makes it a finding; it follows Vuls' reading."""
    if release["status"] == "open":
        return True
    return release["status"] == "resolved" and older(installed.version, release["fixed_version"])


def installed_rows(document: Tracker, listing: str) -> Iterator[tuple[str, InstalledSource, Release]]:
    sources = installed_sources(listing)
    for source, entries in document.items():
        for cve, entry in entries.items():
            if source in sources and RELEASE in entry["releases"]:
                yield cve, sources[source], entry["releases"][RELEASE]


def expected_findings(document: Tracker, listing: str | None = None) -> dict[str, Expected]:
    """Work out every CVE that a scan must report, and nothing else.

    `listing` is what dpkg-query says with QUERY on the machine that is scanned; without it, this one.
    """
    rows: dict[str, list[tuple[InstalledSource, Release]]] = defaultdict(list)
    for cve, installed, release in installed_rows(document, listing or listing_of_this_machine()):
        if affects(release, installed):
            rows[cve].append((installed, release))
    return {
        cve: Expected(
            packages=frozenset[str]().union(*(installed.packages for installed, _ in found)),
            fixed_version=found[0][1].get("fixed_version"),
            urgency=max((release["urgency"] for _, release in found), key=URGENCIES.index),
        )
        for cve, found in rows.items()
    }


def already_fixed(document: Tracker) -> set[str]:
    """Work out the CVEs that must not be reported, because what is installed has the fix."""
    rows = installed_rows(document, listing_of_this_machine())
    settled = {cve for cve, installed, release in rows if not affects(release, installed)}
    return settled - expected_findings(document).keys()
