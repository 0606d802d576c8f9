"""The catalogue of vulnerability databases: what each holds, whom it serves, and which Vuls reads it.

All that is known of Vuls' detector stands here, and only here; it was read from its sources tag by tag.
"""

import enum
import re
from dataclasses import dataclass

Version = tuple[int, int, int]


class Profile(enum.StrEnum):
    """A generation of Vuls, with the databases that it reads; the executor's setting chooses one."""

    CLASSIC = "classic"
    CURRENT = "current"


class DatabaseType(enum.StrEnum):
    """A database that can be updated, or all of them."""

    ALL = "all"
    NVD = "nvd"
    UBUNTU = "ubuntu"
    DEBIAN = "debian"
    REDHAT = "redhat"
    AMAZON = "amazon"
    ALPINE = "alpine"
    GOST_UBUNTU = "gost_ubuntu"
    GOST_DEBIAN = "gost_debian"
    GOST_REDHAT = "gost_redhat"
    VULS2 = "vuls2"

    @property
    def label(self) -> str:
        """Return the name that people read."""
        return _LABELS[self]


_LABELS = {
    DatabaseType.ALL: "All Databases",
    DatabaseType.NVD: "NVD Database",
    DatabaseType.UBUNTU: "Ubuntu OVAL",
    DatabaseType.DEBIAN: "Debian OVAL",
    DatabaseType.REDHAT: "Red Hat OVAL",
    DatabaseType.AMAZON: "Amazon Linux OVAL",
    DatabaseType.ALPINE: "Alpine OVAL",
    DatabaseType.GOST_UBUNTU: "GOST Ubuntu",
    DatabaseType.GOST_DEBIAN: "GOST Debian",
    DatabaseType.GOST_REDHAT: "GOST Red Hat",
    DatabaseType.VULS2: "Vuls2 Database",
}


@dataclass(frozen=True)
class Entry:
    """One database of the catalogue."""

    name: DatabaseType
    about: str
    tool: str  # fetches it
    file: str  # holds it, perhaps with others
    families: tuple[str, ...]  # as results name them; none: every one
    detects: bool  # without it nothing is found there; else it adds to what others find
    unread_from: Version | None = None  # the first Vuls that does not look into it any more
    read_from: Version = (0, 0, 0)  # the first that does
    profile: Profile = Profile.CLASSIC

    def is_read_by(self, vuls: Version) -> bool:
        """Say whether this Vuls looks into it at all."""
        return self.read_from <= vuls and (self.unread_from is None or vuls < self.unread_from)

    def serves(self, family: str) -> bool:
        """Say whether it holds anything about hosts of the family."""
        return not self.families or family in self.families


@dataclass(frozen=True)
class Reading:
    """Whether a Vuls reads a database, and the sentence that says why; None: that is not known."""

    read: bool | None
    why: str


_OVAL = ("goval-dictionary", "oval.sqlite3")
_GOST = ("gost", "gost.sqlite3")
_REDHATS = ("redhat", "centos", "alma", "rocky")
_DEBIANS = ("debian", "raspbian")
CATALOGUE = (
    Entry(
        DatabaseType.NVD,
        "The National Vulnerability Database: scores and descriptions of every CVE.",
        "go-cve-dictionary",
        "cve.sqlite3",
        (),
        detects=False,
        unread_from=(0, 40, 0),
    ),
    Entry(
        DatabaseType.UBUNTU,
        "Canonical's definitions of which package versions are affected.",
        *_OVAL,
        ("ubuntu",),
        detects=False,  # beside GOST, in the versions that read it
        unread_from=(0, 23, 1),
    ),
    Entry(
        DatabaseType.DEBIAN,
        "Debian's definitions of which package versions are affected.",
        *_OVAL,
        _DEBIANS,
        detects=False,  # beside GOST, in the versions that read it
        unread_from=(0, 23, 1),
    ),
    Entry(
        DatabaseType.REDHAT,
        "Red Hat's definitions, which CentOS, AlmaLinux and Rocky Linux follow.",
        *_OVAL,
        _REDHATS,
        detects=True,
        unread_from=(0, 29, 0),
    ),
    Entry(
        DatabaseType.AMAZON,
        "Amazon's security advisories for its Linux 2 and 2023.",
        *_OVAL,
        ("amazon",),
        detects=True,
        unread_from=(0, 38, 6),
    ),
    Entry(
        DatabaseType.ALPINE,
        "Alpine's list of the versions in which a flaw was fixed.",
        *_OVAL,
        ("alpine",),
        detects=True,
        unread_from=(0, 33, 0),
    ),
    Entry(
        DatabaseType.GOST_UBUNTU,
        "Ubuntu's security tracker, flaws without a fix included.",
        *_GOST,
        ("ubuntu",),
        detects=True,
        unread_from=(0, 33, 3),
    ),
    Entry(
        DatabaseType.GOST_DEBIAN,
        "Debian's security tracker, flaws without a fix included.",
        *_GOST,
        _DEBIANS,
        detects=True,
        unread_from=(0, 39, 0),
    ),
    Entry(
        DatabaseType.GOST_REDHAT,
        "What Red Hat says of a CVE, on whichever host: its own score, state and advice.",
        *_GOST,
        (),
        detects=False,
        unread_from=(0, 39, 0),
    ),
    Entry(
        DatabaseType.VULS2,
        "All that Vuls knows since v0.40, in a file of its own: packages of every system, scores, exploits.",
        "vuls",
        "vuls2.db",
        (),
        detects=True,
        read_from=(0, 29, 0),
        profile=Profile.CURRENT,
    ),
)
# The first Vuls that finds a family's flaws in vuls2; all others came with the last.
_MOVED: dict[str, Version] = {
    **dict.fromkeys(_REDHATS, (0, 29, 0)),
    **dict.fromkeys(("oracle", "alpine"), (0, 33, 0)),
    "ubuntu": (0, 33, 3),
    "fedora": (0, 35, 0),
    "amazon": (0, 38, 6),
    **dict.fromkeys(_DEBIANS, (0, 39, 0)),
    "windows": (0, 39, 3),
}
_ALL_MOVED: Version = (0, 40, 0)
# Taken where a Vuls does not say its version, as one built from source: these are what we build.
CLASSIC: Version = (0, 26, 0)
CURRENT: Version = (0, 40, 1)
# What to do where an executor's Vuls and its profile are no pair.
PROFILE_VERSIONS = (
    "Set EXECUTOR_PROFILE=classic with a Vuls up to v0.28, or EXECUTOR_PROFILE=current with v0.40 or later,"
    " and start the executor again; then run a Database Update."
)
_VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?![\d.])")


