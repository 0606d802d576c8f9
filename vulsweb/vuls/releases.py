"""Which releases each version of Vuls knows, and when their support ends.

The facts are those of Vuls' own table (config/os.go), read in the sources of v0.26.0, v0.30.0, v0.33.1,
v0.36.0 and v0.40.1; it names the vendors' pages. A release counts as known from the first of these that
has it.
"""

import re
from dataclasses import dataclass
from datetime import date

from vulsweb.vuls import catalogue
from vulsweb.vuls.catalogue import Version

ALWAYS: Version = (0, 0, 0)
# Ended so long ago that Vuls does not keep the day.
ENDED = date.min


@dataclass(frozen=True)
class Release:
    """A release of an operating system, as Vuls knows it."""

    family: str  # as named in results
    name: str  # as Vuls shortens it: "13" for Debian 13.1
    known_from: Version  # the first Vuls that detects vulnerabilities on it
    support_ends: date | None = None  # the vendor's support for everybody; None: no day is known
    extended: date | None = None  # the end of support that is sold or for members only

    def is_past_its_end(self, day: date) -> bool:
        """Return whether no support is left on that day, extended support included."""
        last = self.extended or self.support_ends
        return last is not None and day > last


RELEASES = (
    Release("debian", "6", ALWAYS, ENDED),
    Release("debian", "7", ALWAYS, ENDED),
    Release("debian", "8", ALWAYS, ENDED),
    Release("debian", "9", ALWAYS, date(2022, 6, 30)),
    Release("debian", "10", ALWAYS, date(2024, 6, 30)),
    Release("debian", "11", ALWAYS, date(2026, 6, 30)),
    Release("debian", "12", ALWAYS, date(2028, 6, 30)),
    Release("debian", "13", (0, 34, 0), date(2030, 6, 30)),
    Release("ubuntu", "6.06", ALWAYS, ENDED),
    Release("ubuntu", "6.10", ALWAYS, ENDED),
    Release("ubuntu", "7.04", ALWAYS, ENDED),
    Release("ubuntu", "7.10", ALWAYS, ENDED),
    Release("ubuntu", "8.04", ALWAYS, ENDED),
    Release("ubuntu", "8.10", ALWAYS, ENDED),
    Release("ubuntu", "9.04", ALWAYS, ENDED),
    Release("ubuntu", "9.10", ALWAYS, ENDED),
    Release("ubuntu", "10.04", ALWAYS, ENDED),
    Release("ubuntu", "10.10", ALWAYS, ENDED),
    Release("ubuntu", "11.04", ALWAYS, ENDED),
    Release("ubuntu", "11.10", ALWAYS, ENDED),
    Release("ubuntu", "12.04", ALWAYS, ENDED),
    Release("ubuntu", "12.10", ALWAYS, ENDED),
    Release("ubuntu", "13.04", ALWAYS, ENDED),
    Release("ubuntu", "13.10", ALWAYS, ENDED),
    Release("ubuntu", "14.04", ALWAYS, extended=date(2022, 4, 1)),
    Release("ubuntu", "14.10", ALWAYS, ENDED),
    Release("ubuntu", "15.04", ALWAYS, ENDED),
    Release("ubuntu", "15.10", ALWAYS, ENDED),
    Release("ubuntu", "16.04", ALWAYS, date(2021, 4, 1), extended=date(2024, 4, 1)),
    Release("ubuntu", "16.10", ALWAYS, ENDED),
    Release("ubuntu", "17.04", ALWAYS, ENDED),
    Release("ubuntu", "17.10", ALWAYS, ENDED),
    Release("ubuntu", "18.04", ALWAYS, date(2023, 4, 1), extended=date(2028, 4, 1)),
    Release("ubuntu", "18.10", ALWAYS, ENDED),
    Release("ubuntu", "19.04", ALWAYS, ENDED),
    Release("ubuntu", "19.10", ALWAYS, ENDED),
    Release("ubuntu", "20.04", ALWAYS, date(2025, 4, 1), extended=date(2030, 4, 1)),
    Release("ubuntu", "20.10", ALWAYS, date(2021, 7, 22)),
    Release("ubuntu", "21.04", ALWAYS, date(2022, 1, 20)),
    Release("ubuntu", "21.10", ALWAYS, date(2022, 7, 14)),
    Release("ubuntu", "22.04", ALWAYS, date(2027, 4, 1), extended=date(2032, 4, 1)),
    Release("ubuntu", "22.10", ALWAYS, date(2023, 7, 20)),
    Release("ubuntu", "23.04", ALWAYS, date(2024, 1, 25)),
    Release("ubuntu", "23.10", ALWAYS, date(2024, 7, 11)),
    Release("ubuntu", "24.04", ALWAYS, date(2029, 6, 30)),
    Release("ubuntu", "24.10", (0, 30, 0), date(2025, 7, 10)),
    Release("ubuntu", "25.04", (0, 33, 1), date(2026, 1, 15)),
    Release("ubuntu", "25.10", (0, 40, 1), date(2026, 7, 31)),
    Release("ubuntu", "26.04", (0, 40, 1), date(2031, 5, 31), extended=date(2036, 4, 30)),
    Release("redhat", "3", ALWAYS, ENDED),
    Release("redhat", "4", ALWAYS, ENDED),
    Release("redhat", "5", ALWAYS, ENDED),
    Release("redhat", "6", ALWAYS, date(2020, 11, 30), extended=date(2024, 6, 30)),
    Release("redhat", "7", ALWAYS, date(2024, 6, 30), extended=date(2028, 6, 30)),
    Release("redhat", "8", ALWAYS, date(2029, 5, 31), extended=date(2032, 5, 31)),
    Release("redhat", "9", ALWAYS, date(2032, 5, 31), extended=date(2035, 5, 31)),
    Release("redhat", "10", (0, 33, 1), date(2035, 5, 31), extended=date(2038, 5, 31)),
    Release("centos", "3", ALWAYS, ENDED),
    Release("centos", "4", ALWAYS, ENDED),
    Release("centos", "5", ALWAYS, ENDED),
    Release("centos", "6", ALWAYS, ENDED),
    Release("centos", "7", ALWAYS, date(2024, 6, 30)),
    Release("centos", "8", ALWAYS, date(2021, 12, 31)),
    Release("centos", "stream8", ALWAYS, date(2024, 5, 31)),
    Release("centos", "stream9", ALWAYS, date(2027, 5, 31)),
    Release("centos", "stream10", (0, 36, 0), date(2030, 1, 1)),
    Release("alma", "8", ALWAYS, date(2029, 5, 31)),
    Release("alma", "9", ALWAYS, date(2032, 5, 31)),
    Release("alma", "10", (0, 36, 0), date(2035, 5, 31)),
    Release("rocky", "8", ALWAYS, date(2029, 5, 31)),
    Release("rocky", "9", ALWAYS, date(2032, 5, 31)),
    Release("rocky", "10", (0, 36, 0), date(2035, 5, 31)),
    Release("oracle", "3", ALWAYS, ENDED),
    Release("oracle", "4", ALWAYS, ENDED),
    Release("oracle", "5", ALWAYS, ENDED),
    Release("oracle", "6", ALWAYS, date(2021, 3, 1), extended=date(2024, 6, 1)),
    Release("oracle", "7", ALWAYS, date(2024, 7, 1), extended=date(2026, 6, 1)),
    Release("oracle", "8", ALWAYS, date(2029, 7, 1), extended=date(2031, 7, 1)),
    Release("oracle", "9", ALWAYS, date(2032, 6, 1), extended=date(2034, 6, 1)),
    Release("oracle", "10", (0, 36, 0), date(2035, 6, 1), extended=date(2037, 6, 1)),
    Release("fedora", "32", ALWAYS, date(2021, 5, 24)),
    Release("fedora", "33", ALWAYS, date(2021, 11, 29)),
    Release("fedora", "34", ALWAYS, date(2022, 6, 6)),
    Release("fedora", "35", ALWAYS, date(2022, 12, 12)),
    Release("fedora", "36", ALWAYS, date(2023, 5, 15)),
    Release("fedora", "37", ALWAYS, date(2023, 12, 4)),
    Release("fedora", "38", ALWAYS, date(2024, 5, 20)),
    Release("fedora", "39", ALWAYS, date(2024, 11, 25)),
    Release("fedora", "40", ALWAYS, date(2025, 5, 12)),
    Release("fedora", "41", (0, 30, 0), date(2025, 12, 14)),
    Release("fedora", "42", (0, 36, 0), date(2026, 5, 13)),
    Release("fedora", "43", (0, 40, 1), date(2026, 12, 9)),
    Release("fedora", "44", (0, 40, 1), date(2027, 6, 2)),
    Release("amazon", "1", ALWAYS, date(2023, 12, 31)),
    Release("amazon", "2", ALWAYS, date(2026, 6, 30)),
    Release("amazon", "2022", ALWAYS, date(2026, 6, 30)),
    Release("amazon", "2023", ALWAYS, date(2029, 6, 30)),
    Release("alpine", "2.0", ALWAYS, ENDED),
    Release("alpine", "2.1", ALWAYS, ENDED),
    Release("alpine", "2.2", ALWAYS, ENDED),
    Release("alpine", "2.3", ALWAYS, ENDED),
    Release("alpine", "2.4", ALWAYS, ENDED),
    Release("alpine", "2.5", ALWAYS, ENDED),
    Release("alpine", "2.6", ALWAYS, ENDED),
    Release("alpine", "2.7", ALWAYS, ENDED),
    Release("alpine", "3.0", ALWAYS, ENDED),
    Release("alpine", "3.1", ALWAYS, ENDED),
    Release("alpine", "3.2", ALWAYS, ENDED),
    Release("alpine", "3.3", ALWAYS, ENDED),
    Release("alpine", "3.4", ALWAYS, ENDED),
    Release("alpine", "3.5", ALWAYS, ENDED),
    Release("alpine", "3.6", ALWAYS, ENDED),
    Release("alpine", "3.7", ALWAYS, ENDED),
    Release("alpine", "3.8", ALWAYS, ENDED),
    Release("alpine", "3.9", ALWAYS, ENDED),
    Release("alpine", "3.10", ALWAYS, date(2021, 5, 1)),
    Release("alpine", "3.11", ALWAYS, date(2021, 11, 1)),
    Release("alpine", "3.12", ALWAYS, date(2022, 5, 1)),
    Release("alpine", "3.13", ALWAYS, date(2022, 11, 1)),
    Release("alpine", "3.14", ALWAYS, date(2023, 5, 1)),
    Release("alpine", "3.15", ALWAYS, date(2023, 11, 1)),
    Release("alpine", "3.16", ALWAYS, date(2024, 5, 23)),
    Release("alpine", "3.17", ALWAYS, date(2024, 11, 22)),
    Release("alpine", "3.18", ALWAYS, date(2025, 5, 9)),
    Release("alpine", "3.19", ALWAYS, date(2025, 11, 1)),
    Release("alpine", "3.20", ALWAYS, date(2026, 4, 1)),
    Release("alpine", "3.21", (0, 30, 0), date(2026, 11, 1)),
    Release("alpine", "3.22", (0, 36, 0), date(2027, 5, 1)),
    Release("alpine", "3.23", (0, 40, 1), date(2027, 11, 1)),
    Release("opensuse", "10.2", ALWAYS, ENDED),
    Release("opensuse", "10.3", ALWAYS, ENDED),
    Release("opensuse", "11.0", ALWAYS, ENDED),
    Release("opensuse", "11.1", ALWAYS, ENDED),
    Release("opensuse", "11.2", ALWAYS, ENDED),
    Release("opensuse", "11.3", ALWAYS, ENDED),
    Release("opensuse", "11.4", ALWAYS, ENDED),
    Release("opensuse", "12.1", ALWAYS, ENDED),
    Release("opensuse", "12.2", ALWAYS, ENDED),
    Release("opensuse", "12.3", ALWAYS, ENDED),
    Release("opensuse", "13.1", ALWAYS, ENDED),
    Release("opensuse", "13.2", ALWAYS, ENDED),
    Release("opensuse", "tumbleweed", ALWAYS),
    Release("opensuse.leap", "15.0", ALWAYS, ENDED),
    Release("opensuse.leap", "15.1", ALWAYS, ENDED),
    Release("opensuse.leap", "15.2", ALWAYS, ENDED),
    Release("opensuse.leap", "15.3", ALWAYS, date(2022, 12, 31)),
    Release("opensuse.leap", "15.4", ALWAYS, date(2023, 12, 31)),
    Release("opensuse.leap", "15.5", ALWAYS, date(2024, 12, 31)),
    Release("opensuse.leap", "15.6", ALWAYS, date(2026, 4, 30)),
    Release("opensuse.leap", "16.0", (0, 40, 1), date(2027, 10, 31)),
    Release("opensuse.leap", "42.1", ALWAYS, ENDED),
    Release("opensuse.leap", "42.2", ALWAYS, ENDED),
    Release("opensuse.leap", "42.3", ALWAYS, ENDED),
    Release("suse.linux.enterprise.server", "11", ALWAYS, ENDED),
    Release("suse.linux.enterprise.server", "11.1", ALWAYS, ENDED),
    Release("suse.linux.enterprise.server", "11.2", ALWAYS, ENDED),
    Release("suse.linux.enterprise.server", "11.3", ALWAYS, ENDED),
    Release("suse.linux.enterprise.server", "11.4", ALWAYS, ENDED),
    Release("suse.linux.enterprise.server", "12", ALWAYS, ENDED),
    Release("suse.linux.enterprise.server", "12.1", ALWAYS, ENDED),
    Release("suse.linux.enterprise.server", "12.2", ALWAYS, ENDED),
    Release("suse.linux.enterprise.server", "12.3", ALWAYS, ENDED),
    Release("suse.linux.enterprise.server", "12.4", ALWAYS, ENDED),
    Release("suse.linux.enterprise.server", "12.5", ALWAYS, date(2024, 10, 31)),
    Release("suse.linux.enterprise.server", "15", ALWAYS, ENDED),
    Release("suse.linux.enterprise.server", "15.1", ALWAYS, ENDED),
    Release("suse.linux.enterprise.server", "15.2", ALWAYS, ENDED),
    Release("suse.linux.enterprise.server", "15.3", ALWAYS, date(2022, 12, 31)),
    Release("suse.linux.enterprise.server", "15.4", ALWAYS, date(2023, 12, 31)),
    Release("suse.linux.enterprise.server", "15.5", ALWAYS, date(2024, 12, 31)),
    Release("suse.linux.enterprise.server", "15.6", ALWAYS, date(2025, 12, 31)),
    Release("suse.linux.enterprise.server", "15.7", ALWAYS, date(2031, 7, 31)),
    Release("suse.linux.enterprise.server", "16.0", (0, 40, 1), date(2027, 11, 30)),
    Release("suse.linux.enterprise.desktop", "11", ALWAYS, ENDED),
    Release("suse.linux.enterprise.desktop", "11.1", ALWAYS, ENDED),
    Release("suse.linux.enterprise.desktop", "11.2", ALWAYS, ENDED),
    Release("suse.linux.enterprise.desktop", "11.3", ALWAYS, ENDED),
    Release("suse.linux.enterprise.desktop", "11.4", ALWAYS, ENDED),
    Release("suse.linux.enterprise.desktop", "12", ALWAYS, ENDED),
    Release("suse.linux.enterprise.desktop", "12.1", ALWAYS, ENDED),
    Release("suse.linux.enterprise.desktop", "12.2", ALWAYS, ENDED),
    Release("suse.linux.enterprise.desktop", "12.3", ALWAYS, ENDED),
    Release("suse.linux.enterprise.desktop", "12.4", ALWAYS, ENDED),
    Release("suse.linux.enterprise.desktop", "15", ALWAYS, ENDED),
    Release("suse.linux.enterprise.desktop", "15.1", ALWAYS, ENDED),
    Release("suse.linux.enterprise.desktop", "15.2", ALWAYS, ENDED),
    Release("suse.linux.enterprise.desktop", "15.3", ALWAYS, date(2022, 12, 31)),
    Release("suse.linux.enterprise.desktop", "15.4", ALWAYS, date(2023, 12, 31)),
    Release("suse.linux.enterprise.desktop", "15.5", ALWAYS, date(2024, 12, 31)),
    Release("suse.linux.enterprise.desktop", "15.6", ALWAYS, date(2025, 12, 31)),
    Release("suse.linux.enterprise.desktop", "15.7", ALWAYS, date(2031, 7, 31)),
    Release("suse.linux.enterprise.desktop", "16.0", (0, 40, 1), date(2027, 11, 30)),
    Release("freebsd", "7", ALWAYS, ENDED),
    Release("freebsd", "8", ALWAYS, ENDED),
    Release("freebsd", "9", ALWAYS, ENDED),
    Release("freebsd", "10", ALWAYS, ENDED),
    Release("freebsd", "11", ALWAYS, date(2021, 9, 30)),
    Release("freebsd", "12", ALWAYS, date(2023, 12, 31)),
    Release("freebsd", "13", ALWAYS, date(2026, 4, 30)),
    Release("freebsd", "14", ALWAYS, date(2028, 11, 30)),
    Release("freebsd", "15", (0, 40, 1), date(2029, 12, 31)),
)
_BY_NAME = {(release.family, release.name): release for release in RELEASES}
_FAMILIES = {release.family for release in RELEASES}
# Vuls treats Raspberry Pi OS as the Debian that it is based on.
_SAME_AS = {"raspbian": "debian"}
_LABELS = {
    "debian": "Debian",
    "raspbian": "Raspberry Pi OS",
    "ubuntu": "Ubuntu",
    "redhat": "Red Hat Enterprise Linux",
    "centos": "CentOS",
    "alma": "AlmaLinux",
    "rocky": "Rocky Linux",
    "oracle": "Oracle Linux",
    "fedora": "Fedora",
    "amazon": "Amazon Linux",
    "alpine": "Alpine Linux",
    "opensuse": "openSUSE",
    "opensuse.leap": "openSUSE Leap",
    "suse.linux.enterprise.server": "SUSE Linux Enterprise Server",
    "suse.linux.enterprise.desktop": "SUSE Linux Enterprise Desktop",
    "freebsd": "FreeBSD",
}
# The families whose releases have two numbers.
_TWO_NUMBERS = {"ubuntu", "alpine", *(family for family in _FAMILIES if "suse" in family)}


