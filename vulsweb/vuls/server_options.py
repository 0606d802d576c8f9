"""The options that Vuls v0.26.0 knows in config.toml, with their types.

Vuls ignores the case of an option's name, and options that it does not know. A value of another type refuses
the whole file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Type:
    """A type of values, and how to write one."""

    python: type
    sentence: str

    def accepts(self, value: object) -> bool:
        """Return whether Vuls reads the value as one of this type."""
        if self.python is list:
            return isinstance(value, list) and all(isinstance(each, str) for each in value)
        if self.python is int:
            return type(value) is int and _fits(value)
        return isinstance(value, self.python)


@dataclass(frozen=True)
class Map:
    """A table whose keys are names of the user's own."""

    values: "Kind"


Kind = Type | Map | Mapping[str, "Kind"]

TEXT = Type(str, "must be text, in quotes, such as {key} = {text}")
TEXTS = Type(list, 'must be a list of texts, such as {key} = ["..."]')
FLAG = Type(bool, "must be true or false, without quotes")
NUMBER = Type(int, "must be a whole number, without quotes")

_CONTAINER: Kind = {
    "cpes": TEXTS,
    "owaspdcxmlpath": TEXT,
    "ignorepkgsregexp": TEXTS,
    "ignorecves": TEXTS,
}
_TEXTS = (
    "user",
    "host",
    "port",
    "sshconfigpath",
    "keypath",
    "owaspdcxmlpath",
    "containertype",
    "memo",
    "type",
)
_LISTS = (
    "ignoreipaddresses",
    "jumpserver",
    "cpenames",
    "scanmode",
    "scanmodules",
    "containersincluded",
    "containersexcluded",
    "ignorecves",
    "ignorepkgsregexp",
    "enablerepo",
    "lockfiles",
    "findlockdirs",
    "ignoredjsonkeys",
)
DEFAULT: Mapping[str, Kind] = {
    **dict.fromkeys(_TEXTS, TEXT),
    **dict.fromkeys(_LISTS, TEXTS),
    "containersonly": FLAG,
    "findlock": FLAG,
    "containers": Map(_CONTAINER),
    "githubs": Map({"token": TEXT, "ignoregithubdismissed": FLAG}),
    "uuids": Map(TEXT),
    "wordpress": {"osuser": TEXT, "docroot": TEXT, "cmdpath": TEXT, "nosudo": FLAG},
    "portscan": {
        "scannerbinpath": TEXT,
        "hasprivileged": FLAG,
        "scantechniques": TEXTS,
        "sourceport": TEXT,
    },
    "windows": {"serverselection": NUMBER, "cabpath": TEXT},
}
# Vuls also reads each server in the form of its first version.
SERVER: Mapping[str, Kind] = {**DEFAULT, **dict.fromkeys(("uuid", "winupdatesrc", "cabpath"), TEXT)}
# Tables that are part of a section, not the rest of a name with dots.
TABLES = {name for name, kind in SERVER.items() if not isinstance(kind, Type)} | {"optional"}
# The sections that an executor gives to Vuls besides the server's.
WHOLE_FILE: Mapping[str, Kind] = {
    "version": TEXT,
    "default": DEFAULT,
    "wpscan": {"token": TEXT, "detectinactive": FLAG},
}
# Vuls' other sections, which are not servers without their prefix.
OTHER_SECTIONS = frozenset(
    {
        *(
            "servers",
            "proxy",
            "saas",
            "cvedict",
            "ovaldict",
            "gost",
            "exploit",
            "metasploit",
            "kevuln",
            "cti",
        ),
        *("vuls2", "slack", "email", "http", "syslog", "aws", "azure", "chatwork", "googlechat", "telegram"),
    }
)


class OptionError(ValueError):
    """Vuls would refuse an option; the message names it."""


def check(kind: Mapping[str, Kind], section: Mapping[str, Any]) -> None:
    """Raise OptionError unless Vuls reads the section."""
    for sentence in _problems(kind, section, ""):
        raise OptionError(sentence)


def values(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checked section's options by name in lower case."""
    return {key.lower(): value for key, value in section.items()}


def _problems(kind: Mapping[str, Kind], section: Mapping[str, Any], path: str) -> Iterator[str]:
    seen: dict[str, str] = {}
    for key, value in section.items():
        name = key.lower()
        if (known := kind.get(name)) is None:
            yield from _number_problems(value, path + key)
        elif (other := seen.setdefault(name, key)) != key:
            # Vuls takes either, at random.
            yield f"{path}{other} and {path}{key} are the same option to Vuls; remove one."
        else:
            yield from _value_problems(known, value, path + key)


def _value_problems(kind: Kind, value: object, path: str) -> Iterator[str]:
    if isinstance(kind, Type):
        if not kind.accepts(value):
            key = path.rpartition(".")[2]
            text = str(value).lower() if isinstance(value, bool) else value
            quoted = '"..."' if isinstance(value, list | dict) else f'"{printable(text)}"'
            yield f"{path} {kind.sentence.format(key=key, text=quoted)}."
    elif isinstance(kind, Map):
        if not isinstance(value, dict):
            yield from _number_problems(value, path)  # Vuls ignores it otherwise
            return
        for key, inner in value.items():
            yield from _value_problems(kind.values, inner, f"{path}.{key}")
    elif not isinstance(value, dict):
        yield f"{path} must be a table."
    else:
        yield from _problems(kind, value, f"{path}.")


def _number_problems(value: object, path: str) -> Iterator[str]:
    """Find numbers that the reader of TOML in Vuls cannot hold."""
    if type(value) is int and not _fits(value):
        yield f"{path} is larger than a number can be."
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _number_problems(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _number_problems(inner, path)


def _fits(number: int) -> bool:
    return -(2**63) <= number < 2**63


def printable(value: object) -> str:
    """Return a value for a message."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))[:200]
