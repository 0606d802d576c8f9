"""Reads the output of `vuls configtest` for one server. Pure.

The output repeats what the server answered, so do not trust it. At worst it gives its own server the
wrong outcome.
"""

import enum
import re
from dataclasses import dataclass, field

from executor.recipes.tool_errors import MAX_LENGTH, plain_text

# With -vvv one message holds ssh's whole debug output.
LONGEST_MESSAGE = 200_000
LONGEST_WORD = 100
MAX_PACKAGES = 20


class Outcome(enum.StrEnum):
    """The result of a connection test."""

    OK = "ok"
    UNKNOWN_HOST_KEY = "unknown_host_key"  # its key has not been accepted yet
    CHANGED_HOST_KEY = "changed_host_key"  # its key differs from the accepted one
    KEY_REFUSED = "key_refused"  # it rejects our key, or our key cannot be read
    UNREACHABLE = "unreachable"  # unknown name, no route, closed port, or silence
    TIMEOUT = "timeout"  # it accepted the login and then did not answer
    SUDO = "sudo"  # a command of this scan mode needs a sudo password
    PACKAGE = "package"  # a program for this scan mode is not installed
    UNSUPPORTED_OS = "unsupported_os"  # Vuls does not know its operating system
    CONFIGURATION = "configuration"  # Vuls rejects its section of config.toml
    OTHER = "other"  # see the line


@dataclass
class ConfigTest:
    """The test of one server.

    It holds the outcome, the line that shows it, and facts for fixing it.
    """

    server: str
    outcome: Outcome
    line: str | None = None
    family: str | None = None
    release: str | None = None
    user: str | None = None
    packages: list[str] = field(default_factory=list)
    command: str | None = None  # what sudo was asked to run


_LOGGED = re.compile(r'level=(?P<level>\w+) msg=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>\S*))')
_DETECTED = re.compile(r"\(\d+/\d+\) Detected: (?P<server>.+): (?P<family>\S+) (?P<release>[^:]*)")
_FAILED = re.compile(r"\(\d+/\d+\) (?:Failed: (?P<failed>.+?), err: \[|Timed out: (?P<timed_out>.+))")
_ERROR_ON = re.compile(r"Error on (?P<failed>.+?), err: \[")
_USER = re.compile(r"cmd: \S*ssh .*?-l (?P<user>\S+)")
_CHECKED = re.compile(r"Checking\.\.\. sudo (?P<command>.+)")
_MISSING = re.compile(r"(?:^|\[)(?P<package>[\w.+-]+) is not installed\b")
_NOT_FOUND = re.compile(r"(?:^|[:\s])(?P<program>[\w.+-]+): (?:command not found|not found|No such file)")
_NOISE = (
    *("debug1:", "debug2:", "debug3:", "OpenSSH_", "Authenticated to", "Transferred:", "Bytes per second"),
    *("execResult:", "cmd:", "exitstatus:", "err:", "#"),
)
# Errors of the command's first half, which fails because there is no terminal.
_NOT_FROM_SUDO = (" stty: ", "stty: 'standard input'", "stdout:")
# The package of a program, where it has another name.
_PACKAGE_OF = {
    "checkrestart": "debian-goodies",
    "repoquery": "yum-utils",
    "needs-restarting": "yum-utils",
    "initctl": "upstart",
    "apt-get": "apt",
}
# Searched in this order: ssh's message about the cause comes before its message about the end.
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


def read(server: str, output: bytes, *, refused: bool = False) -> list[ConfigTest]:
    """Return the tests that the output of one server's configtest holds.

    A server whose address is a network is several hosts; each is named like its result document. `refused`
    means that Vuls rejected the configuration.
    """
    messages: list[tuple[str, str]] = []
    for line in plain_text(output).splitlines():
        if logged := _LOGGED.search(line[:LONGEST_MESSAGE]):
            text = logged["quoted"] if logged["quoted"] is not None else logged["bare"]
            text = text.replace("\\r", "").replace("\\n", "\n").replace("\\t", " ").replace('\\"', '"')
            messages.append((logged["level"], text))
    tests = {}
    for _, message in messages:
        if found := _DETECTED.match(message):
            family, release = found["family"][:LONGEST_WORD], found["release"].strip()[:LONGEST_WORD]
            name = found["server"]
            tests[name] = ConfigTest(name, Outcome.OK, family=family, release=release or None)
    for level, message in messages:
        if level == "error" and (found := _FAILED.match(message) or _ERROR_ON.match(message)):
            name = found["failed"] or found["timed_out"].strip()
            if name:
                _set_outcome(tests.setdefault(name, ConfigTest(name, Outcome.OTHER)), message, messages)
    if tests and not refused:
        return list(tests.values())
    errors = [message for level, message in messages if level in ("error", "fatal")]
    last_error = _tidy(errors[-1].split("\n")[0]) if errors else None
    return [ConfigTest(server, Outcome.CONFIGURATION if refused else Outcome.OTHER, last_error)]


def _set_outcome(test: ConfigTest, message: str, messages: list[tuple[str, str]]) -> None:
    # Without the output of -vvv and Go's stack, whose lines have no space inside.
    lines = [line.strip().removeprefix("- ").removeprefix("stderr: ").strip() for line in message.split("\n")]
    lines = lines[:1] + [line for line in lines[1:] if " " in line and not line.startswith(_NOISE)]
    if user := _USER.search(message):
        test.user = user["user"][:LONGEST_WORD]
    if missing := _MISSING.search(lines[0]):
        test.outcome, test.line = Outcome.PACKAGE, f"{missing['package']} is not installed"
        test.packages = [missing["package"]]
    elif "Failed to sudo" in lines[0]:
        commands = [found["command"] for _, each in messages if (found := _CHECKED.match(each))]
        test.command = commands[-1][:MAX_LENGTH] if commands else None
        errors = [line for line in lines[1:] if not any(word in line for word in _NOT_FROM_SUDO)]
        missing_programs = [found["program"] for line in errors if (found := _NOT_FOUND.search(line))]
        test.outcome = Outcome.SUDO
        if missing_programs and "sudo" not in missing_programs:
            test.outcome = Outcome.PACKAGE
        packages = dict.fromkeys(_PACKAGE_OF.get(program, program) for program in missing_programs)
        test.packages = list(packages)[:MAX_PACKAGES]
        test.line = _tidy(errors[-1] if errors else lines[0])
    else:
        # The first sign of the list wins, wherever its line is.
        signs = ((outcome, line) for outcome, sign in SIGNS for line in lines if sign in line)
        test.outcome, line = next(signs, (Outcome.OTHER, lines[-1] if len(lines) > 1 else lines[0]))
        test.line = _tidy(line)


def _tidy(line: str) -> str:
    prefix = _FAILED.match(line)
    start = prefix.end() if prefix and prefix["failed"] else 0
    return " ".join(line[start:].split())[:MAX_LENGTH].rstrip(":[] ")
