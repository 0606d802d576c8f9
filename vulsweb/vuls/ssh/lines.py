"""The lines of an ssh_config, read as OpenSSH reads them; what it could read in two ways is refused.

OpenSSH knows backslashes, two kinds of quotes and comments behind values, and its versions differ in all of
them. Whoever needs none of these loses nothing, so only plain words and words in double quotes are taken.
"""

import re
import unicodedata
from dataclasses import dataclass

LONGEST_LINE = 1000
LONGEST_FILE = 256 * 1024
# Nobody reads more than these, and a pasted binary file has one for each of its lines.
MOST_REFUSALS = 100

# The rest of the line is the value as it stands, quotes, comments and all.
RAW = ("proxycommand", "proxyjump")

_DIRECTIVE = re.compile(r"([A-Za-z][A-Za-z0-9]*)(?:[ \t]*=[ \t]*|[ \t]+)(.+)")
# Cc, Cf, Cs, Zl, Zp: control and invisible characters (they can make a line look like another one), halves
# of characters, and line separators that some programs break lines at.
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


@dataclass(frozen=True)
class Refusal:
    """One thing in the file that cannot stay; `reason` says to people what to do."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class Line:
    """One option: `keyword` in lower case, its `words`, and `value`, the rest of the line as it stands."""

    number: int
    text: str
    keyword: str
    words: tuple[str, ...]
    value: str

    def refused(self, reason: str) -> Refusal:
        """Return what is to be said about this line."""
        return Refusal(self.number, self.text, reason)


def parse(content: str) -> tuple[list[Line], list[Refusal]]:
    """Return the options of `content` and the lines that are none."""
    if len(content) > LONGEST_FILE:
        return [], [Refusal(1, "", f"The file is longer than {LONGEST_FILE // 1024} KiB; make it shorter.")]
    lines: list[Line] = []
    refusals: list[Refusal] = []
    # Not splitlines(): that breaks at characters which are no line ends to ssh. Forms send \r\n.
    for number, text in enumerate(content.replace("\r\n", "\n").split("\n"), start=1):
        read = _line(number, text)
        if isinstance(read, Line):
            lines.append(read)
        elif read:
            refusals.append(Refusal(number, _shown(text), read))
    return lines, refusals[:MOST_REFUSALS]


def _line(number: int, text: str) -> Line | str | None:
    """Return the option in a line, None for an empty one or a comment, or the reason against it."""
    if len(text) > LONGEST_LINE:
        return f"The line is longer than {LONGEST_LINE} characters; split it."
    if hidden := next((c for c in text if c != "\t" and unicodedata.category(c) in _INVISIBLE), None):
        return f"There is a character that cannot be seen (U+{ord(hidden):04X}); type the line anew."
    stripped = text.strip(" \t")
    if not stripped or stripped.startswith("#"):
        return None
    if not stripped.isascii():
        return "Only letters, digits and signs of ASCII can be used outside comments."
    match = _DIRECTIVE.fullmatch(stripped)
    if match is None:
        return "This is no option with a value; write it like `HostName 192.0.2.1`, or `#` before a comment."
    keyword, value = match[1].lower(), match[2]
    if keyword in RAW:
        # As ssh does, which takes any number of "=" for none.
        raw = value.lstrip("= \t")
        return Line(number, stripped, keyword, (raw,), raw) if raw else "The value is missing."
    words = _words(value)
    return words if isinstance(words, str) else Line(number, stripped, keyword, words, value)


def _words(value: str) -> tuple[str, ...] | str:
    """Split `value` as ssh does, or say why not."""
    words: list[str] = []
    rest = value
    while rest and not rest.startswith("#"):
        match = re.match(r'((?:[^ \t"\'\\]|"[^"\\]*")+)(?:[ \t]+|$)', rest)
        if match is None:
            return "Write values plainly or in pairs of double quotes, without backslashes and single quotes."
        words.append(match[1].replace('"', ""))
        rest = rest[match.end() :]
    return tuple(words) if words else "The value is missing."


def _shown(text: str) -> str:
    visible = "".join(c if unicodedata.category(c) not in _INVISIBLE else " " for c in text[:LONGEST_LINE])
    return visible.strip()
