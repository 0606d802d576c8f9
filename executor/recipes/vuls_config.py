"""Makes a job's config.toml for its servers from the shared one.

This module is pure.
"""

import functools
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from executor.databases.catalogue import VULS2
from executor.requests import InvalidError

# The sections of the shared file that Vuls needs besides the servers. The rest (mail, chat, upload) would
# only put its secrets into the job's folder.
KEPT_SECTIONS = ("version", "default", "wpscan")
# What a scan runs as, on a host with and without internet access: a fast scan is fast even where the shared
# file says deep. Vuls refuses deep together with offline. A connection test uses the mode of the file.
SCAN_MODES = {
    "fast": {False: ["fast"], True: ["fast", "offline"]},
    "full": {False: ["deep"], True: ["fast-root", "offline"]},
}
# Vuls creates an empty database, in its working directory, for each dictionary without a path.
SMALL_DICTIONARIES = ("exploit", "metasploit", "kevuln", "cti")


def check_servers(shared: str, servers: Sequence[str]) -> None:
    """Raise InvalidError unless every server is in the shared config.toml."""
    known = _servers(_parse(shared))
    unknown = [name for name in servers if name not in known]
    if unknown:
        raise InvalidError("servers", f"There is no server {unknown[0]!r} in config.toml.", unknown)


def is_local_machine(shared: str, server: str) -> bool:
    """Return whether Vuls takes a server for the machine it runs on."""
    document = _parse(shared)
    section = _section(document, "default") | _servers(document).get(server, {})
    values = {key.lower(): value for key, value in section.items()}
    return values.get("port") == "local" and values.get("host") in ("127.0.0.1", "localhost")


def servers_config(
    shared: str, names: Sequence[str], scan_type: str | None, dictionaries: Mapping[str, Path]
) -> str:
    """Return the config.toml for some servers of a job.

    It is made from the shared one. `dictionaries` gives the file for each of Vuls' dictionary sections.
    """
    document = _parse(shared)
    known = _servers(document)
    servers = {name: known[name] for name in names}
    if wanted := SCAN_MODES.get(scan_type or ""):
        for name, own in servers.items():
            modes = _scan_modes(own) or _scan_modes(_section(document, "default"))
            kept = {key: value for key, value in own.items() if key.lower() != "scanmode"}
            servers[name] = kept | {"scanMode": wanted["offline" in modes]}
    config: dict[str, Any] = {
        key: value for key, value in document.items() if key.lower() in KEPT_SECTIONS and value
    }
    for section, path in dictionaries.items():
        config[section] = (
            # Without SkipUpdate a report would download it, over the live file.
            {"Path": str(path), "SkipUpdate": True}
            if section == VULS2
            else {"type": "sqlite3", "SQLite3Path": str(path)}
        )
    config["servers"] = servers
    return tomlkit.dumps(config)


# A file of 50,000 servers takes seconds to parse, and is needed for each server of a job.
@functools.lru_cache(maxsize=1)
def _parse(shared: str) -> dict[str, Any]:
    try:
        # Vuls skips a byte order mark, which editors on Windows write.
        return tomllib.loads(shared.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidError("servers", f"The shared config.toml is not valid TOML: {error}.") from error


def _section(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    # Vuls ignores the case of keys, and reads [servers.a] and [SERVERS.b] as one section.
    merged: dict[str, Any] = {}
    for key, value in document.items():
        if key.lower() == name and isinstance(value, dict):
            merged |= value
    return merged


def _servers(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    servers = _section(document, "servers")
    return {name: server for name, server in servers.items() if isinstance(server, dict)}


def _scan_modes(section: Mapping[str, Any]) -> list[str]:
    modes: Any = next((value for key, value in section.items() if key.lower() == "scanmode"), [])
    return [str(mode).lower() for mode in modes] if isinstance(modes, list) else []
