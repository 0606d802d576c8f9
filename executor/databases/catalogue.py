"""The vulnerability databases: the file that holds each, what fetches it, and which profile it is of.

A profile is a generation of Vuls with the databases that it reads. Pure.
"""

import re
from dataclasses import dataclass

DatabaseName = str

CLASSIC, CURRENT = "classic", "current"
PROFILES = (CLASSIC, CURRENT)


@dataclass(frozen=True)
class Database:
    """One database: the file that holds it, perhaps with others, and the tool that fetches it.

    `count` says how its rows are counted: a query, or nothing for a bbolt file.
    """

    file: str
    tool: str
    arguments: tuple[str, ...]
    count: str
    profile: str = CLASSIC


def _oval(family: str, *versions: str) -> Database:
    return Database(
        "oval.sqlite3",
        "goval-dictionary",
        ("fetch", family, *versions),
        f"SELECT count(*) FROM definitions JOIN roots ON roots.id = root_id WHERE family = '{family}'",  # noqa: S608
    )


def _gost(family: str) -> Database:
    return Database(
        "gost.sqlite3",
        "gost",
        # One row at a time, its own default, takes hours.
        ("fetch", family, "--batch-size", "500"),
        f"SELECT count(*) FROM {family}_cves",  # noqa: S608
    )


VULS2 = "vuls2"
CATALOGUE: dict[DatabaseName, Database] = {
    "nvd": Database("cve.sqlite3", "go-cve-dictionary", ("fetch", "nvd"), "SELECT count(*) FROM nvds"),
    "ubuntu": _oval("ubuntu", "16.04", "18.04", "20.04", "22.04", "24.04"),
    "debian": _oval("debian", "10", "11", "12"),
    "redhat": _oval("redhat", "6", "7", "8", "9"),
    "amazon": _oval("amazon", "2", "2023"),
    "alpine": _oval("alpine", "3.17", "3.18", "3.19", "3.20", "3.21", "3.22"),
    "gost_ubuntu": _gost("ubuntu"),
    "gost_debian": _gost("debian"),
    "gost_redhat": _gost("redhat"),
    # Vuls fetches it by itself when it reports on a host: see kinds.fetch_command.
    VULS2: Database("vuls2.db", "vuls", (), "", CURRENT),
}

# Vuls' name for the section of its configuration that names each file.
SECTIONS = {
    CLASSIC: {"cveDict": "cve.sqlite3", "ovalDict": "oval.sqlite3", "gost": "gost.sqlite3"},
    CURRENT: {"vuls2": "vuls2.db"},
}

# Read from the sources of Vuls: in between it reads some of both.
_LAST_CLASSIC, _FIRST_CURRENT = (0, 28, 999), (0, 40, 0)
_VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?![\d.])")


def names(profile: str) -> tuple[DatabaseName, ...]:
    """Return the databases of a profile."""
    return tuple(name for name, database in CATALOGUE.items() if database.profile == profile)


def in_vain(name: DatabaseName, profile: str) -> str | None:
    """Say why a database is of no use under a profile, or None where it is of its own."""
    database = CATALOGUE[name]
    if database.profile == profile:
        return None
    return (
        f"The executor's profile is {profile}, whose Vuls does not read {name}: fetching it would be in vain."
        f" Its databases are {', '.join(names(profile))}; {name} is of the profile {database.profile}."
    )


def misfit(profile: str, vuls: str | None) -> str | None:
    """Say what is wrong where this version of Vuls does not go with the profile; None where it does.

    A Vuls that does not tell its version is taken to.
    """
    found = _VERSION.match(vuls or "")
    if found is None:
        return None
    number = int(found[1]), int(found[2]), int(found[3])
    told = "Vuls v{}.{}.{}".format(*number)
    if profile == CLASSIC and number > _LAST_CLASSIC:
        moved = "none" if number >= _FIRST_CURRENT else "only some"
        return f"The executor's profile is classic, and {told} reads {moved} of its databases."
    if profile == CURRENT and number < _FIRST_CURRENT:
        moved = "does not know" if number <= _LAST_CLASSIC else "reads for some systems alone"
        return f"The executor's profile is current, and {told} {moved} its database, vuls2."
    return None
