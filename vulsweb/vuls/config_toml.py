"""The shared config.toml: the servers it names, and the first one written for a single machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError

STARTER = """\
# Hosts that Vuls Web scans. Each [servers.NAME] is one host; the executor adds the database
# sections itself for each job. Reference: https://vuls.io/docs/en/config.toml.html

[servers.localhost]
# This very machine, without SSH.
host = "localhost"
port = "local"
scanMode = ["fast"]
"""


class ConfigTomlError(Exception):
    """config.toml cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Server:
    """One server of config.toml."""

    name: str
    host: str
    scan_modes: tuple[str, ...]
    section: Mapping[str, Any]


def parse_servers(text: str) -> list[Server]:
    """Return the servers that `text` defines; raise ConfigTomlError with line and column or the field."""
    try:
        document = tomlkit.parse(text).unwrap()
    except ParseError as error:
        raise ConfigTomlError(f"config.toml, line {error.line}, column {error.col}: {error}") from error
    default = document.get("default", {})
    servers = document.get("servers", {})
    if not isinstance(servers, dict) or not isinstance(default, dict):
        raise ConfigTomlError("config.toml: [servers] and [default] must be tables.")
    return [_server(name, section, default) for name, section in servers.items()]


def _server(name: str, section: object, default: Mapping[str, Any]) -> Server:
    if not isinstance(section, dict):
        raise ConfigTomlError(f"config.toml: [servers.{name}] must be a table.")
    host = section.get("host", "")
    if not isinstance(host, str) or not (host or section.get("type") == "pseudo"):
        raise ConfigTomlError(f"config.toml: [servers.{name}] has no host.")
    modes = section.get("scanMode") or default.get("scanMode") or ["fast"]
    if not isinstance(modes, list) or not all(isinstance(mode, str) for mode in modes):
        raise ConfigTomlError(f"config.toml: scanMode of [servers.{name}] must be a list of words.")
    return Server(name=name, host=host, scan_modes=tuple(modes), section=section)
