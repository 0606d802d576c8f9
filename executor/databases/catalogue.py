"""The list of vulnerability databases: file, tool and profile of each. Pure.

A profile is a generation of Vuls together with the databases that it reads.
"""

import re
from dataclasses import dataclass

DatabaseName = str

CLASSIC, CURRENT = "classic", "current"
PROFILES = (CLASSIC, CURRENT)


@dataclass(frozen=True)
class Database:
    """A database: its file and the tool that fetches it.

    Several databases may share a file. The queries are empty for a bbolt file: `count` counts a database's
    rows, `content` returns what findings are made of, and `newest` the time of the newest entry, where
    entries have one. The tools themselves store only when they fetched.
    """

    file: str
    tool: str
    arguments: tuple[str, ...]
    count: str
    content: tuple[str, ...]
    newest: str = ""
    profile: str = CLASSIC


def _oval(family: str, *versions: str) -> Database:
    definitions = f"FROM definitions JOIN roots ON roots.id = root_id AND family = '{family}'"
    return Database(
        "oval.sqlite3",
        "goval-dictionary",
        ("fetch", family, *versions),
        f"SELECT count(*) {definitions}",
        (
            (
                "SELECT os_version, definitions.definition_id, name, version, arch, not_fixed_yet,"
                f" modularity_label {definitions} JOIN packages ON packages.definition_id = definitions.id"
                " ORDER BY 1, 2, 3, 4, 5, 6, 7"
            ),
            # An advisory may get another CVE, and its packages stay the same.
            (
                "SELECT os_version, definitions.definition_id, severity, cve_id, cvss3, impact"
                f" {definitions} JOIN advisories ON advisories.definition_id = definitions.id"
                " LEFT JOIN cves ON advisory_id = advisories.id ORDER BY 1, 2, 3, 4, 5, 6"
            ),
        ),
        # Only these vendors' advisories have one.
        f"SELECT max(updated) {definitions} JOIN advisories ON advisories.definition_id = definitions.id"
        if family in ("amazon", "redhat")
        else "",
    )


_GOST_CONTENT = {
    "debian": (
        (
            "SELECT cve_id, package_name, product_name, status, fixed_version, urgency FROM debian_cves"
            " JOIN debian_packages ON debian_cve_id = debian_cves.id"
            " JOIN debian_releases ON debian_package_id = debian_packages.id ORDER BY 1, 2, 3, 4, 5, 6"
        ),
    ),
    "ubuntu": (
        (
            "SELECT candidate, priority, package_name, release_name, status, note FROM ubuntu_cves"
            " JOIN ubuntu_patches ON ubuntu_cve_id = ubuntu_cves.id"
            " JOIN ubuntu_release_patches ON ubuntu_patch_id = ubuntu_patches.id ORDER BY 1, 2, 3, 4, 5, 6"
        ),
    ),
    "redhat": (
        (
            "SELECT name, threat_severity, product_name, package_name, fix_state, cpe FROM redhat_cves"
            " LEFT JOIN redhat_package_states ON redhat_cve_id = redhat_cves.id ORDER BY 1, 2, 3, 4, 5, 6"
        ),
        (
            "SELECT name, cvss3_base_score, cvss3_scoring_vector FROM redhat_cves"
            " JOIN redhat_cvss3 ON redhat_cve_id = redhat_cves.id ORDER BY 1, 2, 3"
        ),
    ),
}


def _gost(family: str) -> Database:
    return Database(
        "gost.sqlite3",
        "gost",
        # The tool's default, one row at a time, takes hours.
        ("fetch", family, "--batch-size", "500"),
        f"SELECT count(*) FROM {family}_cves",  # noqa: S608
        _GOST_CONTENT[family],
    )