def label(family: str, release: str) -> str:
    """Return a system as displayed, such as "Debian 13.1"."""
    return f"{_LABELS.get(family, family)} {release}".strip()


def find(family: str, release: str) -> Release | None:
    """Return the facts of a release, written as in results, or None."""
    family = _SAME_AS.get(family, family)
    first = next(iter(release.split()), "")  # Amazon adds a name: "2 (Karoo)"
    numbers = first.split(".")
    name = ".".join(numbers[:2]) if family in _TWO_NUMBERS else numbers[0]
    if family == "amazon" and re.fullmatch(r"\d{4}\.\d{2}", first):
        name = "1"  # which was named by year and month
    return _BY_NAME.get((family, name))


def is_known(family: str, release: str, vuls: Version) -> bool | None:
    """Return whether this Vuls knows the release.

    None for a family without facts here.
    """
    if _SAME_AS.get(family, family) not in _FAMILIES:
        return None
    found = find(family, release)
    return found is not None and found.known_from <= vuls


def blind_spots(vuls: Version, day: date) -> list[str]:
    """Return supported systems on which this Vuls finds nothing.

    Such as "Fedora", if it looks at none of its releases, or "Debian 13".
    """
    spots = []
    for family in dict.fromkeys(release.family for release in RELEASES):
        if not catalogue.required_databases(family, vuls):
            spots.append(_LABELS[family])
            continue
        spots += [
            label(family, release.name)
            for release in RELEASES
            if release.family == family
            and release.known_from > vuls
            and release.support_ends
            and not release.is_past_its_end(day)
        ]
    return spots


def gap(family: str, release: str, vuls: Version, day: date) -> str | None:
    """Return why vulnerabilities of a release can be missing, or None."""
    if is_known(family, release, vuls) is False:
        return why_unknown(family, release, vuls)
    found = find(family, release)
    return _why_ended(found) if found and found.is_past_its_end(day) else None


def why_unknown(family: str, release: str, vuls: Version) -> str:
    """Return a sentence about a release that this Vuls does not know."""
    advice = "A newer Vuls may know it."
    if vuls < catalogue.CURRENT_VERSION and is_known(family, release, catalogue.CURRENT_VERSION):
        advice = "Use an executor with the profile current."
    return (
        f"{catalogue.version_label(vuls)} does not know {label(family, release)}: nothing can be found there."
        f" {advice}"
    )


def _why_ended(release: Release) -> str:
    last = release.extended or release.support_ends
    since = f" on {last:%Y-%m-%d}" if last and last != ENDED else ""
    return (
        f"Support of {label(release.family, release.name)} ended{since}: vulnerabilities found since then may"
        " be missing. Upgrade the host."
    )
