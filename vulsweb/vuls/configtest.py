"""Explanations of connection tests: what is wrong, and how to fix it.

executor/README.md defines the outcomes and their fields. Text in them comes from the scanned host: treat it
as untrusted.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from vulsweb.vuls import catalogue, releases

# Commands that Vuls v0.26 runs with sudo in the modes fast-root and deep (scanner/debian.go and others).
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
_BASE_FAMILIES = {
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


# How long an error of a scanned host is read: with -vvv it would hold ssh's whole debug output.
LONGEST_ERROR = 20_000
_UNPRINTED_CAUSE = re.compile(r",? err: %!\w\(<nil>\)")


class Outcome(enum.StrEnum):
    """The outcome of a test, as executors name it; `release` is ours."""

    OK = "ok"
    RELEASE = "release"
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
    """The result of one server's test, with advice and lines to copy."""

    server: str
    outcome: Outcome
    message: str
    advice: str = ""
    lines: tuple[str, ...] = ()
    detail: str = ""  # the line that the tool printed

    @property
    def passed(self) -> bool:
        """Return whether the server can be scanned."""
        return self.outcome is Outcome.OK


WITHOUT_KEY = (
    "No key is named for this host.",
    "Add IdentityFile NAME to its block in the SSH configuration; NAME is a key under Keys.",
)
_MESSAGES = {
    Outcome.UNKNOWN_HOST_KEY: (
        "This host's key has not been accepted yet.",
        "Fetch its key under Known hosts, compare it with the fingerprint shown on the host, and accept it.",
    ),
    Outcome.CHANGED_HOST_KEY: (
        "The host's key differs from the accepted one.",
        "It was reinstalled, or somebody intercepts the connection. Find out before you accept the new key.",
    ),
    Outcome.KEY_REFUSED: (
        "The host rejected the key.",
        "Add the public key to ~/.ssh/authorized_keys of the user that the SSH configuration names.",
    ),
    Outcome.UNREACHABLE: (
        "The host cannot be reached.",
        "Check that it is up, that address and port are right, and that firewalls let the executor through.",
    ),
    Outcome.TIMEOUT: (
        "The host accepted the connection and then timed out.",
        "Check its load, and whether its shell waits for input at sign-in.",
    ),
    Outcome.UNSUPPORTED_OS: (
        "Vuls does not support this operating system.",
        "Supported: Debian, Ubuntu, Red Hat and its rebuilds, Amazon, SUSE, Alpine, FreeBSD, macOS, Windows.",
    ),
    Outcome.CONFIGURATION: (
        "Vuls rejects the host's section of config.toml.",
        "Fix what the line below names, in the SSH configuration or in config.toml.",
    ),
    Outcome.OTHER: ("The test failed.", "See the line below and the log."),
}


# What Vuls and ssh print for each outcome, as executor/recipes/configtest_output.py reads it. ssh's message
# about the cause comes before its message about the end.
SIGNS = (
    (Outcome.CHANGED_HOST_KEY, "server key that matches the key registered in the client"),
    (Outcome.CHANGED_HOST_KEY, "REMOTE HOST IDENTIFICATION HAS CHANGED"),
    (Outcome.CHANGED_HOST_KEY, "Host key for"),
    (Outcome.UNKNOWN_HOST_KEY, "Failed to find the host in known_hosts"),
    (Outcome.UNKNOWN_HOST_KEY, "Failed to find any known_hosts"),
    (Outcome.UNKNOWN_HOST_KEY, "host key is known for"),
    (Outcome.UNKNOWN_HOST_KEY, "Host key verification failed"),
    (Outcome.KEY_REFUSED, "Permission denied ("),
    (Outcome.KEY_REFUSED, "Too many authentication failures"),
    (Outcome.KEY_REFUSED, "No more authentication methods to try"),
    (Outcome.UNREACHABLE, "Failed to ssh-keyscan"),
    (Outcome.UNREACHABLE, "Could not resolve hostname"),
    (Outcome.UNREACHABLE, "ssh: connect to host"),
    (Outcome.UNREACHABLE, "connect failed:"),
    (Outcome.UNREACHABLE, "Connection timed out"),
    (Outcome.UNREACHABLE, "kex_exchange_identification"),
    (Outcome.UNREACHABLE, "Connection closed by"),
    (Outcome.UNREACHABLE, "Connection reset by"),
    (Outcome.UNSUPPORTED_OS, "Unknown OS Type"),
    (Outcome.UNSUPPORTED_OS, "not supported major version"),
    (Outcome.TIMEOUT, "Timed out"),
)


def explain_error(error: str) -> str:
    """Explain a host's error in a result document.

    What no connection test knows is returned in Vuls' words, without Go's functions and files.
    """
    error = error[:LONGEST_ERROR]
    if outcome := next((outcome for outcome, sign in SIGNS if sign in error), None):
        return " ".join(_MESSAGES[outcome])
    first, *stack = error.strip().split("\n")
    # Of the stack, only the causes have a space inside: "- the cause".
    kept = [first, *(part for part in stack if " " in part.strip())]
    return _UNPRINTED_CAUSE.sub("", " ".join(part.strip().removeprefix("- ") for part in kept))


def explain(test: Mapping[str, Any], day: date) -> Explanation:
    """Explain an entry of a job's `tests`, made on that day.

    Unknown outcomes count as `other`.
    """
    word = str(test.get("outcome"))
    outcome = Outcome(word) if word in set(Outcome) else Outcome.OTHER
    server, detail = str(test.get("server") or ""), str(test.get("line") or "")
    family = str(test.get("family") or "").split(".")[0]
    family = _BASE_FAMILIES.get(family, "suse" if "suse" in family else family)
    message, advice = _MESSAGES.get(outcome, ("", ""))
    lines: tuple[str, ...] = ()
    if outcome is Outcome.OK:
        detail = ""
        system, release = str(test.get("family") or ""), str(test.get("release") or "")
        vuls = catalogue.version(str(test.get("vuls") or "")) or catalogue.CLASSIC_VERSION
        if gap := releases.gap(system, release, vuls, day):
            outcome, message = Outcome.RELEASE, f"It can be reached. {gap}"
        else:
            name = releases.label(system, release)
            message = f"It can be scanned: {name}." if name else "It can be scanned."
    elif outcome is Outcome.KEY_REFUSED and test.get("without_key"):
        message, advice = WITHOUT_KEY
    elif outcome is Outcome.SUDO:
        user = str(test.get("user") or "vuls")
        message = f"This scan mode needs root, and {user} may not use sudo without a password."
        advice = "Add this line with `visudo -f /etc/sudoers.d/vuls` on the host, or use a fast scan."
        if commands := _SUDO_COMMANDS.get(family) or tuple(filter(None, [str(test.get("command") or "")])):
            lines = (f"{user} ALL=(root) NOPASSWD: {', '.join(commands)}",)
    elif outcome is Outcome.PACKAGE:
        packages = [str(package) for package in test.get("packages") or ()]
        missing, verb = ", ".join(packages) or "A program", "are" if len(packages) > 1 else "is"
        message = f"{missing} {verb} not installed on the host, and this scan mode needs it."
        advice = "Install it on the host."
        if packages and family in _INSTALL:
            lines = (f"{_INSTALL[family]} {' '.join(packages)}",)
    return Explanation(server, outcome, message, advice, lines, detail)
