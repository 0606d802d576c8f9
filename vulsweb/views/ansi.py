"""Terminal escape sequences in log lines, turned into styled spans."""

import itertools
import re
from collections import deque
from dataclasses import dataclass, replace

# No escape contains a line break, so splitting into lines before or after gives the same result.
ESCAPE = re.compile(r"\x1b(?:\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")
# What a page shows of one line. A scanned host writes lines too, and each span and mark is an element.
MOST_SPANS = 100
MOST_MARKS = 100
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


@dataclass(frozen=True)
class Style:
    """A text style.

    Background colours are ignored, so that text is readable in both themes.
    """

    colour: str = ""
    weight: str = ""

    @property
    def classes(self) -> str:
        """Return the CSS classes of the style."""
        return " ".join(f"ansi-{word}" for word in (self.colour, self.weight) if word)


@dataclass(frozen=True)
class Span:
    """Text with one style."""

    text: str
    style: str = ""
    marked: bool = False


def plain(text: str) -> str:
    """Remove escapes, and all text that a carriage return overwrites."""
    text = ESCAPE.sub("", text)
    if "\r" not in text:
        return text
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def readable(line: str) -> str:
    """Return a line as printable text without colours."""
    return _printable(plain(line))


def spans(line: str) -> list[Span]:
    """Split a line into spans; every line begins without a style.

    A line of too many spans ends as plain text.
    """
    found: list[Span] = []
    style, at = Style(), 0
    line = line.rstrip("\r").rpartition("\r")[2]
    for escape in ESCAPE.finditer(line):
        if escape.start() > at:
            found.append(Span(_printable(line[at : escape.start()]), style.classes))
        at = escape.end()
        if len(found) == MOST_SPANS:
            return [*found, Span(_printable(ESCAPE.sub("", line[at:])))]
        if escape[0].startswith("\x1b[") and escape[0].endswith("m"):
            style = _apply_codes(style, escape[0][2:-1])
    found.append(Span(_printable(line[at:]), style.classes))
    return [span for span in found if span.text]


def marked(line: list[Span], words: str) -> list[Span]:
    """Return the line with the words marked, the first times, ignoring case."""
    text = "".join(span.text for span in line).lower()
    if len(text) != sum(len(span.text) for span in line):
        return line  # some letters become two in lower case, which shifts all positions after them
    found = itertools.islice(re.finditer(re.escape(words.lower()), text), MOST_MARKS)
    # Where a mark begins or ends; between them, each second piece is marked.
    cuts = deque(cut for match in found for cut in match.span())
    result, at, within = [], 0, False
    for span in line:
        end = at + len(span.text)
        begin = at
        while cuts and cuts[0] < end:
            cut = cuts.popleft()
            result.append(replace(span, text=span.text[begin - at : cut - at], marked=within))
            begin, within = cut, not within
        result.append(replace(span, text=span.text[begin - at :], marked=within))
        at = end
    return [span for span in result if span.text]


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _apply_codes(style: Style, codes: str) -> Style:
    numbers = iter([int(code) if code.isdecimal() and len(code) < 4 else 0 for code in codes.split(";")])
    for number in numbers:
        if number == 0:
            style = Style()
        elif number in (1, 2, 22):
            style = replace(style, weight={1: "bold", 2: "dim", 22: ""}[number])
        elif number in (38, 48):
            # Of the 256 colours only the first 16 have names; those given as RGB have none.
            kind = next(numbers, 0)
            values = [next(numbers, 0) for _ in range({5: 1, 2: 3}.get(kind, 0))]
            if number == 38:
                named = kind == 5 and values[0] < 16
                style = replace(style, colour=_COLOURS[values[0] % 8] if named else "")
        elif 30 <= number <= 39 or 90 <= number <= 97:
            style = replace(style, colour=_COLOURS[number % 10] if number != 39 else "")
    return style
