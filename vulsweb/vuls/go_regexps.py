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


@dataclass
class _Expression:
    """The state of reading an expression."""

    groups: list[_Group] = field(default_factory=lambda: [_Group()])
    follows_repeat: bool = False


@functools.lru_cache(maxsize=4096)
def problem(text: str) -> str | None:
    """Return why Go does not compile the expression `text`, or None."""
    state, position = _Expression(), 0
    try:
        while position < len(text):
            position = _read_next(state, text, position)
    except _Refused as refusal:
        return str(refusal)
    return None if len(state.groups) == 1 else "a closing ) is missing"


def _read_next(state: _Expression, text: str, position: int) -> int:
    """Read one element of the expression; return where the next begins."""
    followed, state.follows_repeat = state.follows_repeat, False
    group = state.groups[-1]
    if found := _REPEAT.match(text, position):
        if followed:
            raise _Refused(f"{found[0]} follows another repetition")
        group.repeats = max(group.repeats, _repeat(group, found))
        state.follows_repeat = True
        return found.end() + text.startswith("?", found.end())
    match text[position]:
        case "(":
            return _open_group(state, text, position)
        case ")":
            if len(state.groups) == 1:
                raise _Refused("a ) has no opening (")
            inner = state.groups.pop()
            group = state.groups[-1]
            group.repeats, group.last = max(group.repeats, inner.repeats), inner.repeats
            return position + 1
        case "|":
            group.last = None
            return position + 1
    if literals := _LITERALS.match(text, position):
        group.last = 1 if literals[1] else group.last
        return literals.end()
    group.last = 1
    if text[position] == "[":
        return _read_class(text, position)
    if found := _ASSERTION.match(text, position) or _CLASS.match(text, position):
        return found.end()
    return _read_character(text, position)[1]


def _repeat(group: _Group, found: re.Match[str]) -> int:
    """Apply a repetition; return how many times it repeats a character."""
    if group.last is None:
        raise _Refused(f"{found[0]} has nothing before it to repeat; a wildcard is written .*")
    if found[1] is None:
        return group.last
    least = int(found[1][:9])
    most = int(found[3][:9]) if found[3] else (None if found[2] else least)
    too_often = max(least, most or 0) > MOST_REPEATS
    if too_often or (most is not None and most < least):
        raise _Refused(f"{found[0]} is no valid number of repetitions")
    times = least if most is None else most
    group.last = 1 if most == 0 else group.last * max(times, 1)
    if group.last > MOST_REPEATS:
        raise _Refused(f"{found[0]} makes more than {MOST_REPEATS} repetitions")
    return group.last


def _open_group(state: _Expression, text: str, position: int) -> int:
    found = _GROUP.match(text, position)
    if found is None:
        raise _Refused(
            f"{text[position : position + 3]} is not supported; Vuls has no lookahead or lookbehind"
        )
    # (?i) changes flags only.
    if found[1] != ")":
        state.groups.append(_Group())
    return found.end()


def _read_class(text: str, position: int) -> int:
    """Read a class such as [a-z]; return where it ends."""
    start = position
    position += 2 if text.startswith("^", position + 1) else 1
    first = position
    while position == first or not text.startswith("]", position):
        if position >= len(text):
            raise _Refused(f"{text[start:]} has no closing ]")
        if text.startswith("[:", position) and ":]" in text[position + 2 :]:
            named = _NAMED_CLASS.match(text, position)
            if named is None:
                raise _Refused(f"{text[position : text.index(':]', position + 2) + 2]} is an unknown class")
            position = named.end()
        elif found := _CLASS.match(text, position):
            position = found.end()
        else:
            low, position = _read_character(text, position)
            if text.startswith("-", position) and text[position + 1 : position + 2] not in ("", "]"):
                high, position = _read_character(text, position + 1)
                if high < low:
                    raise _Refused("a range in [ ] ends before it begins")
    return position + 1


def _read_character(text: str, position: int) -> tuple[int, int]:
    """Return the code of a character, escaped or not, and its end."""
    found = _CHARACTER.match(text, position)
    if found is None:
        raise _Refused(f"{text[position : position + 2]} is no valid escape")
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