VULS2 = "vuls2"
CATALOGUE: dict[DatabaseName, Database] = {
    "nvd": Database(
        "cve.sqlite3",
        "go-cve-dictionary",
        ("fetch", "nvd"),
        "SELECT count(*) FROM nvds",
        ("SELECT cve_id, last_modified_date FROM nvds ORDER BY 1, 2",),
        "SELECT max(last_modified_date) FROM nvds",
    ),
    "ubuntu": _oval("ubuntu", "16.04", "18.04", "20.04", "22.04", "24.04"),
    "debian": _oval("debian", "10", "11", "12"),
    "redhat": _oval("redhat", "6", "7", "8", "9"),
    "amazon": _oval("amazon", "2", "2023"),
    "alpine": _oval("alpine", "3.17", "3.18", "3.19", "3.20", "3.21", "3.22"),
    "gost_ubuntu": _gost("ubuntu"),
    "gost_debian": _gost("debian"),
    "gost_redhat": _gost("redhat"),
    # Vuls fetches it while it reports on a host: see commands.fetch_command.
    VULS2: Database("vuls2.db", "vuls", (), "", (), profile=CURRENT),
}

# For each file, the name of its section in Vuls' configuration.
SECTIONS = {
    CLASSIC: {"cveDict": "cve.sqlite3", "ovalDict": "oval.sqlite3", "gost": "gost.sqlite3"},
    CURRENT: {"vuls2": "vuls2.db"},
}

# Feeds that upstream has ended, with the first version of the tool that reads what replaced them:
# https://github.com/vulsio/go-cve-dictionary/pull/418 and https://github.com/vulsio/gost/pull/204.
_ENDED = {"nvd": (0, 12, 0), "gost_redhat": (0, 4, 5)}
# Taken from the source code of Vuls. Versions in between read some databases of both profiles.
_LAST_CLASSIC, _FIRST_CURRENT = (0, 28, 999), (0, 40, 0)
_VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?![\d.])")


def profile_databases(profile: str) -> tuple[DatabaseName, ...]:
    """Return the names of a profile's databases."""
    return tuple(name for name, database in CATALOGUE.items() if database.profile == profile)


def why_unused(name: DatabaseName, profile: str) -> str | None:
    """Return why a profile does not use a database.

    Return None if it does.
    """
    database = CATALOGUE[name]
    if database.profile == profile:
        return None
    return (
        f"The executor's profile is {profile}, whose Vuls does not read {name}: fetching it has no effect."
        f" Its databases are {', '.join(profile_databases(profile))};"
        f" {name} belongs to the profile {database.profile}."
    )


def why_ended(name: DatabaseName, version: str | None) -> str | None:
    """Return why this version of its tool cannot fetch a database.

    Return None if it can, or if the version is not known.
    """
    found, first = _VERSION.match(version or ""), _ENDED.get(name)
    if found is None or first is None or tuple(map(int, found.groups())) >= first:
        return None
    tool = CATALOGUE[name].tool
    return (
        f"Upstream has ended the feed that {tool} {found[0]} reads {name} from."
        f" {tool} v{'.'.join(map(str, first))} and later read another: run `make tools`,"
        f" or take a newer image."
    )


def profile_mismatch(profile: str, vuls: str | None) -> str | None:
    """Return why this version of Vuls does not fit the profile.

    Return None if it fits. A Vuls without a known version is assumed to fit.
    """
    found = _VERSION.match(vuls or "")
    if found is None:
        return None
    number = int(found[1]), int(found[2]), int(found[3])
    version = "Vuls v{}.{}.{}".format(*number)
    if profile == CLASSIC and number > _LAST_CLASSIC:
        readable = "none" if number >= _FIRST_CURRENT else "only some"
        return f"The executor's profile is classic, and {version} reads {readable} of its databases."
    if profile == CURRENT and number < _FIRST_CURRENT:
        verb = "does not know" if number <= _LAST_CLASSIC else "only partly reads"
        return f"The executor's profile is current, and {version} {verb} its database, vuls2."
    return None
