"""Terminal escape sequences in log lines, turned into styled spans."""

import re
from dataclasses import dataclass, replace

# No escape contains a line break, so splitting into lines before or after gives the same result.
ESCAPE = re.compile(r"\x1b(?:\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")
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
    """Split a line into spans; every line begins without a style."""
    found, style, at = [], Style(), 0
    line = line.rstrip("\r").rpartition("\r")[2]
    for escape in ESCAPE.finditer(line):
        found.append(Span(_printable(line[at : escape.start()]), style.classes))
        at = escape.end()
        if escape[0].startswith("\x1b[") and escape[0].endswith("m"):
            style = _apply_codes(style, escape[0][2:-1])
    found.append(Span(_printable(line[at:]), style.classes))
    return [span for span in found if span.text]


def marked(line: list[Span], words: str) -> list[Span]:
    """Return the line with each occurrence of the words marked, ignoring case."""
    text = "".join(span.text for span in line).lower()
    if len(text) != sum(len(span.text) for span in line):
        return line  # some letters become two in lower case, which shifts all positions after them
    matches = [match.span() for match in re.finditer(re.escape(words.lower()), text)]
    cuts = sorted({cut for match in matches for cut in match})
    result, at = [], 0
    for span in line:
        inside = [cut - at for cut in cuts if at < cut < at + len(span.text)]
        for begin, end in zip([0, *inside], [*inside, len(span.text)], strict=True):
            within = any(first <= at + begin < last for first, last in matches)
            result.append(replace(span, text=span.text[begin:end], marked=within))
        at += len(span.text)
    return result


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
