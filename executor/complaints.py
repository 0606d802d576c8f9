"""What a tool complained about, as one sentence taken from its own output. Pure.

Everything here comes from a tool that repeats what a scanned host or a feed said: hostile text.
"""

import re

LONGEST = 500

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LOGGED = re.compile(r'(?:level|lvl)=(?P<level>\w+).*?msg="(?P<message>(?:[^"\\]|\\.)*)"')
# Vuls closes with one of these whatever went wrong; what it said before tells more.
_CLOSING = ("No scannable servers", "An error occurred on [")


def complaint(output: bytes) -> str | None:
    """Return the tool's last error as one line, or its last line if it named none; None for silence."""
    lines = [line for line in _plain(output).splitlines() if line.strip()]
    errors = [error for line in lines if (error := _error(line))]
    telling = [error for error in errors if not any(closing in error for closing in _CLOSING)]
    for choice in (telling, errors, lines):
        if choice:
            return _shortened(" ".join(choice[-1].split()))
    return None


def _plain(output: bytes) -> str:
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
    # the causes, leave out functions and files.
    lines = message.replace('\\"', '"').replace("\\t", " ").split("\\n")
    kept = [
        line.strip().removeprefix("- ")
        for number, line in enumerate(lines)
        if number == 0 or not re.match(r"\s*(\S+/\S+\.\S+$|/\S+\.go:\d+)", line)
    ]
    return " ".join(part for part in kept if part).rstrip(":] ")


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= LONGEST else sentence[: LONGEST - 1] + "…"
