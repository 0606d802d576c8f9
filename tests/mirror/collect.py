"""Remake data/debian-tracker.json from the changelogs of Debian 12's own updates.

`apt-get update` first, then `python -m tests.mirror.collect FOLDER`; FOLDER keeps the downloads.
Which facts are taken, and which are left out because a changelog does not settle them, is written
in README.md beside this file.
"""

import argparse
import functools
import getpass
import gzip
import io
import json
import re
import subprocess
import sys
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mirror.documents import DATA, TRACKER_FILE, Release, Tracker

# The two names under which the tracker's document lists an archive's version.
ARCHIVES = ("bookworm", "bookworm-security")
UPLOADS = {"bookworm", "bookworm-security", "bookworm-updates"}
URGENCIES = {"low", "medium", "high"}
CVE = re.compile(r"CVE-\d{4}-\d{4,}")
HEADER = re.compile(r"^(?P<source>\S+) \((?P<version>\S+)\) (?P<uploads>[^;]+); urgency=(?P<urgency>\w+)")
# An entry with one of these words speaks of a CVE without saying that this version fixes it.
UNSETTLED = re.compile(
    r"regress|revert|incomplete|follow.?up|additional|further|refresh|\bpartial(ly)? (fix|address)|mitigat"
    r"|\bagain\b|already|previous (fix|patch|upload|change)|unaffected|not affect|introduced|mention|typo"
    r"|changelog|not fix|postpone|\bignor|prerequisite|prepar|the fix(es)? for|changes (made )?(for|in)"
    r"|drop|skip",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Binary:
    """One binary package as an archive's index lists it."""

    name: str
    version: str
    source: str
    source_version: str
    archive: str
    size: int


@dataclass(frozen=True)
class Stanza:
    """One upload in a changelog."""

    version: str
    uploads: frozenset[str]
    urgency: str
    entries: tuple[str, ...]

    @property
    def cves(self) -> set[str]:
        return {cve for entry in self.entries for cve in CVE.findall(entry)}

    @property
    def fixed(self) -> set[str]:
        """The CVEs of which the stanza says, without an if or but, that it fixes them."""
        unsettled = {cve for entry in self.entries if UNSETTLED.search(entry) for cve in CVE.findall(entry)}
        return self.cves - unsettled


def run(*command: str, folder: Path | None = None) -> bytes:
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout


@functools.cmp_to_key
def debian_order(one: str, other: str) -> int:
    """Order versions as dpkg does."""
    if one == other:
        return 0
    older = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False).returncode == 0
    return -1 if older else 1


def read_index(text: str, archive: str) -> Iterator[Binary]:
    for paragraph in text.strip().split("\n\n"):
        found = re.findall(r"^(Package|Source|Version|Size): (.*)$", paragraph, re.MULTILINE)
        fields: dict[str, str] = dict(found)
        source, _, source_version = fields.get("Source", fields["Package"]).partition(" ")
        # A rebuild of the same source carries +bN; the source's own version does not.
        built_from = source_version.strip("()") or re.sub(r"\+b\d+$", "", fields["Version"])
        yield Binary(fields["Package"], fields["Version"], source, built_from, archive, int(fields["Size"]))


def archive_binaries(sources: set[str]) -> dict[str, list[Binary]]:
    """List the binary packages of `sources` in the archives that apt knows."""
    found: dict[str, list[Binary]] = defaultdict(list)
    for archive in ARCHIVES:
        wanted = ("Created-By: Packages", f"Codename: {archive}")
        for name in run("apt-get", "indextargets", "--format", "$(FILENAME)", *wanted).decode().split():
            text = run("/usr/lib/apt/apt-helper", "cat-file", name).decode()
            for binary in read_index(text, archive):
                if binary.source in sources:
                    found[binary.source].append(binary)
    return found


def newest_first(binaries: Iterable[Binary]) -> list[Binary]:
    """Keep the newest version's packages, the smallest download first."""
    binaries = list(binaries)
    newest = max((binary.source_version for binary in binaries), key=debian_order)
    return sorted((b for b in binaries if b.source_version == newest), key=lambda binary: binary.size)


