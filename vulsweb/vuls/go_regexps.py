"""Regular expressions in Go's syntax, which Vuls reads: whether Go compiles one.

The rules are those of Go's regexp/syntax/parse.go. Names of Unicode scripts are not checked.
"""

import functools
import re
from dataclasses import dataclass, field

MOST_REPEATS = 1000
_REPEAT = re.compile(r"\{(0|[1-9][0-9]*)(?:(,)(0|[1-9][0-9]*)?)?\}|[*+?]")
_GROUP = re.compile(r"\(\?(?:P?<[A-Za-z0-9_]+>|[imsU]*(?:-[imsU]+)?([:)]))|\((?!\?)")
_LITERALS = re.compile(r"\\Q(.*?)(?:\\E|\Z)", re.DOTALL)
_ASSERTION = re.compile(r"\\[AbBz]")
_CATEGORY = "C[cfnos]?|L[clmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?"
_CLASS = re.compile(
    r"\\[dDsSwW]"
    # Newer versions of Go ignore the case of these names.
    rf"|\\[pP](?i:[CLMNPSZ]|\{{\^?(?:{_CATEGORY}|[A-Z][A-Z_ -]{{2,}})\}})"
)
_NAMED_CLASS = re.compile(
    r"\[:\^?(?:alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit):\]"
)
_CHARACTER = re.compile(
    r"\\(?:(?P<octal>0[0-7]{0,2}|[1-7][0-7]{1,2})|x(?P<hex>[0-9A-Fa-f]{2})|x\{(?P<long>[0-9A-Fa-f]+)\}"
    r"|(?P<control>[afnrtv])|(?P<plain>[^A-Za-z0-9\x80-\U0010ffff]))"
    r"|(?P<itself>[^\\])",
    re.DOTALL,
)
_CONTROLS = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}


class _Refused(ValueError):
    """Go does not compile the expression; the message says why."""


@dataclass
class _Group:
    """What an open group has had so far."""

    repeats: int = 1  # how many times a character in it is repeated at most
    last: int | None = None  # the same for what a repetition would apply to; None if there is nothing

    def repeat(self, found: re.Match[str]) -> int:
        """Apply a repetition; return how many times it repeats a character."""
        if self.last is None:
            raise _Refused(f"{found[0]} has nothing before it to repeat; a wildcard is written .*")
        if found[1] is None:
            return self.last
        least = int(found[1][:9])
        most = int(found[3][:9]) if found[3] else (None if found[2] else least)
        too_often = max(least, most or 0) > MOST_REPEATS
        if too_often or (most is not None and most < least):
            raise _Refused(f"{found[0]} is no valid number of repetitions")
        times = least if most is None else most
        self.last = 1 if most == 0 else self.last * max(times, 1)
        if self.last > MOST_REPEATS:
            raise _Refused(f"{found[0]} makes more than {MOST_REPEATS} repetitions")
        return self.last


@dataclass
class _Expression:
    """The state of reading an expression."""

    text: str
    groups: list[_Group] = field(default_factory=lambda: [_Group()])
    follows_repeat: bool = False

    def read_next(self, position: int) -> int:
        """Read one element of the expression; return where the next begins."""
        followed, self.follows_repeat = self.follows_repeat, False
        group = self.groups[-1]
        if found := _REPEAT.match(self.text, position):
            if followed:
                raise _Refused(f"{found[0]} follows another repetition")
            group.repeats = max(group.repeats, group.repeat(found))
            self.follows_repeat = True
            return found.end() + self.text.startswith("?", found.end())
        match self.text[position]:
            case "(":
                return self.open_group(position)
            case ")":
                if len(self.groups) == 1:
                    raise _Refused("a ) has no opening (")
                inner = self.groups.pop()
                group = self.groups[-1]
                group.repeats, group.last = max(group.repeats, inner.repeats), inner.repeats
                return position + 1
            case "|":
                group.last = None
                return position + 1
        if literals := _LITERALS.match(self.text, position):
            group.last = 1 if literals[1] else group.last
            return literals.end()
        group.last = 1
        if self.text[position] == "[":
            return self.read_class(position)
        if found := _ASSERTION.match(self.text, position) or _CLASS.match(self.text, position):
            return found.end()
        return self.read_character(position)[1]

    def open_group(self, position: int) -> int:
        """Read an opening (; return where what follows it begins."""
        found = _GROUP.match(self.text, position)
        if found is None:
            shown = self.text[position : position + 3]
            raise _Refused(f"{shown} is not supported; Vuls has no lookahead or lookbehind")
        # (?i) changes flags only.
        if found[1] != ")":
            self.groups.append(_Group())
        return found.end()

    def read_class(self, position: int) -> int:
        """Read a class such as [a-z]; return where it ends."""
        text, start = self.text, position
        position += 2 if text.startswith("^", position + 1) else 1
        first = position
        while position == first or not text.startswith("]", position):
            if position >= len(text):
                raise _Refused(f"{text[start:]} has no closing ]")
            if text.startswith("[:", position) and ":]" in text[position + 2 :]:
                named = _NAMED_CLASS.match(text, position)
                if named is None:
                    end = text.index(":]", position + 2) + 2
                    raise _Refused(f"{text[position:end]} is an unknown class")
                position = named.end()
            elif found := _CLASS.match(text, position):
                position = found.end()
            else:
                low, position = self.read_character(position)
                if text.startswith("-", position) and text[position + 1 : position + 2] not in ("", "]"):
                    high, position = self.read_character(position + 1)
                    if high < low:
                        raise _Refused("a range in [ ] ends before it begins")
        return position + 1

    def read_character(self, position: int) -> tuple[int, int]:
        """Return the code of a character, escaped or not, and its end."""
        found = _CHARACTER.match(self.text, position)
        if found is None:
            raise _Refused(f"{self.text[position : position + 2]} is no valid escape")
        if found["octal"]:
            return int(found["octal"], 8), found.end()
        if digits := found["hex"] or found["long"]:
            # Go reads any number of digits.
            if int(digits, 16) > 0x10FFFF:
                raise _Refused(f"{found[0]} is no character")
            return int(digits, 16), found.end()
        if found["control"]:
            return _CONTROLS[found["control"]], found.end()
        return ord(found["plain"] or found["itself"]), found.end()


@functools.lru_cache(maxsize=4096)
def problem(text: str) -> str | None:
    """Return why Go does not compile the expression `text`, or None."""
    state, position = _Expression(text), 0
    try:
        while position < len(text):
            position = state.read_next(position)
    except _Refused as refusal:
        return str(refusal)
    return None if len(state.groups) == 1 else "a closing ) is missing"
