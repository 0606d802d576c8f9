"""Which releases each Vuls knows, asked of the real ones, and how a release is found."""

from datetime import date

import pytest

from tests import vuls_config
from vulsweb.vuls import catalogue, releases
from vulsweb.vuls.releases import RELEASES

# Releases that some Vuls may know one day.
LATER = [
    *[("debian", str(number)) for number in range(13, 17)],
    *[("ubuntu", f"{year}.{month}") for year in range(24, 29) for month in ("04", "10")],
    *[(family, str(number)) for family in ("redhat", "alma", "rocky", "oracle") for number in range(9, 13)],
    *[("alpine", f"3.{number}") for number in range(19, 30)],
    *[("fedora", str(number)) for number in range(39, 50)],
    *[("freebsd", str(number)) for number in range(11, 18)],
    ("centos", "stream10"),
    ("centos", "stream11"),
    ("opensuse.leap", "16.0"),
    ("opensuse.leap", "16.1"),
    ("suse.linux.enterprise.server", "16.0"),
]


@pytest.mark.parametrize(("current", "vuls"), [(False, (0, 26, 0)), (True, (0, 36, 0))])
def test_the_table_agrees_with_the_real_vuls(current: bool, vuls: tuple[int, int, int]) -> None:
    asked = [*dict.fromkeys([*((each.family, each.name) for each in RELEASES), *LATER])]

    known = vuls_config.known_releases(asked, current=current)

    different = {
        each
        for each, answer in zip(asked, known, strict=True)
        if releases.is_known(*each, vuls) is not answer
    }
    assert different == set()


@pytest.mark.parametrize(
    ("family", "written", "name"),
    [
        ("debian", "13.1", "13"),
        ("debian", "12", "12"),
        ("raspbian", "12.4", "12"),
        ("ubuntu", "24.04", "24.04"),
        ("alpine", "3.20.3", "3.20"),
        ("centos", "stream9", "stream9"),
        ("rocky", "9.4", "9"),
        ("amazon", "2 (Karoo)", "2"),
        ("amazon", "2023.6.20250107", "2023"),
        ("amazon", "2018.03", "1"),
        ("opensuse.leap", "15.6", "15.6"),
        ("opensuse", "tumbleweed", "tumbleweed"),
        ("suse.linux.enterprise.server", "15.6", "15.6"),
    ],
)
def test_a_release_is_found_as_results_write_it(family: str, written: str, name: str) -> None:
    found = releases.find(family, written)

    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("release", ["", " ", "13" * 5_000, "12\n", "trixie/sid", "\x00"])
def test_odd_releases_are_unknown_or_found_and_never_an_error(release: str) -> None:
    releases.gap("debian", release, (0, 26, 0), date(2026, 1, 1))


def test_support_ends_after_its_last_day_and_the_extended_day_counts() -> None:
    ubuntu = releases.find("ubuntu", "18.04")

    assert ubuntu is not None
    assert not ubuntu.is_past_its_end(date(2028, 4, 1))
    assert ubuntu.is_past_its_end(date(2028, 4, 2))


def test_families_without_facts_are_left_to_the_document() -> None:
    assert releases.is_known("macos", "14", (0, 26, 0)) is None


@pytest.mark.parametrize("vuls", [(0, 26, 0), (0, 36, 0), (0, 40, 1)])
def test_a_system_is_a_blind_spot_if_this_vuls_looks_at_none_or_does_not_know_it(
    vuls: tuple[int, int, int],
) -> None:
    day = date(2026, 11, 27)
    spots = releases.blind_spots(vuls, day)

    for release in RELEASES:
        if release.support_ends is None or release.is_past_its_end(day):
            continue
        family, name = releases.label(release.family, ""), releases.label(release.family, release.name)
        looks = bool(catalogue.required_databases(release.family, vuls))
        assert (family in spots) is not looks
        assert (name in spots) is (looks and not releases.is_known(release.family, release.name, vuls))


def test_releases_without_support_are_no_blind_spots() -> None:
    assert "Debian 13" in releases.blind_spots((0, 26, 0), date(2030, 6, 30))
    assert "Debian 13" not in releases.blind_spots((0, 26, 0), date(2030, 7, 1))
    assert releases.blind_spots(catalogue.CURRENT_VERSION, date(2026, 11, 27)) == []
