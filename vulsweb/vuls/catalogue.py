"""The catalogue of vulnerability databases, and which versions of Vuls read them.

This is the only place for facts about Vuls' detector. They come from its source code, read tag by tag.
"""

import enum
import re
from dataclasses import dataclass

Version = tuple[int, int, int]


class Profile(enum.StrEnum):
    """A generation of Vuls and its databases; set for each executor."""

    CLASSIC = "classic"
    CURRENT = "current"


class DatabaseType(enum.StrEnum):
    """A database that can be updated, or all databases."""

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
        """Return the name to display."""
        return _LABELS[self]

    @property
    def effort(self) -> str:
        """Return what a fetch takes, roughly; empty if unknown."""
        return next((entry.effort for entry in CATALOGUE if entry.name is self), "")


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
    """One database in the catalogue."""

    name: DatabaseType
    about: str
    tool: str  # the tool that fetches it
    file: str  # several databases can share a file
    families: tuple[str, ...]  # as named in results; empty: all families
    detects: bool  # True: nothing is found without it. False: it adds to what others find
    removed_in: Version | None = None  # the first Vuls that no longer reads it
    added_in: Version = (0, 0, 0)  # the first Vuls that reads it
    profile: Profile = Profile.CLASSIC
    effort: str = ""  # what a fetch takes, roughly

    def is_read_by(self, vuls: Version) -> bool:
        """Return whether this version of Vuls reads the database."""
        return self.added_in <= vuls and (self.removed_in is None or vuls < self.removed_in)

    def covers(self, family: str) -> bool:
        """Return whether the database has data for hosts of the family."""
        return not self.families or family in self.families


@dataclass(frozen=True)
class Support:
    """Whether a version of Vuls reads a database, and why."""

    supported: bool | None  # None: unknown
    reason: str


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
        removed_in=(0, 40, 0),
    ),
    Entry(
        DatabaseType.UBUNTU,
        "Canonical's definitions of which package versions are affected.",
        *_OVAL,
        ("ubuntu",),
        detects=False,  # GOST does, in the versions of Vuls that read this
        removed_in=(0, 23, 1),
    ),
    Entry(
        DatabaseType.DEBIAN,
        "Debian's definitions of which package versions are affected.",
        *_OVAL,
        _DEBIANS,
        detects=False,  # GOST does, in the versions of Vuls that read this
        removed_in=(0, 23, 1),
    ),
    Entry(
        DatabaseType.REDHAT,
        "Red Hat's definitions, which CentOS, AlmaLinux and Rocky Linux follow.",
        *_OVAL,
        _REDHATS,
        detects=True,
        removed_in=(0, 29, 0),
    ),
    Entry(
        DatabaseType.AMAZON,
        "Amazon's security advisories for Amazon Linux 2 and 2023.",
        *_OVAL,
        ("amazon",),
        detects=True,
        removed_in=(0, 38, 6),
    ),
    Entry(
        DatabaseType.ALPINE,
        "Alpine's list of the versions that fix each vulnerability.",
        *_OVAL,
        ("alpine",),
        detects=True,
        removed_in=(0, 33, 0),
    ),
    Entry(
        DatabaseType.GOST_UBUNTU,
        "Ubuntu's security tracker, including vulnerabilities without a fix.",
        *_GOST,
        ("ubuntu",),
        detects=True,
        removed_in=(0, 33, 3),
        effort="Several hundred MB, in ten minutes or more.",
    ),
    Entry(
        DatabaseType.GOST_DEBIAN,
        "Debian's security tracker, including vulnerabilities without a fix.",
        *_GOST,
        _DEBIANS,
        detects=True,
        removed_in=(0, 39, 0),
        effort="Some 150 MB, in a few minutes.",
    ),
    Entry(
        DatabaseType.GOST_REDHAT,
        "Red Hat's own score, state and advice for each CVE, shown for every host.",
        *_GOST,
        (),
        detects=False,
        removed_in=(0, 39, 0),
    ),
    Entry(
        DatabaseType.VULS2,
        "Everything that Vuls v0.40 and later uses: packages of all systems, scores and exploits.",
        "vuls",
        "vuls2.db",
        (),
        detects=True,
        added_in=(0, 29, 0),
        profile=Profile.CURRENT,
        effort="About 7 GB on disk, in ten minutes or more.",
    ),
)
# The first Vuls that reads a family's vulnerabilities from vuls2.
_MOVED_TO_VULS2: dict[str, Version] = {
    **dict.fromkeys(_REDHATS, (0, 29, 0)),
    **dict.fromkeys(("oracle", "alpine"), (0, 33, 0)),
    "ubuntu": (0, 33, 3),
    "fedora": (0, 35, 0),
    "amazon": (0, 38, 6),
    **dict.fromkeys(_DEBIANS, (0, 39, 0)),
    "windows": (0, 39, 3),
}
# The same for all other families.
_ALL_MOVED_TO_VULS2: Version = (0, 40, 0)
# The family of a server that is not scanned, and has only the CPE names of its section.
PSEUDO = "pseudo"
# Assumed when Vuls does not report its version, as when built from source: the versions that we build.
CLASSIC_VERSION: Version = (0, 26, 0)
CURRENT_VERSION: Version = (0, 40, 1)
# The advice where a newer Vuls finds more.
MOVE_ON = "The profile current finds more: docs/engines.md says how to move to it, and what it needs."
# The advice when an executor's Vuls does not fit its profile.
PROFILE_VERSIONS = (
    "Set EXECUTOR_PROFILE=classic with a Vuls up to v0.28, or EXECUTOR_PROFILE=current with v0.40 or later,"
    " and restart the executor; then run a database update."
)
_VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(?![\d.])")


