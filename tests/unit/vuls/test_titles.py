"""The title of a CVE."""

from typing import Any

import pytest

from vulsweb.vuls.titles import title


@pytest.mark.parametrize(
    ("family", "entry", "expected"),
    [
        (
            "redhat",
            {"redhat_api": [{"title": "kernel: bad"}], "nvd": [{"summary": "A flaw."}]},
            "kernel: bad",
        ),
        ("amazon", {"amazon": [{"title": "ALAS2-2024-1000", "summary": "It fixes."}]}, "It fixes."),
        ("amazon", {"amazon": [{"title": "ALAS2-2024-1000"}], "nvd": [{"summary": "A flaw."}]}, "A flaw."),
        (
            "debian",
            {"alma": [{"summary": "Other."}], "debian_security_tracker": [{"summary": "Ours."}]},
            "Ours.",
        ),
        ("debian", {"jvn": [{"title": "J", "summary": "J."}], "suse": [{"summary": "S."}]}, "S."),
        ("debian", {"trivy:ghsa": [{"summary": "T."}], "nvd": [{"summary": "N."}]}, "T."),
        ("debian", {}, ""),
        ("debian", {"nvd": [{"summary": " \n"}, 7], "ubuntu": None}, ""),
    ],
)
def test_the_title_is_chosen_in_the_order_of_vuls(family: str, entry: dict[str, Any], expected: str) -> None:
    assert title({"cveContents": entry}, family) == expected


def test_an_advisory_gives_the_text_where_no_source_has_any() -> None:
    entry = {"distroAdvisories": [{"advisoryID": "FEDORA-1", "description": "An update of curl."}]}

    assert title(entry, "fedora") == "An update of curl."
