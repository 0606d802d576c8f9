"""Explanations of connection tests."""

from typing import Any

import pytest

from vulsweb.vuls.configtest import Outcome, explain


def test_a_host_that_can_be_scanned_is_shown_with_its_system() -> None:
    found = explain({"server": "web-1", "outcome": "ok", "family": "debian", "release": "12"})

    assert found.passed
    assert found.message == "It can be scanned: debian 12."


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.OK])
def test_every_other_outcome_has_a_message_and_advice(outcome: Outcome) -> None:
    found = explain({"server": "web-1", "outcome": outcome, "line": "what Vuls said"})

    assert not found.passed
    assert found.message.endswith(".")
    assert found.advice.endswith(".")
    assert found.detail == "what Vuls said"


@pytest.mark.parametrize("test", [{}, {"outcome": "new in a later executor"}, {"outcome": None, "server": 7}])
def test_an_unknown_outcome_is_a_failed_test(test: dict[str, Any]) -> None:
    assert explain(test).outcome is Outcome.OTHER


def test_missing_sudo_comes_with_the_line_for_its_family_and_user() -> None:
    found = explain({"server": "a", "outcome": "sudo", "family": "ubuntu", "user": "scan"})

    (line,) = found.lines
    assert line.startswith("scan ALL=(root) NOPASSWD: /usr/sbin/checkrestart, /usr/bin/apt-get update,")


def test_missing_sudo_of_an_unknown_family_comes_with_the_command_that_was_refused() -> None:
    found = explain({"server": "a", "outcome": "sudo", "user": "scan", "command": "stat /proc/1/exe"})

    assert found.lines == ("scan ALL=(root) NOPASSWD: stat /proc/1/exe",)


@pytest.mark.parametrize(
    ("family", "line"),
    [
        ("debian", "apt-get install debian-goodies lsof"),
        ("rocky", "dnf install debian-goodies lsof"),
        ("opensuse.leap", "zypper install debian-goodies lsof"),
    ],
)
def test_missing_packages_come_with_the_command_that_installs_them(family: str, line: str) -> None:
    found = explain(
        {"server": "a", "outcome": "package", "family": family, "packages": ["debian-goodies", "lsof"]}
    )

    assert found.lines == (line,)
    assert found.message.startswith("debian-goodies, lsof are not installed")
