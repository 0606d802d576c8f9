"""The title of a CVE, chosen as Vuls does. Pure.

Source: Titles in Vuls' models/vulninfos.go, for languages other than Japanese.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vulsweb.vuls.scores import contents_of

# Sources whose titles are sentences, and then those whose summaries come first.
_TITLES = ("redhat_api", "github")
_SUMMARIES = ("trivy", "cisco", "paloalto", "fortinet", "euvd", "nvd", "vulncheck", "mitre")
_JAPANESE = "jvn"
# The sources of a family that are not named like it.
_OF_FAMILY: Mapping[str, Sequence[str]] = {
    "redhat": ("redhat", "redhat_api"),
    "centos": ("redhat", "redhat_api"),
    "debian": ("debian", "debian_security_tracker"),
    "raspbian": ("debian", "debian_security_tracker"),
    "ubuntu": ("ubuntu", "ubuntu_api"),
    "windows": ("microsoft",),
}


def title(entry: Mapping[str, Any], family: str) -> str:
    """Return the title of an entry; empty without any."""
    return next((text for text in _candidates(entry, family) if text.strip()), "")


def _candidates(entry: Mapping[str, Any], family: str) -> Iterator[str]:
    contents = entry.get("cveContents")
    contents = contents if isinstance(contents, dict) else {}
    for _, content in contents_of(contents, _TITLES):
        yield _text(content, "title")
    family = "suse" if "suse" in family else family
    first = [*_SUMMARIES, *_OF_FAMILY.get(family, (family,))]
    rest = sorted(each for each in contents if each.partition(":")[0] not in first and each != _JAPANESE)
    for _, content in contents_of(contents, [*dict.fromkeys(first), *rest]):
        yield _text(content, "summary")
    advisories = entry.get("distroAdvisories")
    for advisory in advisories if isinstance(advisories, list) else ():
        yield _text(advisory, "description") if isinstance(advisory, dict) else ""
    # Vuls has nothing to say then; a title is better than that.
    for _, content in contents_of(contents, [*rest, _JAPANESE]):
        yield _text(content, "title")


def _text(content: Mapping[str, Any], field: str) -> str:
    return str(content.get(field) or "")
