"""The servers of config.toml, as Vuls v0.26.0 reads them."""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from vulsweb.vuls import networks
from vulsweb.vuls.config_toml import ConfigTomlError
from vulsweb.vuls.connections import LOCAL_HOSTS, HostConnection, ReadSshConfig, RouteFinder
from vulsweb.vuls.networks import NetworkError

HIDDEN = "(hidden)"
LONGEST_ADDRESS = 253
# One network can have 65,536 addresses; a file with several of those is a mistake.
MOST_HOSTS = 100_000
# The executor's rule, because a server's name becomes the name of its result file.
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
_POSITION = re.compile(r"\(at line (\d+), column (\d+)\)")
_END = re.compile(r"\(at end of document\)")


@dataclass(frozen=True)
class Server:
    """A host: a server of config.toml, or an address of one."""

    name: str  # under which Vuls stores its result
    entry: str  # the name of its [servers] section, by which scans request it
    address: str
    connection: HostConnection
    scan_modes: tuple[str, ...]
    section: Mapping[str, Any]  # in values of JSON, without secrets


@dataclass(frozen=True)
class ServerError:
    """An entry of [servers] that cannot be used, and why."""

    entry: str
    message: str


@dataclass(frozen=True)
class ParsedServers:
    """The servers of a config.toml, and its wrong entries."""

    servers: Sequence[Server]
    errors: Sequence[ServerError]


class _SectionError(ValueError):
    """A section cannot be used; the message follows the section's name."""


def read(text: str, read_ssh_config: ReadSshConfig = lambda _: None) -> ParsedServers:
    """Return the servers of `text`, and errors for entries Vuls would reject.

    `read_ssh_config` returns the text of a managed ssh_config, by path. Raises ConfigTomlError, with line and
    column, for a file that is not TOML.
    """
    document = _parse_toml(text)
    default = _table(document, "default")
    try:
        _check_types(default)
    except _SectionError as error:
        # Vuls would reject the whole file.
        raise ConfigTomlError(f"config.toml: [default]: {error}") from error
    routes = RouteFinder(read_ssh_config)
    servers: dict[str, Server] = {}
    errors: list[ServerError] = []
    for entry, section in _table(document, "servers").items():
        try:
            added = _servers_of(entry, section, default, routes)
            if duplicate := next((each.name for each in added if each.name in servers), None):
                raise _SectionError(f"another entry already defines {duplicate!r}; rename one of them.")
            if len(servers) + len(added) > MOST_HOSTS:
                raise _SectionError(f"config.toml has more than {MOST_HOSTS:,} hosts; remove this or others.")
        except (_SectionError, NetworkError) as error:
            errors.append(ServerError(_storable(entry), f"[servers.{_printable(entry)}]: {error}"))
        else:
            servers.update((each.name, each) for each in added)
    return ParsedServers(list(servers.values()), errors)


def _parse_toml(text: str) -> Mapping[str, Any]:
    # Not tomlkit: it keeps comments, which only writing needs, and takes a minute instead of a second.
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        lines = text.split("\n")
        line, column = len(lines), len(lines[-1]) + 1
        if position := _POSITION.search(str(error)):
            line, column = int(position[1]), int(position[2])
        message = _END.sub("", _POSITION.sub("", str(error))).strip() or "the file ends too early"
        raise ConfigTomlError(f"config.toml, line {line}, column {column}: {message}.") from error
    except RecursionError as error:
        raise ConfigTomlError("config.toml: lists or tables are nested too deeply.") from error


def _table(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = _value(document, name, {})
    if not isinstance(found, dict):
        raise ConfigTomlError(f"config.toml: [{name}] must be a table.")
    return found


def _value(section: Mapping[str, Any], name: str, default: Any = None) -> Any:
    # Vuls ignores the case of keys.
    return next((value for key, value in section.items() if key.lower() == name), default)


def _check_types(section: Mapping[str, Any]) -> None:
    for key, value in section.items():
        if key.lower() in _TEXTS and not isinstance(value, str):
            raise _SectionError(f'{key} must be text, in quotes, such as {key} = "{_printable(value)}".')
        is_list_of_texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
        if key.lower() in _LISTS and not is_list_of_texts:
            raise _SectionError(f'{key} must be a list of texts, such as {key} = ["..."].')


def _servers_of(entry: str, section: object, default: Mapping[str, Any], routes: RouteFinder) -> list[Server]:
    if not _NAME.fullmatch(entry):
        raise _SectionError("the name must have 1 to 200 characters, without slashes or control characters.")
    if not isinstance(section, dict):
        raise _SectionError("this must be a table.")
    _check_types(section)
    host = str(_value(section, "host", ""))
    if not host and _value(section, "type") != "pseudo":
        raise _SectionError('host is missing; add a name or address, such as host = "192.0.2.1".')
    if len(host) > LONGEST_ADDRESS or not host.isprintable():
        raise _SectionError(f"host must have at most {LONGEST_ADDRESS} characters, all of them printable.")
    if _value(section, "port") == "local" and host not in LOCAL_HOSTS:
        raise _SectionError('port = "local" needs host = "localhost" or host = "127.0.0.1".')
    modes = _scan_modes(section, default)
    route = routes.find(*({key.lower(): value for key, value in each.items()} for each in (section, default)))
    addresses = {entry: route.address}
    if networks.is_network(host):
        ignored = _value(section, "ignoreipaddresses", [])
        addresses = {f"{entry}({each})": each for each in networks.addresses(host, ignored)}
    stored = _without_secrets("", section)
    return [
        Server(name, entry, address, route.connection, modes, stored) for name, address in addresses.items()
    ]


def _scan_modes(section: Mapping[str, Any], default: Mapping[str, Any]) -> tuple[str, ...]:
    modes = _value(section, "scanmode") or _value(default, "scanmode") or ["fast"]
    words = tuple(dict.fromkeys(mode.lower() for mode in modes))
    if unknown := [word for word in words if word not in (*_DEPTHS, "offline")]:
        raise _SectionError(
            f"scanMode can be fast, fast-root, deep or offline, not {_printable(unknown[0])!r}."
        )
    if len(set(words) & set(_DEPTHS)) > 1:
        raise _SectionError("scanMode can have only one of fast, fast-root and deep.")
    if {"deep", "offline"} <= set(words):
        raise _SectionError("scanMode cannot have both deep and offline.")
    return words


def _without_secrets(name: str, value: Any) -> Any:
    """Return a value of the section for JSON, with secrets hidden."""
    if _SECRET.search(name) and not isinstance(value, dict):
        return HIDDEN
    if isinstance(value, dict):
        return {_storable(str(key)): _without_secrets(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_secrets("", inner) for inner in value]
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, date | time):
        return value.isoformat()
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def _storable(text: str) -> str:
    # PostgreSQL cannot store NUL.
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _printable(value: object) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))[:200]
