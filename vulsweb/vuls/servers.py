"""The servers of config.toml, as Vuls v0.26.0 reads them."""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from vulsweb.vuls import networks, server_options, server_values
from vulsweb.vuls.config_toml import BYTE_ORDER_MARK, ConfigTomlError
from vulsweb.vuls.connections import LOCAL_HOSTS, HasKey, HostConnection, ReadSshConfig, RouteFinder
from vulsweb.vuls.networks import NetworkError
from vulsweb.vuls.server_options import OptionError, printable

HIDDEN = "(hidden)"
LONGEST_ADDRESS = 253
# One network can have 65,536 addresses; a file with several of those is a mistake.
MOST_HOSTS = 100_000
# The executor's rule, because a server's name becomes the name of its result file.
_NAME = re.compile(r"(?!\.\.?$)[^/\x00-\x1f\x7f\ud800-\udfff]{1,200}")
_SECRET = re.compile(r"token|passw|secret|apikey|api_key|passphrase", re.IGNORECASE)
_POSITION = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)")
_VULS_SECTIONS = server_options.OTHER_SECTIONS | set(server_options.WHOLE_FILE)


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
    # Why Vuls finds nothing to scan in the file, or None if it names a server.
    no_server: str | None = None


def read(
    text: str, read_ssh_config: ReadSshConfig = lambda _: None, has_key: HasKey = lambda _: True
) -> ParsedServers:
    """Return the servers of `text`, and errors for entries Vuls would reject.

    `read_ssh_config` returns the text of a managed ssh_config, by path. Raises ConfigTomlError, with line and
    column, for a file that is not TOML, and for one whose other sections Vuls would reject.
    """
    # Not tomlkit: it keeps comments, which only writing needs, and takes a minute instead of a second.
    try:
        document = tomllib.loads(text.removeprefix(BYTE_ORDER_MARK))
    except tomllib.TOMLDecodeError as error:
        lines, found = text.split("\n"), _POSITION.search(str(error))
        line, column = found.groups() if found and found[1] else (len(lines), len(lines[-1]) + 1)
        message = _POSITION.sub("", str(error)).strip() or "the file ends too early"
        raise ConfigTomlError(f"config.toml, line {line}, column {column}: {message}.") from error
    except RecursionError as error:
        raise ConfigTomlError("config.toml: lists or tables are nested too deeply.") from error
    default = server_options.values(_whole_file(document).get("default", {}))
    routes = RouteFinder(read_ssh_config, has_key)
    servers: dict[str, Server] = {}
    entries, errors = _entries(document)
    for entry, section in entries.items():
        try:
            added = _servers_of(entry, section, default, routes)
            if duplicate := next((each.name for each in added if each.name in servers), None):
                raise OptionError(f"another entry already defines {duplicate!r}; rename one of them.")
            if len(servers) + len(added) > MOST_HOSTS:
                raise OptionError(f"config.toml has more than {MOST_HOSTS:,} hosts; remove this or others.")
        except (OptionError, NetworkError) as error:
            errors.append(ServerError(_storable(entry), f"[servers.{printable(entry)}]: {error}"))
        else:
            servers.update((each.name, each) for each in added)
    no_server = None
    if not entries:
        stray = " ".join(error.message for error in errors) or "A server is a section [servers.NAME]."
        no_server = f"config.toml names no server. {stray}"
    return ParsedServers(list(servers.values()), errors, no_server)


def _whole_file(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Vuls reads for every server.

    Raise ConfigTomlError if it would refuse that.
    """
    merged: dict[str, Any] = {}
    for key, value in document.items():
        name = key.lower()
        if name not in server_options.WHOLE_FILE:
            continue
        kind, where = server_options.WHOLE_FILE[name], ""
        try:
            if isinstance(kind, Mapping) and isinstance(value, dict):
                # Vuls reads [default] and [Default] as one.
                where, first = f"[{name}]: ", merged.get(name, {})
                if twice := next((option for option in value if option in first), None):
                    raise OptionError(f"{printable(twice)} is there twice; remove one.")
                merged[name] = first | value
                server_options.check(kind, merged[name])
            else:
                merged[name] = value
                server_options.check(server_options.WHOLE_FILE, {name: value})
        except OptionError as error:
            raise ConfigTomlError(f"config.toml: {where}{error}") from error
    return merged


def _entries(document: Mapping[str, Any]) -> tuple[dict[str, Any], list[ServerError]]:
    """Return the sections of servers, and errors for misplaced ones."""
    entries: dict[str, Any] = {}
    errors: list[ServerError] = []
    for key, value in document.items():
        name = key.lower()
        if name == "servers":
            if not isinstance(value, dict):
                raise ConfigTomlError(f"config.toml: [{key}] must be a table.")
            if twice := next((entry for entry in value if entry in entries), None):
                raise ConfigTomlError(f"config.toml: [{key}.{printable(twice)}] is there twice; remove one.")
            entries |= value
        elif isinstance(value, dict) and "host" in value and name not in _VULS_SECTIONS:
            quoted = key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'"{printable(key)}"'
            message = f"[{printable(key)}] is no server for Vuls; write [servers.{quoted}]."
            errors.append(ServerError(_storable(key), message))
    return entries, errors


def _servers_of(entry: str, section: object, default: Mapping[str, Any], routes: RouteFinder) -> list[Server]:
    if not _NAME.fullmatch(entry):
        raise OptionError("the name must have 1 to 200 characters, without slashes or control characters.")
    if not isinstance(section, dict):
        raise OptionError("this must be a table.")
    server_options.check(server_options.SERVER, section)
    own = server_options.values(section)
    host = str(own.get("host", ""))
    if not host and own.get("type") != "pseudo":
        raise OptionError(f"host is missing; {_host_advice(entry, section)}")
    if len(host) > LONGEST_ADDRESS or not host.isprintable():
        raise OptionError(f"host must have at most {LONGEST_ADDRESS} characters, all of them printable.")
    if own.get("port") == "local" and host not in LOCAL_HOSTS:
        raise OptionError('port = "local" needs host = "localhost" or host = "127.0.0.1".')
    modes = server_values.scan_modes(own, default)
    server_values.check(own, default)
    if key := routes.missing_key(own, default):
        place = "" if own.get("keypath") else " of [default], which Vuls uses for this host too,"
        raise OptionError(f"keyPath{place} is {printable(key)}, but there is no such file.")
    route = routes.find(own, default)
    ignored = own.get("ignoreipaddresses", [])
    if networks.is_network(host):
        addresses = {f"{entry}({each})": each for each in networks.addresses(host, ignored)}
    else:
        networks.check_ignored(host, ignored)
        addresses = {entry: route.address}
    stored = _without_secrets("", section)
    return [
        Server(name, entry, address, route.connection, modes, stored) for name, address in addresses.items()
    ]


def _host_advice(entry: str, section: Mapping[str, Any]) -> str:
    """Return what to write: a host, or quotes around the name."""
    path, table = [entry], section
    while "host" not in table:
        inner = ((key, value) for key, value in table.items() if isinstance(value, dict))
        found = next((each for each in inner if each[0].lower() not in server_options.TABLES), None)
        if found is None:
            return 'add a name or address, such as host = "192.0.2.1".'
        path.append(found[0])
        table = found[1]
    # TOML reads a name with dots as tables within tables.
    return f'put a name with dots in quotes: [servers."{printable(".".join(path))}"].'


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
