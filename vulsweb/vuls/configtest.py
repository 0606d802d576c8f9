"""What a connection test came to, in words: what is wrong with a host, and what to do about it. Pure.

The outcomes and their facts are those of executor/README.md; all text among them is what a scanned host said.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What Vuls v0.26 asks sudo for in the modes fast-root and deep (its scanner/debian.go, rhel.go, suse.go).
_PROCESSES = (
    "/usr/bin/stat /proc/*/exe",
    "/usr/bin/ls -l /proc/*/exe",
    "/usr/bin/cat /proc/*/maps",
    "/usr/bin/lsof -i -P -n",
)
_SUDO_COMMANDS = {
    "debian": ("/usr/sbin/checkrestart", "/usr/bin/apt-get update", *_PROCESSES),
    "redhat": ("/usr/bin/repoquery", "/usr/bin/needs-restarting", "/usr/bin/which", *_PROCESSES),
    "suse": ("/usr/bin/zypper ps -s", "/usr/bin/which", *_PROCESSES),
}
_KIN = {
    "ubuntu": "debian",
    "raspbian": "debian",
    **dict.fromkeys(("centos", "alma", "rocky", "fedora", "oracle", "amazon"), "redhat"),
}
_INSTALL = {
    "debian": "apt-get install",
    "redhat": "dnf install",
    "suse": "zypper install",
    "alpine": "apk add",
}


class Outcome(enum.StrEnum):
    """Why a server can be scanned or not, in the executor's words."""

    OK = "ok"
    UNKNOWN_HOST_KEY = "unknown_host_key"
    CHANGED_HOST_KEY = "changed_host_key"
    KEY_REFUSED = "key_refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    SUDO = "sudo"
    PACKAGE = "package"
    UNSUPPORTED_OS = "unsupported_os"
    CONFIGURATION = "configuration"
    OTHER = "other"


@dataclass(frozen=True)
class Explanation:
    """One server's test for people: a sentence, what to do, and lines to copy where some help."""

    server: str
    outcome: Outcome
    says: str
    advice: str = ""
    lines: tuple[str, ...] = ()
    detail: str = ""  # the tool's own line

    @property
    def passed(self) -> bool:
        """Say whether the server can be scanned."""
        return self.outcome is Outcome.OK


_SAYS = {
    Outcome.UNKNOWN_HOST_KEY: (
        "Nobody has accepted this host's key yet.",
        "Fetch its key under SSH keys, compare the fingerprint with the host's own and accept it.",
    ),
    Outcome.CHANGED_HOST_KEY: (
        "The host shows another key than the one that was accepted.",
        "It was installed anew, or somebody stands in between. Find out which before you accept the new key.",
    ),
    Outcome.KEY_REFUSED: (
        "The host does not let our key in.",
        "Add the public key to ~/.ssh/authorized_keys of the user that the SSH configuration names.",
    ),
    Outcome.UNREACHABLE: (
        "The host cannot be reached.",
        "Check that it is up, that address and port are right, and that firewalls let the executor through.",
    ),
    Outcome.TIMEOUT: (
        "The host let us in and then did not answer in time.",
        "Look at its load; a shell that asks something at sign-in also looks like this.",
    ),
    Outcome.UNSUPPORTED_OS: (
        "Vuls does not know this operating system.",
        "It knows Debian, Ubuntu, Red Hat and kin, Amazon Linux, SUSE, Alpine, FreeBSD, macOS and Windows.",
    ),
    Outcome.CONFIGURATION: (
        "Vuls refuses the host's section of config.toml.",
        "Mend what its line says, in the SSH configuration or in config.toml.",
    ),
    Outcome.OTHER: ("The test failed.", "The line below and the log say more."),
}


def explain(test: Mapping[str, Any]) -> Explanation:
    """Return the words for one entry of a job's `tests`; an outcome that we do not know counts as `other`."""
    word = str(test.get("outcome"))
    outcome = Outcome(word) if word in set(Outcome) else Outcome.OTHER
    server, detail = str(test.get("server") or ""), str(test.get("line") or "")
    if outcome is Outcome.OK:
        system = " ".join(str(test[name]) for name in ("family", "release") if test.get(name))
        says = f"It can be scanned: {system}." if system else "It can be scanned."
        return Explanation(server, outcome, says)
    if outcome is Outcome.SUDO:
        return _sudo(server, test, detail)
    if outcome is Outcome.PACKAGE:
        return _package(server, test, detail)
    says, advice = _SAYS[outcome]
    return Explanation(server, outcome, says, advice, detail=detail)


def _family(test: Mapping[str, Any]) -> str:
    family = str(test.get("family") or "").split(".")[0]
    return _KIN.get(family, "suse" if "suse" in family else family)


def _sudo(server: str, test: Mapping[str, Any], detail: str) -> Explanation:
    user = str(test.get("user") or "vuls")
    commands = _SUDO_COMMANDS.get(_family(test)) or tuple(filter(None, [str(test.get("command") or "")]))
    lines = (f"{user} ALL=(root) NOPASSWD: {', '.join(commands)}",) if commands else ()
    says = f"{user} may not run as root, without a password, what this scan mode needs."
    advice = (
        "Add this line with `visudo -f /etc/sudoers.d/vuls` on the host, or use Fast Scan: it needs none."
    )
    return Explanation(server, Outcome.SUDO, says, advice, lines, detail)


def _package(server: str, test: Mapping[str, Any], detail: str) -> Explanation:
    packages = [str(package) for package in test.get("packages") or ()]
    install = _INSTALL.get(_family(test), "")
    lines = (f"{install} {' '.join(packages)}",) if install and packages else ()
    missing, verb = ", ".join(packages) or "A program", "are" if len(packages) > 1 else "is"
    says = f"{missing} {verb} not installed on the host, and this scan mode needs it."
    return Explanation(server, Outcome.PACKAGE, says, "Install it on the host.", lines, detail)
