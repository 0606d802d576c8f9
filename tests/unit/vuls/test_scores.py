"""The rating of CVEs, compared with that of the real Vuls."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import vuls_config
from vulsweb.vuls.scores import ADVISORY, UNRATED, label, rate

CLASSIC, CURRENT = (0, 26, 0), (0, 36, 0)
SOURCES = [
    *("redhat_api", "redhat", "rocky", "suse", "microsoft", "paloalto", "fortinet", "nvd", "vulncheck"),
    *("mitre", "jvn", "euvd", "trivy:nvd", "debian", "debian_security_tracker", "ubuntu", "ubuntu_api"),
    *("amazon", "github", "wpscan", "alma", "oracle", "fedora", "unknown"),
]
WORDS = [
    "",
    "low",
    "Negligible",
    "MEDIUM",
    "moderate",
    "important",
    "High",
    "critical",
    "unimportant",
    "low|high",
]
NUMBERS = st.sampled_from([0, 0.1, 3.9, 4, 6.9, 7, 8.9, 9.8, 10])
CONTENT = st.fixed_dictionaries(
    {},
    optional={
        **{f"{version}Score": NUMBERS for version in ("cvss2", "cvss3", "cvss40")},
        **{f"{version}Severity": st.sampled_from(WORDS) for version in ("cvss2", "cvss3", "cvss40")},
    },
)
ENTRY = st.fixed_dictionaries(
    {
        "cveContents": st.dictionaries(
            st.sampled_from(SOURCES), st.lists(CONTENT, min_size=1, max_size=2), max_size=4
        )
    },
    optional={
        "distroAdvisories": st.lists(st.fixed_dictionaries({"severity": st.sampled_from(WORDS)}), max_size=2)
    },
)


@pytest.mark.parametrize("current", [False, True], ids=["classic", "current"])
@settings(max_examples=8, deadline=None)
@given(entries=st.lists(ENTRY, min_size=60, max_size=60))
def test_the_score_and_its_source_are_those_of_the_real_vuls(current: bool, entries: list[Any]) -> None:
    real = vuls_config.highest_scores(entries, current=current)

    names = {"Vendor": ADVISORY, "unknown": ""}
    expected = [(score, names.get(source, source.partition(":")[0])) for source, score in real]
    ours = [rate(entry, CURRENT if current else CLASSIC) for entry in entries]
    assert [(rating.score, rating.source) for rating in ours] == expected


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"cveContents": None, "distroAdvisories": 7},
        {"cveContents": {"nvd": [{"cvss3Score": True}, 5, None], "redhat": {"cvss2Score": 99}}},
        {"cveContents": {"ubuntu": [{"cvss3Severity": ["high"]}]}, "distroAdvisories": ["high"]},
    ],
)
def test_what_is_no_rating_is_none(entry: dict[str, Any]) -> None:
    assert rate(entry, CLASSIC) == UNRATED


def test_the_sources_own_number_stands_beside_a_word_that_is_higher() -> None:
    entry = {"cveContents": {"nvd": [{"cvss3Score": 7.5}], "ubuntu": [{"cvss3Severity": "critical"}]}}

    rating = rate(entry, CLASSIC)

    assert (rating.score, rating.source, rating.number) == (10.0, "ubuntu", 7.5)


def test_single_contents_of_old_documents_are_read() -> None:
    assert rate({"cveContents": {"nvd": {"cvss2Score": 5.0}}}, CLASSIC).score == 5.0


def test_sources_have_names_that_people_know() -> None:
    assert [label(each) for each in ("nvd", "redhat_api", "debian_security_tracker", "trivy", "")] == [
        *("NVD", "Red Hat", "Debian", "Trivy", "")
    ]