def changelog_of(binary: Binary, folder: Path) -> str | None:
    """Read the changelog out of the package; None if it only links to another package's."""
    pattern = f"{binary.name}_{binary.version.replace(':', '%3a')}_*.deb"
    if not list(folder.glob(pattern)):
        # apt's own user may not write where ours may.
        sandbox = f"APT::Sandbox::User={getpass.getuser()}"
        run("apt-get", "download", "-o", sandbox, f"{binary.name}={binary.version}", folder=folder)
    package = next(folder.glob(pattern))
    with tarfile.open(fileobj=io.BytesIO(run("dpkg-deb", "--fsys-tarfile", str(package)))) as archive:
        for name in ("changelog.Debian.gz", "changelog.gz"):
            path = f"./usr/share/doc/{binary.name}/{name}"
            if path in archive.getnames() and archive.getmember(path).isfile():
                content = archive.extractfile(path)
                text = gzip.decompress(content.read()).decode() if content else ""
                if HEADER.match(text):
                    return text
    return None


def newest_changelog(binaries: list[Binary], folder: Path) -> str:
    for binary in newest_first(binaries):
        text = changelog_of(binary, folder)
        if text is not None:
            return text
    raise SystemExit(f"No package of {binaries[0].source} carries a changelog.")


def read_changelog(text: str) -> list[Stanza]:
    stanzas = []
    for block in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        header = HEADER.match(block)
        if header:
            entries = re.split(r"^\s+(?=[*+-] )", block[header.end() :], flags=re.MULTILINE)
            uploads = frozenset(header["uploads"].split())
            stanzas.append(Stanza(header["version"], uploads, header["urgency"], tuple(entries)))
    return stanzas


def fixed_rows(stanzas: list[Stanza]) -> dict[str, Stanza]:
    """Map each CVE that exactly one stanza names, and says it fixes, to that stanza."""
    naming: dict[str, int] = defaultdict(int)
    for stanza in stanzas:
        for cve in stanza.cves:
            naming[cve] += 1
    return {
        cve: stanza
        for stanza in stanzas
        if stanza.uploads & UPLOADS and stanza.urgency in URGENCIES
        for cve in stanza.fixed
        if naming[cve] == 1
    }


def newest_versions(binaries: list[Binary]) -> dict[str, str]:
    versions: dict[str, list[str]] = defaultdict(list)
    for binary in binaries:
        versions[binary.archive].append(binary.source_version)
    return {archive: max(versions[archive], key=debian_order) for archive in ARCHIVES if archive in versions}


def open_facts() -> dict[str, dict[str, str]]:
    """Read the facts that no changelog can hold: what Debian 12 leaves open, by source and CVE."""
    facts: dict[str, dict[str, str]] = defaultdict(dict)
    for line in (DATA / "open.tsv").read_text().splitlines():
        source, cve, urgency = line.split("\t")
        facts[source][cve] = urgency
    return facts


def collect(folder: Path) -> Tracker:
    still_open = open_facts()
    sources = set((DATA / "sources.txt").read_text().split()) | set(still_open)
    document: Tracker = {}
    for source, binaries in sorted(archive_binaries(sources).items()):
        stanzas = read_changelog(newest_changelog(binaries, folder))
        repositories = newest_versions(binaries)
        rows: dict[str, Release] = {
            cve: {
                "status": "resolved",
                "repositories": repositories,
                "fixed_version": stanza.version,
                "urgency": stanza.urgency,
            }
            for cve, stanza in fixed_rows(stanzas).items()
        }
        for cve, urgency in still_open[source].items():
            if any(cve in stanza.cves for stanza in stanzas):
                raise SystemExit(f"{source}'s changelog names {cve}: take it out of open.tsv.")
            rows[cve] = {"status": "open", "repositories": repositories, "urgency": urgency}
        if rows:
            document[source] = {cve: {"releases": {"bookworm": release}} for cve, release in rows.items()}
        sys.stderr.write(f"{source}: {len(rows)} facts\n")
    return document


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the downloaded packages are kept")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    document = collect(folder)
    TRACKER_FILE.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
