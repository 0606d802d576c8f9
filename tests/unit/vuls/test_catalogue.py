"""The catalogue of databases: required databases, and which Vuls reads them."""

import pytest

from executor.databases import catalogue as executors
from vulsweb.vuls import catalogue
from vulsweb.vuls.catalogue import DatabaseType, Profile

ENTRIES = {entry.name: entry for entry in catalogue.CATALOGUE}


def test_every_database_is_in_the_catalogue_once() -> None:
    assert list(ENTRIES) == [name for name in DatabaseType if name is not DatabaseType.ALL]
    assert len(ENTRIES) == len(catalogue.CATALOGUE) == 10


def test_the_executor_has_the_same_tools_files_and_profiles() -> None:
    ours = {entry.name.value: (entry.tool, entry.file, entry.profile) for entry in catalogue.CATALOGUE}

    assert ours == {name: (each.tool, each.file, each.profile) for name, each in executors.CATALOGUE.items()}
    assert set(Profile) == set(executors.PROFILES)


@pytest.mark.parametrize(
    ("name", "last", "next_one"),
    [
        ("ubuntu", "v0.23.0", "v0.23.1"),
        ("debian", "v0.23.0", "v0.23.1"),
        ("redhat", "v0.28.1", "v0.29.0"),
        ("alpine", "v0.32.0", "v0.33.0"),
        ("gost_ubuntu", "v0.33.2", "v0.33.3"),
        ("amazon", "v0.38.5", "v0.38.6"),
        ("gost_debian", "v0.38.6", "v0.39.0"),
        ("gost_redhat", "v0.38.6", "v0.39.0"),
        ("nvd", "v0.39.3", "v0.40.1"),
    ],
)
def test_each_database_is_read_up_to_one_version_of_vuls(name: str, last: str, next_one: str) -> None:
    entry = ENTRIES[DatabaseType(name)]

    assert catalogue.support(entry, last).supported is True
    assert catalogue.support(entry, next_one).supported is False


def test_the_classic_vuls_reads_all_but_two() -> None:
    read = {entry.name for entry in catalogue.supported_by(catalogue.CLASSIC_VERSION)}
    classic = {entry.name for entry in catalogue.of_profile(Profile.CLASSIC)}

    assert classic - read == {DatabaseType.UBUNTU, DatabaseType.DEBIAN}
    assert DatabaseType.VULS2 not in read


def test_vuls_0_40_reads_only_its_own_database() -> None:
    assert catalogue.supported_by((0, 40, 1)) == catalogue.of_profile(Profile.CURRENT)


@pytest.mark.parametrize("name", [name for name in DatabaseType if name is not DatabaseType.ALL])
def test_each_database_is_unused_under_the_other_profile_also_by_the_executor(name: DatabaseType) -> None:
    own, other = (
        (Profile.CURRENT, Profile.CLASSIC)
        if name is DatabaseType.VULS2
        else (Profile.CLASSIC, Profile.CURRENT)
    )

    assert catalogue.why_unused(name, own) is None is executors.why_unused(name, own)
    assert executors.why_unused(name, other)
    assert catalogue.support(ENTRIES[name], "v0.26.0", other).reason == catalogue.why_unused(name, other)


@pytest.mark.parametrize(
    ("profile", "vuls", "expected"),
    [
        ("classic", "v0.26.0", None),
        ("classic", "v0.28.1", None),
        ("classic", "v0.29.0", "reads only some of its databases"),
        ("classic", "v0.40.1", "reads none of its databases"),
        ("current", "v0.40.0", None),
        ("current", "v0.39.3", "only partly reads its database"),
        ("current", "v0.26.0", "does not know its database"),
        ("current", None, None),
        ("classic", "latest", None),
    ],
)
def test_a_vuls_that_does_not_fit_the_profile_is_reported(
    profile: str, vuls: str | None, expected: str | None
) -> None:
    mismatch = executors.profile_mismatch(profile, vuls)

    assert (mismatch is None) if expected is None else (expected in str(mismatch))


@pytest.mark.parametrize(("vuls", "instead"), [("v0.26.0", "GOST Ubuntu"), ("v0.37.0", "Vuls2 Database")])
def test_the_reason_names_the_database_that_is_read_instead(vuls: str, instead: str) -> None:
    assert catalogue.support(ENTRIES[DatabaseType.UBUNTU], vuls).reason == (
        f"Vuls {vuls} does not read it, so fetching it has no effect. It reads {instead} instead."
    )


@pytest.mark.parametrize("text", [None, "", "latest", "`make build` or `make install` will show the version"])
def test_without_a_version_support_is_unknown(text: str | None) -> None:
    support = catalogue.support(ENTRIES[DatabaseType.UBUNTU], text)

    assert support.supported is None
    assert "is unknown" in support.reason


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("v0.26.0", (0, 26, 0)),
        ("0.38.6", (0, 38, 6)),
        ("v0.28.1-build-20241218_1 abcdef", (0, 28, 1)),
        ("v0.26", None),
        ("v1.2.3.4", None),
        ("sha256:0.1.2", None),
    ],
)
def test_versions_are_parsed_in_each_notation(text: str, number: tuple[int, int, int] | None) -> None:
    assert catalogue.version(text) == number


@pytest.mark.parametrize(
    ("family", "vuls", "names"),
    [
        ("debian", (0, 26, 0), ["gost_debian"]),
        ("raspbian", (0, 26, 0), ["gost_debian"]),
        ("ubuntu", (0, 26, 0), ["gost_ubuntu"]),
        ("ubuntu", (0, 23, 0), ["gost_ubuntu"]),
        ("rocky", (0, 28, 1), ["redhat"]),
        ("rocky", (0, 29, 0), ["vuls2"]),
        ("debian", (0, 38, 6), ["gost_debian"]),
        ("debian", (0, 39, 0), ["vuls2"]),
        ("suse", (0, 40, 1), ["vuls2"]),
        ("amazon", (0, 37, 0), ["amazon"]),
        ("alpine", None, ["alpine"]),
        ("windows", (0, 26, 0), []),
        ("oracle", None, []),
    ],
)
def test_a_family_requires_the_databases_that_its_vuls_reads(
    family: str, vuls: tuple[int, int, int] | None, names: list[str]
) -> None:
    assert list(catalogue.required_databases(family, vuls)) == names
