"""Which options of an ssh_config hold for a name: Host blocks, patterns, the first value wins."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from vulsweb.vuls.ssh.lines import Line

# A name that is scanned: it becomes a key of config.toml and the name of a result's file, and Vuls hands it
# to a shell as it is.
ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# These are collected; of all others ssh takes the first.
_COLLECTED = ("identityfile", "certificatefile")
# Of these two, whichever comes first stands, "none" included.
_PROXIES = ("proxycommand", "proxyjump")


@dataclass
class Block:
    """The options behind one Host line; those before the first one hold for every name."""

    patterns: tuple[str, ...]
    line: Line | None = None
    options: list[Line] = field(default_factory=list)

    def holds_for(self, alias: str) -> bool:
        """Return whether ssh uses this block for `alias`: one pattern matches, and no negated one."""
        if any(_matches(alias, pattern[1:]) for pattern in self.patterns if pattern.startswith("!")):
            return False
        return any(_matches(alias, pattern) for pattern in self.patterns if not pattern.startswith("!"))


class Blocks:
    """The whole file; finds the blocks of a name without looking at all of them."""

    def __init__(self, lines: list[Line]) -> None:
        self.all = [Block(("*",))]
        for line in lines:
            if line.keyword == "host":
                self.all.append(Block(line.words, line))
            else:
                self.all[-1].options.append(line)
        self._wide: list[int] = []
        self._found: dict[str, dict[str, list[str]]] = {}
        self._named: dict[str, list[int]] = {}
        for place, block in enumerate(self.all):
            if any(_is_wide(pattern) for pattern in block.patterns if not pattern.startswith("!")):
                self._wide.append(place)
            else:
                for pattern in set(block.patterns):
                    self._named.setdefault(pattern, []).append(place)

    def aliases(self) -> dict[str, Line]:
        """Return the names without wildcards that the file is about, with the line of each, in order."""
        found: dict[str, Line] = {}
        for block in self.all:
            for pattern in block.patterns if block.line else ():
                if block.line and ALIAS.fullmatch(pattern) and block.holds_for(pattern):
                    found.setdefault(pattern, block.line)
        return found

    def effective(self, alias: str) -> dict[str, list[str]]:
        """Return what ssh would use for `alias`: the keywords in lower case with their values."""
        if alias not in self._found:
            self._found[alias] = self._effective(alias)
        return self._found[alias]

    def _effective(self, alias: str) -> dict[str, list[str]]:
        used: dict[str, list[str]] = {}
        for option in self._options(alias):
            keyword = option.keyword
            if keyword in _COLLECTED:
                values = used.setdefault(keyword, [])
                values.extend(word for word in option.words[:1] if word not in values)
            elif keyword in _PROXIES:
                # But for one: behind `ProxyJump none` today's ssh takes a ProxyCommand (see `undecided`).
                jumps = used.get("proxyjump", ["none"])[0].lower() != "none"
                if "proxycommand" not in used and keyword not in used and not jumps:
                    used[keyword] = list(option.words)
            else:
                used.setdefault(keyword, list(option.words))
        name = used.get("hostname", [alias])[0].replace("%h", alias)
        return used | {"hostname": [name], "port": used.get("port", ["22"])}

    def _options(self, alias: str) -> Iterator[Line]:
        for place in sorted({*self._wide, *self._named.get(alias, ())}):
            if self.all[place].holds_for(alias):
                yield from self.all[place].options


def undecided(used: dict[str, list[str]]) -> bool:
    """Return whether versions of ssh differ over the way: a ProxyCommand behind `ProxyJump none`."""
    return "proxyjump" in used and used.get("proxycommand", ["none"])[0].lower() != "none"


def _is_wide(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def _matches(name: str, pattern: str) -> bool:
    # Without classes in brackets, which ssh does not know.
    return fnmatchcase(name, pattern.replace("[", "[[]"))
