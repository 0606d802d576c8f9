"""The shared config.toml: its servers, and the sections Vuls Web manages.

The managed sections are between two marker lines. Text outside the markers belongs to people and is never
changed. Inside, a section with `sshConfigPath` is managed: it is removed with its host, and until then keeps
what people added to it (ignoreCves, containers).
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

# Editors on Windows write it, and Vuls skips it.
BYTE_ORDER_MARK = "\ufeff"

BEGIN = "# >>> Vuls Web: hosts from the SSH configuration. It writes these lines; write your own outside. >>>"
END = "# <<< Vuls Web: end of the hosts from the SSH configuration <<<"


class ConfigTomlError(Exception):
    """A config.toml that cannot be used; the message says where and why."""


@dataclass(frozen=True)
class ServerSection:
    """One [servers.NAME] section of config.toml."""

    name: str
    host: str
    scan_modes: tuple[str, ...]
    section: Mapping[str, Any]


def parse_servers(text: str) -> list[ServerSection]:
    """Return the sections of `text`; raise ConfigTomlError with line or field."""
    document = _parse_toml(text).unwrap()
    default = document.get("default", {})
    servers = document.get("servers", {})
    if not isinstance(servers, dict) or not isinstance(default, dict):
        raise ConfigTomlError("config.toml: [servers] and [default] must be tables.")
    sections = []
    for name, section in servers.items():
        if not isinstance(section, dict):
            raise ConfigTomlError(f"config.toml: [servers.{name}] must be a table.")
        host = section.get("host", "")
        if not isinstance(host, str) or not (host or section.get("type") == "pseudo"):
            raise ConfigTomlError(f"config.toml: [servers.{name}] has no host; add its name or address.")
        modes = section.get("scanMode") or default.get("scanMode") or ["fast"]
        if not isinstance(modes, list) or not all(isinstance(mode, str) for mode in modes):
            raise ConfigTomlError(
                f'config.toml: scanMode of [servers.{name}] must be a list, such as ["fast"].'
            )
        sections.append(ServerSection(name=name, host=host, scan_modes=tuple(modes), section=section))
    return sections


def _parse_toml(text: str) -> TOMLDocument:
    try:
        return tomlkit.parse(text.removeprefix(BYTE_ORDER_MARK))
    except ParseError as error:
        raise ConfigTomlError(f"config.toml, line {error.line}, column {error.col}: {error}") from error
    except TOMLKitError as error:
        raise ConfigTomlError(f"config.toml: {error}") from error


@dataclass(frozen=True)
class Plan:
    """How saving the SSH configuration changes config.toml; hosts are named by section."""

    old: str
    new: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    retired: tuple[str, ...]
    unchanged: tuple[str, ...]
    left_out: tuple[str, ...] = ()  # hosts of the SSH configuration that are not scanned, such as jump hosts

    @property
    def diff(self) -> str:
        """Return the unified diff; empty when nothing changes."""
        old, new = (text.removesuffix("\n").split("\n") for text in (self.old, self.new))
        lines = difflib.unified_diff(old, new, "config.toml (now)", "config.toml (after saving)", lineterm="")
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class _Parts:
    """The text before, between and after the markers."""

    before: str
    managed: str
    after: str

    @classmethod
    def from_text(cls, text: str) -> "_Parts":
        """Split a config.toml; raise ConfigTomlError if the markers are not clear."""
        # Not splitlines(): it breaks lines at characters that TOML allows in comments and strings.
        lines = text.split("\n")
        begins, ends = (
            [number for number, line in enumerate(lines) if line.strip() == mark] for mark in (BEGIN, END)
        )
        if not begins and not ends:
            return cls(text, "", "")
        if len(begins) != 1 or len(ends) != 1 or begins > ends:
            raise ConfigTomlError(
                "config.toml: each of the two marker lines around the managed hosts must be there once, in"
                " order. Restore them, or remove both and the sections between them."
            )
        gap = 1 if begins[0] and not lines[begins[0] - 1].strip() else 0
        before, managed = lines[: begins[0] - gap], lines[begins[0] + 1 : ends[0]]
        after = lines[ends[0] + 1 :]
        stripped = (line.strip() for line in after)
        first = next((line for line in stripped if line and not line.startswith("#")), "[")
        if not first.startswith("["):
            raise ConfigTomlError(
                f"config.toml: {first!r} follows the managed hosts and would become part of the last one."
                " Add the header of its section above it."
            )
        return cls("".join(f"{line}\n" for line in before), "\n".join(managed), "\n".join(after))

    def with_sections(self, sections: Mapping[str, Table]) -> str:
        """Return the config.toml with these sections between the markers."""
        if not sections:
            return self.before + self.after
        servers = tomlkit.table(is_super_table=True)
        for key, section in sections.items():
            servers.append(key, section)
        document = tomlkit.document()
        document.append("servers", servers)
        managed = tomlkit.dumps(document).strip("\n")
        line_end = "" if not self.before or self.before.endswith("\n") else "\n"
        gap = "\n" if self.before else ""
        return f"{self.before}{line_end}{gap}{BEGIN}\n{managed}\n{END}\n{self.after}"


def plan(existing: str, hosts: Sequence[SshHost], *, ssh_config_path: str) -> Plan:
    """Return how config.toml will change; raise ConfigTomlError if it cannot."""
    parse_servers(existing)
    parts = _Parts.from_text(existing)
    document = _parse_toml(parts.managed)
    if other := [key for key in document if key != "servers"]:
        raise ConfigTomlError(f"config.toml: move [{other[0]}] out of the lines that Vuls Web writes.")
    sections: dict[str, Table] = dict(document.get("servers", {}))
    old = {key: section for key, section in sections.items() if "sshConfigPath" in section}
    # Sections that people wrote between the markers.
    kept = {key: section for key, section in sections.items() if key not in old}
    taken = {server.name for server in parse_servers(parts.before + parts.after)} | set(kept)
    old_values = {key: section.unwrap() for key, section in old.items()}
    before = {section.get("host") for section in old.values()}
    scanned = [host for host in hosts if host.scanned or (host.scanned is None and host.alias in before)]
    new = _update_sections(old, scanned, taken, ssh_config_path)
    new_values = {key: section.unwrap() for key, section in new.items()}
    text = parts.with_sections(new | kept)
    try:
        parse_servers(text)
    except ConfigTomlError as error:
        raise ConfigTomlError("config.toml: write each server as a section [servers.NAME].") from error
    return Plan(
        old=existing,
        new=text,
        added=tuple(key for key in new_values if key not in old_values),
        changed=tuple(key for key in new_values if key in old_values and old_values[key] != new_values[key]),
        retired=tuple(key for key in old_values if key not in new_values),
        unchanged=tuple(key for key in new_values if old_values.get(key) == new_values[key]),
        left_out=tuple(host.alias for host in hosts if host not in scanned),
    )


def _update_sections(
    old: Mapping[str, Table], hosts: Sequence[SshHost], taken: Collection[str], ssh_config_path: str
) -> dict[str, Table]:
    """Return each host's section: its old one, updated, or a new one."""
    aliases = {host.alias for host in hosts}
    keys = {str(section["host"]): key for key, section in old.items() if section.get("host") in aliases}
    # A section whose host somebody edited still belongs to the alias of its name.
    unmatched = set(old) - set(keys.values())
    used = {key.lower() for key in (*taken, *keys.values(), *(unmatched - aliases))}
    sections = {}
    for host in hosts:
        if host.alias not in keys:
            candidates = (host.alias, *(f"{host.alias}-ssh{number}" for number in range(1, len(used) + 2)))
            # A key becomes a file name, and some file systems ignore case.
            keys[host.alias] = next(key for key in candidates if key.lower() not in used)
            used.add(keys[host.alias].lower())
        section = sections[keys[host.alias]] = old.get(keys[host.alias], tomlkit.table())
        # `host` is the alias, because only that makes ssh use the host's blocks. User and port are repeated:
        # Vuls passes those of [default] to ssh as flags, which override the blocks. It first passes the user
        # through a shell, which takes one of two backslashes.
        fields: dict[str, Any] = {
            "host": host.alias,
            "port": str(host.port),
            "user": host.user.replace("\\", "\\\\"),
            "scanMode": list(host.connection.scan_modes),
            "sshConfigPath": ssh_config_path,
        }
        for name, value in fields.items():
            if not value:
                section.pop(name, None)
            elif section.get(name) != value:
                section[name] = value
    return sections
