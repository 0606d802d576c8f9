"""The lines of an ssh_config, read like OpenSSH; ambiguous ones are rejected.

OpenSSH versions differ in how they read single quotes, and backslashes before signs. So only plain words and
words in double quotes are accepted, which are enough to write any option. A backslash between letters or
digits, as in DOMAIN\\user, is itself in every version.
"""

import re
import unicodedata
from dataclasses import dataclass

LONGEST_LINE = 1000
LONGEST_FILE = 256 * 1024
# Nobody reads more, and a pasted binary file has one for each of its lines.
MOST_REFUSALS = 100

# For these, the rest of the line is the value, including quotes. ssh removes a comment from a ProxyJump; from
# a ProxyCommand only the shell does.
RAW = ("proxycommand", "proxyjump")

# A comment that is an option of ours, for a whole Host block: `# vulsweb: no scan`.
MARK = "# vulsweb:"
_MARK = re.compile(r"#[ \t]*vulsweb[ \t]*:[ \t]*(.*)", re.IGNORECASE)
_DIRECTIVE = re.compile(r"([A-Za-z][A-Za-z0-9]*)(?:[ \t]*=[ \t]*|[ \t]+)(.+)")
_PLAIN_BACKSLASH = r"\\(?=[A-Za-z0-9_])"
_WORD = re.compile(rf"""((?:[^ \t"'\\]|{_PLAIN_BACKSLASH}|"(?:[^"\\]|{_PLAIN_BACKSLASH})*")+)(?:[ \t]+|$)""")
_COMMENT = re.compile(r"(?:^|[ \t]+)#.*")
_NOT_ASCII = "Only comments can have characters that are not ASCII; replace them."
_UNCLEAR = (
    "Write values plainly or in pairs of double quotes, without single quotes. A backslash can only be"
    " between letters or digits."
)
_NO_OPTION = "This is not an option with a value; write it like `HostName 192.0.2.1`, or a comment with `#`."
_NO_VALUE = "The value is missing; add it, or delete the line."
# Control and invisible characters (they can make a line look like another one), unpaired surrogates, and
# separators at which some programs break lines.
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


@dataclass(frozen=True)
class Refusal:
    """One line that is not allowed; `reason` tells people what to do."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class Line:
    """An option; `keyword` is in lower case, `value` the unparsed rest."""

    number: int
    text: str
    keyword: str
    words: tuple[str, ...]
    value: str

    @classmethod
    def from_text(cls, number: int, text: str) -> "Line | str | None":
        """Return the option, the reason against it, or None without option."""
        if len(text) > LONGEST_LINE:
            return f"The line is longer than {LONGEST_LINE} characters; make it shorter."
        if hidden := next((c for c in text if c != "\t" and unicodedata.category(c) in _INVISIBLE), None):
            return f"The line has an invisible character (U+{ord(hidden):04X}); type the line again."
        stripped = text.strip(" \t")
        if not stripped or stripped.startswith("#"):
            mark = _MARK.fullmatch(stripped)
            value = " ".join(mark[1].lower().split()) if mark else ""
            return cls(number, stripped, MARK, (value,), value) if mark else None
        match = _DIRECTIVE.fullmatch(stripped)
        if match is None:
            if not _COMMENT.sub("", stripped).isascii():
                return _NOT_ASCII
            return _NO_OPTION
        keyword, value = match[1].lower(), match[2]
        if keyword in RAW:
            # Like ssh, which skips any number of "=".
            raw = value.lstrip("= \t")
            without_comment = _COMMENT.sub("", raw)
            # With a comment behind it, ssh takes none for the name of a jump host.
            cut = keyword == "proxyjump" and without_comment.lower() != "none"
            raw = without_comment if cut else raw
            return cls(number, stripped, keyword, (raw,), raw) if raw else _NO_VALUE
        words: list[str] = []
        rest = value
        while rest and not rest.startswith("#"):
            word = _WORD.match(rest)
            if word is None:
                return _UNCLEAR
            if not word[1].isascii():
                return _NOT_ASCII
            words.append(word[1].replace('"', ""))
            rest = rest[word.end() :]
        return cls(number, stripped, keyword, tuple(words), value) if words else _NO_VALUE

    def refusal(self, reason: str) -> Refusal:
        """Return a refusal of this line."""
        return Refusal(self.number, self.text, reason)


def parse(content: str) -> tuple[list[Line], list[Refusal]]:
    """Return the options of `content`, and refusals of all other lines."""
    if len(content) > LONGEST_FILE:
        return [], [Refusal(1, "", f"The file is longer than {LONGEST_FILE // 1024} KiB; make it shorter.")]
    lines: list[Line] = []
    refusals: list[Refusal] = []
    # Not splitlines(): it breaks lines at characters that do not end a line for ssh. Forms send \r\n.
    for number, text in enumerate(content.replace("\r\n", "\n").split("\n"), start=1):
        parsed = Line.from_text(number, text)
        if isinstance(parsed, Line):
            lines.append(parsed)
        elif parsed:
            refusals.append(Refusal(number, visible(text), parsed))
    return lines, refusals[:MOST_REFUSALS]


def visible(text: str) -> str:
    """Return a line as it can be shown."""
    shown = (" " if unicodedata.category(c) in _INVISIBLE else c for c in text[:LONGEST_LINE])
    return "".join(shown).strip()