def version(text: str | None) -> Version | None:
    """Return the version that `text` begins with, such as v0.26.0; None when it is not one."""
    found = _VERSION.match(text or "")
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def named(vuls: Version) -> str:
    """Return a version as people read it, such as "Vuls v0.26.0"."""
    return "Vuls v{}.{}.{}".format(*vuls)


def read_by(vuls: Version) -> tuple[Entry, ...]:
    """Return the databases that this Vuls looks into."""
    return tuple(entry for entry in CATALOGUE if entry.is_read_by(vuls))


def usual(profile: Profile | None) -> Version:
    """Return the Vuls that is taken to run where it does not tell its version."""
    return CURRENT if profile is Profile.CURRENT else CLASSIC


def needed(family: str, vuls: Version | None) -> tuple[DatabaseType, ...]:
    """Return the databases without which this Vuls finds nothing on hosts of `family`, if it reads any.

    Without a version they are those that a classic Vuls needs.
    """
    number = vuls or CLASSIC
    if number >= _MOVED.get(family, _ALL_MOVED):
        return (DatabaseType.VULS2,)
    return tuple(
        entry.name
        for entry in read_by(number)
        if entry.detects and entry.serves(family) and entry.name is not DatabaseType.VULS2
    )


def of_profile(profile: Profile) -> tuple[Entry, ...]:
    """Return the databases of a profile."""
    return tuple(entry for entry in CATALOGUE if entry.profile is profile)


def unused_reason(name: DatabaseType, profile: Profile) -> str | None:
    """Say why a database is of no use under a profile, or None where it is of its own."""
    entry = next((each for each in CATALOGUE if each.name is name), None)
    if entry is None or entry.profile is profile:
        return None
    return (
        f"The executor's profile is {profile}, whose Vuls does not read {name.label}; fetching it would be in"
        f" vain. It belongs to the profile {entry.profile}."
    )


def reading(entry: Entry, vuls: str | None, profile: Profile | None = None) -> Reading:
    """Say whether the Vuls of this version, in its own words, reads the database, and why.

    Under another profile than the database's it is not even told where that is.
    """
    if profile is not None and (why := unused_reason(entry.name, profile)):
        return Reading(read=False, why=why)
    number = version(vuls)
    if number is None:
        return Reading(None, "Which databases this Vuls reads is not known, since its version is not.")
    if number < entry.read_from:
        return Reading(read=False, why=f"{named(number)} does not know it; fetching it would be in vain.")
    if not entry.is_read_by(number):
        vain = "does not read it; fetching it would be in vain."
        return Reading(read=False, why=f"{named(number)} {vain} {_instead(entry, number)}")
    use = (
        "finds nothing on such hosts without it" if entry.detects else "adds what it says to what others find"
    )
    return Reading(read=True, why=f"{named(number)} reads it, and {use}.")


def _instead(entry: Entry, vuls: Version) -> str:
    others = dict.fromkeys(name for family in entry.families for name in needed(family, vuls))
    # Since v0.29 Vuls moved, family by family, to a database of its own.
    return f"It looks into {' and '.join(each.label for each in others) or 'its vuls2 database'} instead."
