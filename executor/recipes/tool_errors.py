"""Takes a tool's last error out of its output.

The error becomes one sentence. The output repeats what a scanned host or a feed's server sent, so do not
trust it.

This module is pure.
"""

import re

MAX_LENGTH = 500
# Cut before any pattern is applied: a line without an end must not take long to match.
LONGEST_LINE = 4000

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LOGGED = re.compile(r'(?:level|lvl)=(?P<level>\w+).*?msg="(?P<message>(?:[^"\\]|\\.)*)')
_ERROR_LEVELS = ("error", "eror", "fatal", "crit")
# An error that was printed without a level.
_PLAIN_ERROR = re.compile(r"(Failed|Error|error|fatal)\b")
# What Go prints when gost formats the cause of an error wrongly.
_UNPRINTED_CAUSE = re.compile(r"(?:,? err:)? %!w\(.*\)$")
# What Go prints for a whole HTTP response.
_RESPONSE = re.compile(r"[,.]? response: &\{Status:(?P<status>\d{3} [A-Za-z ]+?) StatusCode:.*")
# A fetch of vuls2 is part of a report, and the report names itself before the cause.
_WHILE_REPORTING = re.compile(r"^Failed to detect .{,100} Failed to get new db connection\. err: ")
# Vuls ends with one of these whatever went wrong; the errors before them say more.
_SUMMARIES = ("No scannable servers", "An error occurred on [")


def last_error(output: bytes) -> str | None:
    """Return the last error in the output, as one line.

    Without an error, return the last line. Return None if there is no output.
    """
    lines = [line[:LONGEST_LINE] for line in plain_text(output).splitlines() if line.strip()]
    errors = []
    for line in lines:
        logged = _LOGGED.search(line)
        if logged is None and _PLAIN_ERROR.match(line.strip()):
            errors.append(line)
        elif logged and logged["level"] in _ERROR_LEVELS:
            # "Failed to scan:\n    pkg.Function\n        /file.go:12\n  - the cause": keep the first line
            # and the causes. The stack's functions and files are the lines without a space inside.
            message, *stack = logged["message"].replace('\\"', '"').replace("\\t", " ").split("\\n")
            kept = [message, *(part for part in stack if " " in part.strip())]
            errors.append(" ".join(filter(None, (part.strip().removeprefix("- ") for part in kept))))
    errors = list(filter(None, errors))
    causes = [error for error in errors if not any(summary in error for summary in _SUMMARIES)]
    candidates = causes or errors or lines
    if not candidates:
        return None
    sentence = _WHILE_REPORTING.sub("", " ".join(candidates[-1].split()))
    sentence = _UNPRINTED_CAUSE.sub(" ", sentence).replace(", err: [", ": ")
    sentence = _RESPONSE.sub(r" answered \g<status>.", sentence).rstrip(":] ")
    return sentence if len(sentence) <= MAX_LENGTH else sentence[: MAX_LENGTH - 1] + "…"


def plain_text(output: bytes) -> str:
    """Return the output as text without escape sequences and control characters."""
    return _CONTROL.sub(" ", _ANSI.sub("", output.decode("utf-8", "replace").replace("\r", "\n")))