def version(text: str | None) -> Version | None:
    """Return the version that `text` begins with, such as v0.26.0, or None."""
    found = _VERSION.match(text or "")
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def version_label(vuls: Version) -> str:
    """Return a version as displayed, such as "Vuls v0.26.0"."""
    return "Vuls v{}.{}.{}".format(*vuls)


def default_version(profile: Profile | None) -> Version:
    """Return the version to assume when Vuls does not report its own."""
    return CURRENT_VERSION if profile is Profile.CURRENT else CLASSIC_VERSION


def of_profile(profile: Profile) -> tuple[Entry, ...]:
    """Return the databases of a profile."""
    return tuple(entry for entry in CATALOGUE if entry.profile is profile)


def supported_by(vuls: Version) -> tuple[Entry, ...]:
    """Return the databases that this version of Vuls reads."""
    return tuple(entry for entry in CATALOGUE if entry.is_read_by(vuls))


def required_databases(family: str, vuls: Version | None) -> tuple[DatabaseType, ...]:
    """Return the databases without which Vuls finds nothing on hosts of `family`.

    Empty when this version reads no database for the family. Without a version, the classic one is assumed.
    """
    number = vuls or CLASSIC_VERSION
    if number >= _MOVED_TO_VULS2.get(family, _ALL_MOVED_TO_VULS2):
        return (DatabaseType.VULS2,)
    if family == PSEUDO:
        return (DatabaseType.NVD,)
    return tuple(
        entry.name
        for entry in supported_by(number)
        if entry.detects and entry.covers(family) and entry.name is not DatabaseType.VULS2
    )


def why_unused(name: DatabaseType, profile: Profile) -> str | None:
    """Return why Vuls does not read the database under `profile`, or None."""
    entry = next((each for each in CATALOGUE if each.name is name), None)
    if entry is None or entry.profile is profile:
        return None
    return (
        f"The executor's profile is {profile}. Its Vuls does not read {name.label}, so fetching it has no"
        f" effect. This database belongs to the profile {entry.profile}."
    )


def support(entry: Entry, vuls: str | None, profile: Profile | None = None) -> Support:
    """Return whether Vuls, by its reported version, reads the database.

    Under another profile than the database's own, Vuls is not given the database's path.
    """
    if profile is not None and (mismatch := why_unused(entry.name, profile)):
        return Support(supported=False, reason=mismatch)
    number = version(vuls)
    if number is None:
        return Support(None, "The Vuls version is unknown, so it may or may not read this database.")
    label = version_label(number)
    if number < entry.added_in:
        return Support(supported=False, reason=f"{label} does not know it, so fetching it has no effect.")
    if not entry.is_read_by(number):
        names = (name for family in entry.families for name in required_databases(family, number))
        # For databases of no single family. Since v0.29 Vuls has moved to vuls2, family by family.
        others = " and ".join(dict.fromkeys(name.label for name in names)) or "its vuls2 database"
        reason = f"{label} does not read it, so fetching it has no effect. It reads {others} instead."
        return Support(supported=False, reason=reason)
    use = "finds nothing on such hosts without it" if entry.detects else "adds its data to other findings"
    return Support(supported=True, reason=f"{label} reads it and {use}.")
