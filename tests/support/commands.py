"""The command lines of the documentation, as people copy them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The changelog names commands; it does not show how to call them.
PAGES = [
    *(page for page in ROOT.glob("*.md") if page.name != "CHANGELOG.md"),
    *(ROOT / "docs").rglob("*.md"),
    ROOT / "executor" / "README.md",
]
_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Commands of ours in the text.
_INLINE = re.compile(r"`((?:\.venv/bin/)?vulsweb [^`\n]+|make [a-z][^`\n]*|deploy/[a-z][^`\n]*)`")
_COMMENT = re.compile(r"(?:^|[ ]+)#[ ].*$", re.MULTILINE)
_PIECES = ("|", "&&", ";", "||")


@dataclass(frozen=True)
class Line:
    """One command, without redirections, and the page that has it."""

    page: str
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        """Return the program, such as `make` or `deploy/up`."""
        return self.words[0].removeprefix(".venv/bin/").removeprefix("vulsweb/")

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.words[1:]

    def __str__(self) -> str:
        return " ".join(self.words)


def lines() -> list[Line]:
    """Return every command of every page, once for each page."""
    found: dict[Line, None] = {}
    for page in PAGES:
        text = page.read_text()
        for block in [*_BLOCK.findall(text), *_INLINE.findall(text)]:
            # `<time>` stands for a word that people fill in.
            source = re.sub(r"<([a-z ]+)>", lambda match: match[1].replace(" ", "-"), _COMMENT.sub("", block))
            for words in _commands(source):
                found[Line(str(page.relative_to(ROOT)), words)] = None
    return list(found)


def _commands(source: str) -> list[tuple[str, ...]]:
    commands: list[tuple[str, ...]] = []
    for inner in re.findall(r"\$\(([^()]+)\)", source):
        commands += _commands(inner)
    source = re.sub(r"\$\([^()]+\)", "it", source)
    lexer = shlex.shlex(source.replace("\\\n", " ").replace("\n", ";"), posix=True, punctuation_chars=";|&<>")
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    skip = False
    for token in [*lexer, ";"]:
        if token.strip(";|&") == "":
            if words:
                commands.append(tuple(words))
            words = []
        elif token in ("<", ">", ">>"):
            skip = True
        elif skip:
            skip = False
        elif words or not re.fullmatch(r"[A-Za-z_]+=.*", token):
            words.append(token)
    return commands
