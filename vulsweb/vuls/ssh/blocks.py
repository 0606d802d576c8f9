"""Host blocks of an ssh_config, and which options apply to a name."""

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from vulsweb.vuls.ssh.lines import Line, Refusal
from vulsweb.vuls.ssh.proxy import jump_hosts, proxy_of

# The name of a scanned host. It becomes a key of config.toml and the name of a result file, and Vuls passes
# it to a shell without quotes.
ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# ssh uses all values of these, and the first value of all others.
_COLLECTED = ("identityfile", "certificatefile")
# Of these, none sets nothing for ssh: a later value holds.
_TIMES = ("connecttimeout", "serveraliveinterval")
# ssh uses the first of these two, even when its value is "none".
_PROXIES = ("proxycommand", "proxyjump")


@dataclass
class Block:
    """A Host line's options; those before the first apply to all."""

    patterns: tuple[str, ...]
    line: Line | None = None
    options: list[Line] = field(default_factory=list)

    def applies_to(self, alias: str) -> bool:
        """Return whether a pattern matches, and no negated one does."""
        if any(_matches(alias, pattern[1:]) for pattern in self.patterns if pattern.startswith("!")):
            return False
        return any(_matches(alias, pattern) for pattern in self.patterns if not pattern.startswith("!"))


class Blocks:
    """All blocks of a file, indexed by name."""

    def __init__(self, lines: list[Line]) -> None:
        self.all = [Block(("*",))]
        for line in lines:
            if line.keyword == "host":
                self.all.append(Block(line.words, line))
            elif line.keyword not in _TIMES or line.words != ("none",):
                self.all[-1].options.append(line)
        self._effective: dict[str, dict[str, list[str]]] = {}
        self._with_wildcards: list[int] = []
        self._by_name: dict[str, list[int]] = {}
        for index, block in enumerate(self.all):
            positive = [pattern for pattern in block.patterns if not pattern.startswith("!")]
            if any("*" in pattern or "?" in pattern for pattern in positive):
                self._with_wildcards.append(index)
            else:
                for pattern in set(block.patterns):
                    self._by_name.setdefault(pattern, []).append(index)

    def aliases(self) -> dict[str, Line]:
        """Return names without wildcards, with their lines, in the file's order."""
        found: dict[str, Line] = {}
        for block in self.all:
            for pattern in block.patterns if block.line else ():
                if block.line and ALIAS.fullmatch(pattern) and block.applies_to(pattern):
                    found.setdefault(pattern, block.line)
        return found

    def jump_hosts(self) -> list[str]:
        """Return the names through which other hosts are reached."""
        jumps = (jump_hosts(proxy_of(self.effective(alias)).jump) for alias in self.aliases())
        return list(dict.fromkeys(hop for hops in jumps for hop in hops))

    def effective(self, alias: str) -> dict[str, list[str]]:
        """Return the options that ssh uses, by keyword in lower case."""
        if alias in self._effective:
            return self._effective[alias]
        used: dict[str, list[str]] = {}
        indexes = sorted({*self._with_wildcards, *self._by_name.get(alias, ())})
        blocks = [self.all[index] for index in indexes if self.all[index].applies_to(alias)]
        for option in (option for block in blocks for option in block.options):
            keyword = option.keyword
            if keyword in _COLLECTED:
                values = used.setdefault(keyword, [])
                values.extend(word for word in option.words[:1] if word not in values)
            elif keyword in _PROXIES:
                # One exception: after `ProxyJump none`, newer versions of ssh use a ProxyCommand. The result
                # has both then (see `is_ambiguous`).
                jumps = used.get("proxyjump", ["none"])[0].lower() != "none"
                if "proxycommand" not in used and keyword not in used and not jumps:
                    used[keyword] = list(option.words)
            else:
                used.setdefault(keyword, list(option.words))
        tokens = {"%h": alias, "%%": "%"}  # the second in zones of addresses: fe80::1%%eth0
        hostname = re.sub("%[h%]", lambda token: tokens[token[0]], used.get("hostname", [alias])[0])
        used |= {"hostname": [hostname], "port": used.get("port", ["22"])}
        self._effective[alias] = used
        return used

    def refusals(self) -> list[Refusal]:
        """Refuse ambiguous proxies, and jumps in a circle, which never end."""
        refusals = []
        names = self.aliases()
        if not names:
            # Nothing is scanned yet, but what the file says of every host must hold for the first one.
            first = next((option for block in self.all for option in block.options), None)
            names = {"any host": first} if first else {}
        for alias, line in names.items():
            path, reason = [alias], ""
            while not reason:
                options = self.effective(path[-1])
                hop = next(iter(jump_hosts(proxy_of(options).jump)), "")
                proxies = options.get("proxyjump", []) + options.get("proxycommand", [])
                if "\\" in options.get("user", [""])[0] and any("%r" in proxy for proxy in proxies):
                    reason = f"A shell would lose the backslash in the user of {path[-1]}; leave out %r."
                elif is_ambiguous(options):
                    reason = (
                        f"{path[-1]} has both ProxyJump none and a ProxyCommand; put the ProxyCommand above."
                    )
                elif hop in path:
                    advice = "Write ProxyJump none in a Host block of its own, above the others."
                    reason = f"{hop} would be reached through itself. {advice}"
                elif not hop:
                    break
                path.append(hop)
            if reason:
                refusals.append(line.refusal(reason))
        return refusals


def is_ambiguous(options: dict[str, list[str]]) -> bool:
    """Return whether versions of ssh disagree: a ProxyCommand follows `ProxyJump none`."""
    return "proxyjump" in options and options.get("proxycommand", ["none"])[0].lower() != "none"


def _matches(name: str, pattern: str) -> bool:
    # ssh has no character classes in brackets.
    return fnmatchcase(name, pattern.replace("[", "[[]"))
