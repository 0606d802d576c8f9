"""Reads what the real Vuls v0.26.0 printed about real OpenSSH servers."""

from pathlib import Path

import pytest

from executor.recipes.configtest_output import ConfigTest, Outcome, read

SAID = Path(__file__).parent / "data" / "configtest"


def said(name: str) -> bytes:
    return (SAID / f"{name}.txt").read_bytes()


@pytest.mark.parametrize(
    ("name", "outcome", "line"),
    [
        ("good", Outcome.OK, ""),
        ("unknown_host_key", Outcome.UNKNOWN_HOST_KEY, "Failed to find the host in known_hosts."),
        ("unknown_host_key_behind_proxy", Outcome.UNKNOWN_HOST_KEY, "No ED25519 host key is known for"),
        ("changed_host_key", Outcome.CHANGED_HOST_KEY, "Failed to find the server key that matches"),
        ("changed_host_key_behind_proxy", Outcome.CHANGED_HOST_KEY, "@ WARNING: REMOTE HOST IDENTIFICATION"),
        ("key_refused", Outcome.KEY_REFUSED, "root@127.0.0.2: Permission denied (publickey"),
        ("key_refused_quiet", Outcome.KEY_REFUSED, "root@127.0.0.2: Permission denied (publickey"),
        ("key_file_open_to_others", Outcome.KEY_REFUSED, "root@127.0.0.2: Permission denied"),
        ("nobody_listens", Outcome.UNREACHABLE, "Failed to ssh-keyscan"),
        ("no_such_name", Outcome.UNREACHABLE, "Failed to ssh-keyscan"),
        ("jump_host_closed", Outcome.UNREACHABLE, "ssh: connect to host 127.0.0.2 port 4099: Connection ref"),
        ("hangs_after_login", Outcome.TIMEOUT, "(1/1) Timed out: t"),
        ("unknown_os", Outcome.UNSUPPORTED_OS, "Unknown OS Type"),
        ("package_missing", Outcome.PACKAGE, "debian-goodies is not installed"),
        ("sudo_password", Outcome.SUDO, "sudo: a password is required"),
        ("sudo_not_installed", Outcome.SUDO, "/bin/bash: line 1: sudo: command not found"),
        ("sudo_denied", Outcome.SUDO, "stat: cannot read symbolic link '/proc/1/exe': Permission denied"),
    ],
)
def test_each_failure_has_its_own_outcome(name: str, outcome: Outcome, line: str) -> None:
    (test,) = read("t", said(name))

    assert (test.server, test.outcome) == ("t", outcome)
    assert (test.line or "").startswith(line)


def test_facts_for_fixing_it_come_with_the_outcome() -> None:
    (sudo,), (package,) = read("t", said("sudo_password")), read("t", said("package_missing"))

    assert (sudo.user, sudo.command, sudo.family, sudo.release) == ("scanner", "checkrestart", "debian", "12")
    assert (package.packages, package.family) == (["debian-goodies"], "debian")
    assert read("t", said("sudo_not_installed"))[0].packages == ["sudo"]


def test_a_program_that_sudo_does_not_find_is_a_missing_package() -> None:
    output = said("sudo_password").replace(b"sudo: a password is required", b"sudo: lsof: command not found")

    (test,) = read("t", output)

    assert (test.outcome, test.packages) == (Outcome.PACKAGE, ["lsof"])


def test_a_network_is_several_hosts() -> None:
    lines = (
        'time="x" level=info msg="(1/2) Detected: net(10.0.0.1): debian 12"',
        'time="x" level=error msg="(2/2) Failed: net(10.0.0.2), err: [Failed to ssh-keyscan. cmd: x, err:"',
    )

    tests = read("net", "\n".join(lines).encode())

    assert [(test.server, test.outcome.value) for test in tests] == [
        ("net(10.0.0.1)", "ok"),
        ("net(10.0.0.2)", "unreachable"),
    ]


def test_a_rejected_configuration_is_the_servers_outcome() -> None:
    output = b'time="x" level=error msg="Specify only one of offline, fast, fast-root or deep"'

    assert read("t", output, refused=True) == [
        ConfigTest("t", Outcome.CONFIGURATION, "Specify only one of offline, fast, fast-root or deep")
    ]


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"\x00\xff\x1b[31m",
        b'level=error msg="(1/1) Failed: t, err: ["',
        b'level=error msg="Error on t, err: [Failed to sudo:"',
        b'level=error msg="(1/1) Failed: t, err: [' + b"a" * 500_000 + b'"',
        b'level=error msg="' + b"\\" * 300_000,
    ],
)
def test_hostile_output_gives_an_outcome_and_never_an_error(output: bytes) -> None:
    (test,) = read("t", output)

    assert test.outcome in (Outcome.OTHER, Outcome.SUDO)
    assert len(test.line or "") <= 500


def test_text_of_a_host_inside_a_message_cannot_name_another_server() -> None:
    output = b'level=error msg="(1/1) Failed: t, err: [x\\n(1/1) Detected: victim: debian 12]"'

    assert [test.server for test in read("t", output)] == ["t"]
