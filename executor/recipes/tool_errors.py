"""What a tool complained about, as one sentence taken from its own output. Pure.

Everything here comes from a tool that repeats what a scanned host or a feed said: hostile text.
"""

import re

LONGEST = 500
# Before any pattern looks at it: a line without end must not keep one busy.
LONGEST_LINE = 4000

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LOGGED = re.compile(r'(?:level|lvl)=(?P<level>\w+).*?msg="(?P<message>(?:[^"\\]|\\.)*)')
# Go's way of saying that gost did not know how to print the cause.
_UNPRINTED_CAUSE = re.compile(r"(?:,? err:)? %!w\(.*\)$")
# Go's way of printing a whole HTTP answer.
_ANSWER = re.compile(r"[,.]? response: &\{Status:(?P<status>\d{3} [A-Za-z ]+?) StatusCode:.*")
# A fetch of vuls2 is part of a report, which says so before it says what is wrong.
_WHILE_REPORTING = re.compile(r"^Failed to detect .{,100} Failed to get new db connection\. err: ")
# Vuls closes with one of these whatever went wrong; what it said before tells more.
_CLOSING = ("No scannable servers", "An error occurred on [")


def complaint(output: bytes) -> str | None:
    """Return the tool's last error as one line, or its last line if it named none; None for silence."""
    lines = [line[:LONGEST_LINE] for line in plain(output).splitlines() if line.strip()]
    errors = [error for line in lines if (error := _error(line))]
    telling = [error for error in errors if not any(closing in error for closing in _CLOSING)]
    for choice in (telling, errors, lines):
        if choice:
            return _tidied(choice[-1])
    return None


def plain(output: bytes) -> str:
    """Return the output as text without escape sequences and control characters."""
    return _CONTROL.sub(" ", _ANSI.sub("", output.decode("utf-8", "replace").replace("\r", "\n")))


def _error(line: str) -> str | None:
    logged = _LOGGED.search(line)
    if logged is None:
        return line if re.match(r"(Failed|Error|error|fatal)\b", line.strip()) else None
    if logged["level"] not in ("error", "eror", "fatal", "crit"):
        return None
    return _without_stack(logged["message"])


def _without_stack(message: str) -> str:
    # "Failed to scan:\n    pkg.Function\n        /file.go:12\n  - the cause": keep the first line and
    # the causes. Functions and files are the lines without a space inside.
    lines = message.replace('\\"', '"').replace("\\t", " ").split("\\n")
    kept = [
        line.strip().removeprefix("- ")
        for number, line in enumerate(lines)
        if number == 0 or " " in line.strip()
    ]
    return " ".join(part for part in kept if part)


def _tidied(error: str) -> str:
    sentence = _WHILE_REPORTING.sub("", " ".join(error.split()))
    sentence = _UNPRINTED_CAUSE.sub(" ", sentence).replace(", err: [", ": ")
    sentence = _ANSWER.sub(r" answered \g<status>.", sentence).rstrip(":] ")
    return sentence if len(sentence) <= LONGEST else sentence[: LONGEST - 1] + "…"
