"""What `vuls configtest` says of one server, as facts. Pure.

Its output repeats what the server answered, so it is hostile: the worst that it can do is to have its own
server named with the wrong outcome.
"""

import enum
import re
from dataclasses import dataclass, field

from executor.recipes.tool_errors import LONGEST, plain

# With -vvv one message holds all that ssh said on the way.
LONGEST_MESSAGE = 200_000
LONGEST_WORD = 100
MOST_PACKAGES = 20


class Outcome(enum.StrEnum):
    """Why a server can be scanned or not."""

    OK = "ok"
    UNKNOWN_HOST_KEY = "unknown_host_key"  # nobody has accepted its key yet
    CHANGED_HOST_KEY = "changed_host_key"  # it shows another key than the accepted one
    KEY_REFUSED = "key_refused"  # it lets nobody in with our key, or ours cannot be read
    UNREACHABLE = "unreachable"  # no such name, no route, nobody listens, or it says nothing
    TIMEOUT = "timeout"  # it let us in and then did not answer
    SUDO = "sudo"  # the user may not run without a password what this scan mode needs
    PACKAGE = "package"  # a program that this scan mode needs is not installed there
    UNSUPPORTED_OS = "unsupported_os"  # it answers, and Vuls does not know what it is
    CONFIGURATION = "configuration"  # Vuls refuses the server's section of config.toml
    OTHER = "other"  # the line says more


@dataclass
class ConfigTest:
    """One server's test: the outcome, the line that it is taken from, and what a person needs to mend it."""

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
_ERROR_ON = re.compile(r"Error on (?P<server>.+?), err: \[")
_USER = re.compile(r"cmd: \S*ssh .*?-l (?P<user>\S+)")
_CHECKED = re.compile(r"Checking\.\.\. sudo (?P<command>.+)")
_MISSING = re.compile(r"(?:^|\[)(?P<package>[\w.+-]+) is not installed\b")
_NOT_FOUND = re.compile(r"(?:^|[:\s])(?P<program>[\w.+-]+): (?:command not found|not found|No such file)")
_NOISE = (
    *("debug1:", "debug2:", "debug3:", "OpenSSH_", "Authenticated to", "Transferred:", "Bytes per second"),
    *("execResult:", "cmd:", "exitstatus:", "err:", "#"),
)
# Without a terminal, as always here, the command's first half complains.
_NOT_SAID_BY_SUDO = (" stty: ", "stty: 'standard input'", "stdout:")
# Programs by the package that brings them; others are packages of their own name.
_BROUGHT_BY = {
    "checkrestart": "debian-goodies",
    "repoquery": "yum-utils",
    "needs-restarting": "yum-utils",
    "initctl": "upstart",
    "apt-get": "apt",
}
# Looked for in this order: what ssh says of the cause comes before what it says of the end.
_SIGNS = (
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
    """Return what the output of one server's configtest says.

    A server whose address is a network is as many hosts; each is named as its result would be. `refused`
    says that Vuls ended because of the configuration.
    """
    messages = [(logged["level"], _message(logged)) for logged in _logged(output)]
    tests = {test.server: test for _, message in messages if (test := _detected(message))}
    for level, message in messages:
        if level == "error" and (failed := _failed(message)):
            known = tests.setdefault(failed, ConfigTest(failed, Outcome.OTHER))
            _judge(known, message, messages)
    if tests and not refused:
        return list(tests.values())
    outcome = Outcome.CONFIGURATION if refused else Outcome.OTHER
    return [ConfigTest(server, outcome, _last_error(messages))]


def _logged(output: bytes) -> list[re.Match[str]]:
    found = (_LOGGED.search(line[:LONGEST_MESSAGE]) for line in plain(output).splitlines())
    return [match for match in found if match]


def _message(logged: re.Match[str]) -> str:
    message = logged["quoted"] if logged["quoted"] is not None else logged["bare"]
    return message.replace("\\r", "").replace("\\n", "\n").replace("\\t", " ").replace('\\"', '"')


def _detected(message: str) -> ConfigTest | None:
    found = _DETECTED.match(message)
    if found is None:
        return None
    family, release = found["family"][:LONGEST_WORD], found["release"].strip()[:LONGEST_WORD]
    return ConfigTest(found["server"], Outcome.OK, family=family, release=release or None)


def _failed(message: str) -> str | None:
    if found := _FAILED.match(message):
        return found["failed"] or found["timed_out"].strip()
    found = _ERROR_ON.match(message)
    return found["server"] if found else None


def _judge(test: ConfigTest, message: str, messages: list[tuple[str, str]]) -> None:
    lines = _telling(message)
    if user := _USER.search(message):
        test.user = user["user"][:LONGEST_WORD]
    if missing := _MISSING.search(lines[0]):
        test.outcome, test.line = Outcome.PACKAGE, f"{missing['package']} is not installed"
        test.packages = [missing["package"]]
    elif "Failed to sudo" in lines[0]:
        _judge_sudo(test, lines, messages)
    else:
        # The first sign in the list, wherever it stands: ssh says the cause first and the end last.
        told = ((outcome, line) for outcome, sign in _SIGNS for line in lines if sign in line)
        test.outcome, line = next(told, (Outcome.OTHER, lines[-1] if len(lines) > 1 else lines[0]))
        test.line = _tidied(line)


def _judge_sudo(test: ConfigTest, lines: list[str], messages: list[tuple[str, str]]) -> None:
    asked = [found["command"] for _, message in messages if (found := _CHECKED.match(message))]
    test.command = asked[-1][:LONGEST] if asked else None
    said = [line for line in lines[1:] if not any(word in line for word in _NOT_SAID_BY_SUDO)]
    missing = [found["program"] for line in said if (found := _NOT_FOUND.search(line))]
    test.outcome = Outcome.SUDO
    if missing:
        test.outcome = Outcome.SUDO if "sudo" in missing else Outcome.PACKAGE
        brought = (_BROUGHT_BY.get(program, program) for program in missing)
        test.packages = list(dict.fromkeys(brought))[:MOST_PACKAGES]
    test.line = _tidied(said[-1] if said else lines[0])


def _telling(message: str) -> list[str]:
    # Less what -vvv adds, and Go's functions and files, which are the lines without a space inside.
    lines = [line.strip().removeprefix("- ").removeprefix("stderr: ").strip() for line in message.split("\n")]
    kept = [
        line
        for number, line in enumerate(lines)
        if number == 0 or (" " in line and not line.startswith(_NOISE))
    ]
    return kept or [""]


def _last_error(messages: list[tuple[str, str]]) -> str | None:
    errors = [message for level, message in messages if level in ("error", "fatal")]
    return _tidied(errors[-1].split("\n")[0]) if errors else None


def _tidied(line: str) -> str:
    begun = _FAILED.match(line)
    return " ".join(line[begun.end() if begun and begun["failed"] else 0 :].split())[:LONGEST].rstrip(":[] ")
