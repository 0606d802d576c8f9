"""docs/engines.md says of databases and releases what the code knows."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

from vulsweb.vuls import catalogue, releases

PAGE = (Path(__file__).parents[3] / "docs" / "engines.md").read_text()
WRITTEN = date(2026, 11, 26)
FAMILIES = {
    "Debian, Raspberry Pi OS": ("debian", "raspbian"),
    "Ubuntu": ("ubuntu",),
    "RHEL, CentOS, AlmaLinux, Rocky Linux": ("redhat", "centos", "alma", "rocky"),
    "Amazon Linux": ("amazon",),
    "Alpine Linux": ("alpine",),
    "Oracle Linux": ("oracle",),
    "Fedora": ("fedora",),
    "SUSE, openSUSE": ("suse.linux.enterprise.server", "opensuse.leap"),
    "FreeBSD": ("freebsd",),
    "Windows": ("windows",),
}


def rows(header: str) -> Iterator[list[str]]:
    """Return the cells of a table's rows."""
    lines = PAGE[PAGE.index(header) :].split("\n")[2:]
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_of_databases_is_that_of_the_catalogue() -> None:
    table = list(rows("| System | Up to Vuls v0.28 |"))

    assert [system for system, *_ in table] == list(FAMILIES)
    for system, classic, moved in table:
        since = catalogue.version(moved)
        assert since is not None
        before = (since[0], since[1] - 1, 99)
        for family in FAMILIES[system]:
            names = [name.label for name in catalogue.required_databases(family, (0, 28, 1))]
            assert (" and ".join(names) or "none of the nine") == classic
            assert catalogue.required_databases(family, since) == (catalogue.DatabaseType.VULS2,)
            assert catalogue.DatabaseType.VULS2 not in catalogue.required_databases(family, before)


def test_the_table_of_releases_has_every_release_with_support_left() -> None:
    expected = set()
    for release in releases.RELEASES:
        if release.is_past_its_end(WRITTEN):
            continue
        first = "all" if release.known_from == releases.ALWAYS else "v{}.{}.{}".format(*release.known_from)
        extended = release.extended if release.support_ends else None
        ends = release.support_ends or release.extended or "not known"
        name = releases.label(release.family, release.name)
        expected.add((name, first, str(ends), str(extended or "")))

    assert {tuple(row) for row in rows("| Release | First Vuls")} == expected
