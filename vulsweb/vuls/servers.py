"""The servers of config.toml as Vuls v0.26.0 reads them: one host each, or one for each address."""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from vulsweb.vuls import networks
from vulsweb.vuls.config_toml import ConfigTomlError
from vulsweb.vuls.connections import LOCAL_HOSTS, Connections, HostConnection, ReadSshConfig
from vulsweb.vuls.networks import NetworkError

HIDDEN = "(hidden)"
LONGEST_ADDRESS = 253
# One network may have 65,536 addresses; a file of many such is a mistake.
MOST_HOSTS = 100_000
# The executor's rule: a server's name becomes the name of its result file.
_NAME = re.compile(r"(?!\.\.?$)[^/\x00-\x1f\x7f\ud800-\udfff]{1,200}")
_SECRET = re.compile(r"token|passw|secret|apikey|api_key|passphrase", re.IGNORECASE)
_TEXTS = ("host", "user", "port", "sshconfigpath", "keypath", "type", "memo", "containertype")
_LISTS = (
    "jumpserver",
    "ignoreipaddresses",
    "scanmode",
    "scanmodules",
    "cpenames",
    "ignorecves",
    "ignorepkgsregexp",
    "containersincluded",
    "containersexcluded",
    "lockfiles",
)
_DEPTHS = ("fast", "fast-root", "deep")
_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
_END = re.compile(r"\(at end of document\)")


@dataclass(frozen=True)
class Server:
    """One host: a server of config.toml, or one address of a network that stands there."""

    name: str  # the name under which Vuls files its result
    entry: str  # the name of its [servers] section, by which a scan asks for it
    address: str
    connection: HostConnection
    scan_modes: tuple[str, ...]
    section: Mapping[str, Any]  # as JSON can hold it, without secrets


@dataclass(frozen=True)
class ServerError:
    """Why an entry of [servers] cannot be used."""

    entry: str
    message: str


@dataclass(frozen=True)
class Reading:
    """What a config.toml says of its servers."""

    servers: Sequence[Server]
    errors: Sequence[ServerError]


class _Wrong(ValueError):
    """A section cannot be used; the message goes on after the entry's name."""


def read(text: str, read_ssh_config: ReadSshConfig = lambda _: None) -> Reading:
    """Return the servers of `text`, and a sentence for each entry that Vuls would refuse.

    `read_ssh_config` gives the text of an ssh_config that we wrote, by path. Raise ConfigTomlError, with line
    and column, for a file that is not TOML.
    """
    document = _parsed(text)
    default = _table(document, "default")
    try:
        _check_types(default)
    except _Wrong as error:
        # Vuls would refuse the whole file.
        raise ConfigTomlError(f"config.toml: [default]: {error}") from error
    connections = Connections(read_ssh_config)
    servers: dict[str, Server] = {}
    errors: list[ServerError] = []
    for entry, section in _table(document, "servers").items():
        try:
            made = _servers(entry, section, default, connections)
            if twice := next((each.name for each in made if each.name in servers), None):
                raise _Wrong(f"another entry already stands for {twice!r}.")
            if len(servers) + len(made) > MOST_HOSTS:
                raise _Wrong(f"config.toml names more than {MOST_HOSTS:,} hosts with it.")
        except (_Wrong, NetworkError) as error:
            errors.append(ServerError(_storable(entry), f"[servers.{_shown(entry)}]: {error}"))
        else:
            servers.update((each.name, each) for each in made)
    return Reading(list(servers.values()), errors)


def _parsed(text: str) -> Mapping[str, Any]:
    # tomlkit keeps comments, which only writing needs, and takes a minute for what this reads in a second.
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigTomlError(_with_place(str(error), text)) from error
    except RecursionError as error:
        raise ConfigTomlError("config.toml: lists or tables are nested too deeply.") from error


