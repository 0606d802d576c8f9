"""The severity of a CVE, by its Vuls' own rule. Pure.

The rule is that of MaxCvssScore in Vuls' models/vulninfos.go, read in v0.26.0, v0.30.0, v0.33.1, v0.36.0 and
v0.40.1: the highest score of the newest CVSS generation that has any; in the third, words count as scores.
Tests compare it with the real Vuls.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vulsweb.vuls.catalogue import Version

_ALWAYS: Version = (0, 0, 0)
_MITRE, _PALOALTO, _VULNCHECK, _EUVD = (0, 30, 0), (0, 33, 1), (0, 36, 0), (0, 40, 0)
# Of each generation, the sources whose numbers count, in Vuls' order, and the first Vuls that counts them.
# "trivy" stands for all sources of Trivy, such as trivy:nvd.
_NUMBERS: Mapping[str, tuple[tuple[str, Version], ...]] = {
    "cvss40": (
        *(("paloalto", _PALOALTO), ("mitre", _MITRE), ("nvd", _MITRE), ("vulncheck", _VULNCHECK)),
        ("euvd", _EUVD),
    ),
    "cvss3": (
        *(("redhat_api", _ALWAYS), ("redhat", _ALWAYS), ("rocky", _MITRE), ("suse", _ALWAYS)),
        *(("microsoft", _ALWAYS), ("paloalto", _PALOALTO), ("fortinet", _ALWAYS), ("nvd", _ALWAYS)),
        *(("vulncheck", _VULNCHECK), ("mitre", _MITRE), ("jvn", _ALWAYS), ("euvd", _EUVD)),
        ("trivy", _ALWAYS),
    ),
    "cvss2": (
        *(("redhat_api", _ALWAYS), ("redhat", _ALWAYS), ("nvd", _ALWAYS), ("vulncheck", _VULNCHECK)),
        *(("mitre", _MITRE), ("jvn", _ALWAYS), ("euvd", _EUVD), ("trivy", _ALWAYS)),
    ),
}
# The sources whose words count, after the numbers.
_WORDS = ("debian", "debian_security_tracker", "ubuntu", "ubuntu_api", "amazon", "github", "wpscan", "trivy")
_SCORES = {
    "critical": 10.0,
    **dict.fromkeys(("important", "high"), 8.9),
    **dict.fromkeys(("moderate", "medium"), 6.9),
    **dict.fromkeys(("low", "negligible"), 3.9),
}
ADVISORY = "advisory"  # the source of words of the distribution's advisories
# Sources as displayed; others by their own names.
_LABELS = {
    "redhat": "Red Hat",
    "redhat_api": "Red Hat",
    "nvd": "NVD",
    "jvn": "JVN",
    "suse": "SUSE",
    "debian": "Debian",
    "debian_security_tracker": "Debian",
    "ubuntu": "Ubuntu",
    "ubuntu_api": "Ubuntu",
    "github": "GitHub",
    "wpscan": "WPScan",
    "mitre": "MITRE",
    "vulncheck": "VulnCheck",
    "euvd": "EUVD",
    "paloalto": "Palo Alto",
    ADVISORY: "the advisory",
}


@dataclass(frozen=True)
class Rating:
    """A score from 0 to 10, and whose it is."""

    score: float
    source: str
    number: float | None  # the highest number of a source, which may be lower than a word's score


def label(source: str) -> str:
    """Return the name of a source as displayed; empty without one."""
    name = source.partition(":")[0]
    return _LABELS.get(name, name.capitalize())


UNRATED = Rating(0.0, "", None)


def rate(entry: Mapping[str, Any], vuls: Version) -> Rating:
    """Return the rating of an entry of `scannedCves`; UNRATED if nothing counts."""
    contents = entry.get("cveContents")
    contents = contents if isinstance(contents, dict) else {}
    number: float | None = None
    for generation, sources in _NUMBERS.items():
        names = [name for name, since in sources if vuls >= since]
        rated = list(_numbers(contents, names, f"{generation}Score"))
        number = number or max((score for _, score in rated), default=None)
        if generation == "cvss3":
            rated += _words(contents, entry.get("distroAdvisories"))
        # Of equal ones the first, as in Vuls.
        if best := max(rated, key=lambda each: each[1], default=None):
            return Rating(best[1], best[0], number)
    return UNRATED


def _numbers(contents: Mapping[str, Any], names: Sequence[str], field: str) -> Iterator[tuple[str, float]]:
    for source, content in contents_of(contents, names):
        score = content.get(field)
        if isinstance(score, int | float) and score is not True and 0 < score <= 10:
            yield source, float(score)


def _words(contents: Mapping[str, Any], advisories: object) -> Iterator[tuple[str, float]]:
    for source, content in contents_of(contents, _WORDS):
        # Where Debian's source packages disagree, Vuls joins their words, the worst last: "low|medium".
        word = str(content.get("cvss3Severity") or "")
        if source == "debian_security_tracker":
            word = word.rpartition("|")[2]
        if score := _SCORES.get(word.lower()):
            yield source, score
    for advisory in advisories if isinstance(advisories, list) else ():
        word = str(advisory.get("severity") or "") if isinstance(advisory, dict) else ""
        if score := _SCORES.get(word.lower()):
            yield ADVISORY, score


def contents_of(contents: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the contents of these sources, each with its source."""
    # Lists since Vuls v0.19, single objects before.
    for name in names:
        if name == "trivy":
            sources = [each for each in contents if each.partition(":")[0] == name]
        else:
            sources = [name] if name in contents else []
        for source in sources:
            found = contents[source]
            for content in found if isinstance(found, list) else [found]:
                if isinstance(content, dict):
                    yield name, content
