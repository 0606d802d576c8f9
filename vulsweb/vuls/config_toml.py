"""The shared config.toml: the servers it names, the first one written for a single machine, and our part.

Our part stands between two marker lines. What is outside belongs to people and stays byte for byte as it
is; inside, a section with `sshConfigPath` is ours: it goes when its host goes, and what people added to it
(ignoreCves, containers) stays with it.
"""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.exceptions import ParseError, TOMLKitError
from tomlkit.items import Table

from vulsweb.vuls.ssh.config import SshHost

STARTER = """\
# Hosts that Vuls Web scans. Each [servers.NAME] is one host; the executor adds the database
# sections itself for each job. Reference: https://vuls.io/docs/en/config.toml.html

[servers.localhost]
# This very machine, without SSH.
host = "localhost"
port = "local"
scanMode = ["fast"]
"""

BEGIN = "# >>> Vuls Web: hosts from the SSH configuration. It writes these lines; write your own outside. >>>"
END = "# <<< Vuls Web: end of the hosts from the SSH configuration <<<"


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
    document = _parsed(text).unwrap()
    default = document.get("default", {})
    servers = document.get("servers", {})
    if not isinstance(servers, dict) or not isinstance(default, dict):
        raise ConfigTomlError("config.toml: [servers] and [default] must be tables.")
    return [_server(name, section, default) for name, section in servers.items()]


def _parsed(text: str) -> TOMLDocument:
    try:
        return tomlkit.parse(text)
    except ParseError as error:
        raise ConfigTomlError(f"config.toml, line {error.line}, column {error.col}: {error}") from error
    except TOMLKitError as error:
        raise ConfigTomlError(f"config.toml: {error}") from error


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


@dataclass(frozen=True)
class Plan:
    """What writing the hosts of the SSH configuration into config.toml will do; names are sections' keys."""

    old: str
    new: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    retired: tuple[str, ...]
    unchanged: tuple[str, ...]

    @property
    def diff(self) -> str:
        """Return the difference as unified diff; empty when there is none."""
        old, new = (text.removesuffix("\n").split("\n") for text in (self.old, self.new))
        lines = difflib.unified_diff(old, new, "config.toml (now)", "config.toml (after saving)", lineterm="")
        return "".join(f"{line}\n" for line in lines)


def plan(existing: str, hosts: Sequence[SshHost], *, ssh_config_path: str) -> Plan:
    """Return what becomes of config.toml; raise ConfigTomlError where it cannot be read or written to."""
    parse_servers(existing)
    before, part, after = _parts(existing)
    theirs = {server.name for server in parse_servers(before + after)}
    known = _sections(part)
    ours = {key: section for key, section in known.items() if "sshConfigPath" in section}
    kept = {key: section for key, section in known.items() if key not in ours}
    keys = _keys(hosts, ours, theirs | set(kept))
    was = {key: section.unwrap() for key, section in ours.items()}
    sections = {keys[host.alias]: ours.get(keys[host.alias], tomlkit.table()) for host in hosts}
    for host in hosts:
        _describe(sections[keys[host.alias]], host, ssh_config_path)
    new = _joined(before, _rendered(sections | kept), after)
    try:
        parse_servers(new)
    except ConfigTomlError as error:
        raise ConfigTomlError("config.toml: write each server as a section [servers.NAME].") from error
    now = {key: section.unwrap() for key, section in sections.items()}
    return Plan(
        old=existing,
        new=new,
        added=tuple(key for key in now if key not in was),
        changed=tuple(key for key in now if key in was and was[key] != now[key]),
        retired=tuple(key for key in was if key not in now),
        unchanged=tuple(key for key in now if was.get(key) == now[key]),
    )


def _parts(text: str) -> tuple[str, str, str]:
    """Return what stands before, between and behind our markers."""
    # Not splitlines(): it breaks at characters that TOML allows in comments and strings.
    lines = text.split("\n")
    begins, ends = (
        [number for number, line in enumerate(lines) if line.strip() == mark] for mark in (BEGIN, END)
    )
    if not begins and not ends:
        return text, "", ""
    if len(begins) != 1 or len(ends) != 1 or begins > ends:
        raise ConfigTomlError(
            "config.toml: the two marker lines around the hosts of the SSH configuration must stand once"
            " each, in order. Put them back, or remove both with the sections that they enclosed."
        )
    gap = 1 if begins[0] and not lines[begins[0] - 1].strip() else 0
    before, part, after = lines[: begins[0] - gap], lines[begins[0] + 1 : ends[0]], lines[ends[0] + 1 :]
    said = next((line.strip() for line in after if line.strip() and not line.strip().startswith("#")), "[")
    if not said.startswith("["):
        raise ConfigTomlError(
            f"config.toml: {said!r} behind the lines that Vuls Web writes would become a part of them."
            " Put the header of its section above it."
        )
    return "".join(f"{line}\n" for line in before), "\n".join(part), "\n".join(after)


def _sections(part: str) -> dict[str, Table]:
    document = _parsed(part)
    if other := [key for key in document if key != "servers"]:
        raise ConfigTomlError(f"config.toml: move [{other[0]}] out of the lines that Vuls Web writes.")
    return dict(document.get("servers", {}))


def _keys(
    hosts: Sequence[SshHost], ours: Mapping[str, Mapping[str, Any]], taken: Collection[str]
) -> dict[str, str]:
    """Return a key for each alias: the one that it has, or the alias itself, or the next one that is free."""
    aliases = {host.alias for host in hosts}
    keys = {str(section["host"]): key for key, section in ours.items() if section.get("host") in aliases}
    # A section whose host somebody changed is still that of its name.
    left = set(ours) - set(keys.values())
    used = {key.lower() for key in (*taken, *keys.values(), *(left - aliases))}
    for host in hosts:
        if host.alias not in keys:
            candidates = (host.alias, *(f"{host.alias}-ssh{number}" for number in range(1, len(used) + 2)))
            # A key is a file's name in the end, and some file systems do not tell A from a.
            keys[host.alias] = next(key for key in candidates if key.lower() not in used)
            used.add(keys[host.alias].lower())
    return keys


def _describe(section: Table, host: SshHost, ssh_config_path: str) -> None:
    # The alias, and nothing else, makes ssh use the host's blocks. User and port are written so that those
    # of [default] do not come in between: Vuls gives them to ssh as flags, which win.
    fields: dict[str, Any] = {
        "host": host.alias,
        "port": str(host.port),
        "user": host.user,
        "scanMode": list(host.connection.scan_modes),
        "sshConfigPath": ssh_config_path,
    }
    for name, value in fields.items():
        if not value:
            section.pop(name, None)
        elif section.get(name) != value:
            section[name] = value


def _rendered(sections: Mapping[str, Table]) -> str:
    document = tomlkit.document()
    servers = tomlkit.table(is_super_table=True)
    for key, section in sections.items():
        servers.append(key, section)
    document.append("servers", servers)
    return tomlkit.dumps(document).strip("\n") if sections else ""


def _joined(before: str, part: str, after: str) -> str:
    if not part:
        return before + after
    end = "" if not before or before.endswith("\n") else "\n"
    gap = "\n" if before else ""
    return f"{before}{end}{gap}{BEGIN}\n{part}\n{END}\n{after}"
