"""Explanations of connection tests."""

from datetime import date
from typing import Any

import pytest

from executor.recipes import configtest_output
from vulsweb.vuls.configtest import SIGNS, Outcome, explain, explain_error

TODAY = date(2026, 11, 26)


def test_a_host_that_can_be_scanned_is_shown_with_its_system() -> None:
    found = explain({"server": "web-1", "outcome": "ok", "family": "debian", "release": "12"}, TODAY)

    assert found.passed
    assert found.message == "It can be scanned: Debian 12."


@pytest.mark.parametrize("outcome", [each for each in Outcome if each not in (Outcome.OK, Outcome.RELEASE)])
def test_every_other_outcome_has_a_message_and_advice(outcome: Outcome) -> None:
    found = explain({"server": "web-1", "outcome": outcome, "line": "what Vuls said"}, TODAY)

    assert not found.passed
    assert found.message.endswith(".")
    assert found.advice.endswith(".")
    assert found.detail == "what Vuls said"


@pytest.mark.parametrize(
    ("family", "release", "vuls", "expected"),
    [
        ("debian", "13.1", "v0.26.0", "Vuls v0.26.0 does not know Debian 13.1: nothing can be found there."),
        ("debian", "13.1", None, "Vuls v0.26.0 does not know Debian 13.1: nothing can be found there."),
        ("ubuntu", "14.04", "v0.26.0", "Support of Ubuntu 14.04 ended on 2022-04-01"),
    ],
)
def test_a_host_whose_release_hides_vulnerabilities_does_not_pass(
    family: str, release: str, vuls: str | None, expected: str
) -> None:
    answer = {"server": "a", "outcome": "ok", "family": family, "release": release, "vuls": vuls}

    found = explain(answer, TODAY)

    assert (found.passed, found.outcome) == (False, Outcome.RELEASE)
    assert found.message.startswith(f"It can be reached. {expected}")


def test_a_host_of_a_release_that_its_vuls_knows_passes() -> None:
    answer = {"server": "a", "outcome": "ok", "family": "debian", "release": "13.1", "vuls": "v0.40.1"}

    assert explain(answer, TODAY).passed


@pytest.mark.parametrize("test", [{}, {"outcome": "new in a later executor"}, {"outcome": None, "server": 7}])
def test_an_unknown_outcome_is_a_failed_test(test: dict[str, Any]) -> None:
    assert explain(test, TODAY).outcome is Outcome.OTHER


def test_missing_sudo_comes_with_the_line_for_its_family_and_user() -> None:
    found = explain({"server": "a", "outcome": "sudo", "family": "ubuntu", "user": "scan"}, TODAY)

    (line,) = found.lines
    assert line.startswith("scan ALL=(root) NOPASSWD: /usr/sbin/checkrestart, /usr/bin/apt-get update,")


def test_missing_sudo_of_an_unknown_family_comes_with_the_command_that_was_refused() -> None:
    found = explain({"server": "a", "outcome": "sudo", "user": "scan", "command": "stat /proc/1/exe"}, TODAY)

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
        {"server": "a", "outcome": "package", "family": family, "packages": ["debian-goodies", "lsof"]}, TODAY
    )

    assert found.lines == (line,)
    assert found.message.startswith("debian-goodies, lsof are not installed")


def test_a_refused_key_where_none_is_named_says_which_line_to_add() -> None:
    found = explain({"server": "a", "outcome": "key_refused", "without_key": True}, TODAY)

    assert (found.message, "IdentityFile NAME" in found.advice) == ("No key is named for this host.", True)
    assert "authorized_keys" in explain({"server": "a", "outcome": "key_refused"}, TODAY).advice


STACK = (
    "\n    github.com/future-architect/vuls/scanner.validateSSHConfig\n        /src/scanner/scanner.go:476\n"
)
KEY_CHANGED = (
    "Failed to test first SSH Connection. err:\n  - Failed to find the server key that matches the key"
    " registered in the client. The server key may have been changed. Please exec `$ ssh-keygen -R 192.0.2.1`"
    " and `$ ssh-keyscan -p 22 192.0.2.1 >> /ssh/known_hosts`"
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KEY_CHANGED, "The host's key differs from the accepted one. It was reinstalled, or"),
        ("Failed to ssh-keyscan. cmd: ssh-keyscan a, err: %!s(<nil>)", "The host cannot be reached. Check"),
        (
            f"Failed to scan. err:{STACK}  - dpkg said no, err: %!s(<nil>)",
            "Failed to scan. err: dpkg said no",
        ),
        ("Failed to connect.", "Failed to connect."),
    ],
)
def test_an_error_of_a_scan_is_told_in_the_words_of_the_connection_test(error: str, said: str) -> None:
    told = explain_error(error)

    assert told.startswith(said)
    assert not [word for word in ("github.com", ".go:", "%!s", "ssh-keyscan", "ssh-keygen") if word in told]


def test_scans_and_connection_tests_read_the_same_signs() -> None:
    assert [(str(outcome), sign) for outcome, sign in SIGNS] == [
        (str(outcome), sign) for outcome, sign in configtest_output.SIGNS
    ]