def _with_place(said: str, text: str) -> str:
    """Return what the parser said with line and column in front."""
    lines = text.split("\n")
    line, column = len(lines), len(lines[-1]) + 1
    if place := _PLACE.search(said):
        line, column = int(place[1]), int(place[2])
    what = _END.sub("", _PLACE.sub("", said)).strip()
    return f"config.toml, line {line}, column {column}: {what or 'it ends too early'}."


def _table(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = _value(document, name, {})
    if not isinstance(found, dict):
        raise ConfigTomlError(f"config.toml: [{name}] must be a table.")
    return found


def _value(section: Mapping[str, Any], name: str, otherwise: Any = None) -> Any:
    # Vuls reads its keys without regard to case, the exact spelling first.
    return next((value for key, value in section.items() if key.lower() == name), otherwise)


def _servers(
    entry: str, section: object, default: Mapping[str, Any], connections: Connections
) -> list[Server]:
    if not _NAME.fullmatch(entry):
        raise _Wrong("a name has 1 to 200 characters, without slash or control characters.")
    if not isinstance(section, dict):
        raise _Wrong("it must be a table.")
    _check_types(section)
    host, modes = _host(section), _scan_modes(section, default)
    way = connections.way(_lower(section), _lower(default))
    kept = _kept("", section)
    found = {entry: way.address}
    if networks.is_network(host):
        ignored = _value(section, "ignoreipaddresses", [])
        found = {f"{entry}({each})": each for each in networks.addresses(host, ignored)}
    return [Server(name, entry, address, way.connection, modes, kept) for name, address in found.items()]


def _lower(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key.lower(): value for key, value in section.items()}


def _check_types(section: Mapping[str, Any]) -> None:
    for key, value in section.items():
        if key.lower() in _TEXTS and not isinstance(value, str):
            raise _Wrong(f'{key} must be text, in quotes, such as {key} = "{_shown(value)}".')
        texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
        if key.lower() in _LISTS and not texts:
            raise _Wrong(f'{key} must be a list of texts, such as {key} = ["..."].')


def _host(section: Mapping[str, Any]) -> str:
    host = str(_value(section, "host", ""))
    if not host and _value(section, "type") != "pseudo":
        raise _Wrong("host is missing.")
    if len(host) > LONGEST_ADDRESS or not host.isprintable():
        raise _Wrong(f"host has at most {LONGEST_ADDRESS} characters, without control characters.")
    if _value(section, "port") == "local" and host not in LOCAL_HOSTS:
        raise _Wrong('port = "local" goes with host = "localhost" or "127.0.0.1" alone.')
    return host


def _scan_modes(section: Mapping[str, Any], default: Mapping[str, Any]) -> tuple[str, ...]:
    modes = _value(section, "scanmode") or _value(default, "scanmode") or ["fast"]
    if not isinstance(modes, list):
        raise _Wrong("scanMode of [default] must be a list of words.")
    words = tuple(dict.fromkeys(str(mode).lower() for mode in modes))
    if unknown := [word for word in words if word not in (*_DEPTHS, "offline")]:
        raise _Wrong(f"scanMode knows fast, fast-root, deep and offline, not {_shown(unknown[0])!r}.")
    if len(set(words) & set(_DEPTHS)) > 1:
        raise _Wrong("scanMode can hold one of fast, fast-root and deep.")
    if {"deep", "offline"} <= set(words):
        raise _Wrong("scanMode deep and offline exclude each other.")
    return words


def _kept(name: str, value: Any) -> Any:
    """Return a value as the database can hold it, or what stands for it."""
    if _SECRET.search(name) and not isinstance(value, dict):
        return HIDDEN
    if isinstance(value, dict):
        return {_storable(str(key)): _kept(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_kept("", inner) for inner in value]
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, date | time):
        return value.isoformat()
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def _storable(text: str) -> str:
    # PostgreSQL's text cannot hold NUL.
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _shown(value: object) -> str:
    text = str(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)[:200]
