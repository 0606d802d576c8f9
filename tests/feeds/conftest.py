"""The real tools, for tests that drive them."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.needs import lacking, tool


@pytest.fixture(scope="session")
def gost() -> Path:
    return tool("gost")


@pytest.fixture(scope="session")
def go_cve_dictionary() -> Path:
    return tool("go-cve-dictionary")


@pytest.fixture(scope="session")
def vuls() -> Path:
    return tool("vuls")


@pytest.fixture(scope="session")
def dpkg() -> None:
    """Ask for dpkg, which knows how Debian orders versions."""
    if shutil.which("dpkg") is None:
        lacking("dpkg is missing: this is not a Debian system.")


@pytest.fixture(scope="session")
def bookworm() -> Mapping[str, str]:
    """Ask for Debian 12, the only system of which the mirror's document speaks."""
    release = Path("/etc/os-release")
    lines = release.read_text().splitlines() if release.exists() else []
    names = dict(line.replace('"', "").split("=", 1) for line in lines if "=" in line)
    if (names.get("ID"), names.get("VERSION_CODENAME")) != ("debian", "bookworm"):
        lacking("This is not Debian 12 (bookworm), of whose packages the mirror's document speaks.")
    return names
