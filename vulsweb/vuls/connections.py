"""How Vuls gets to a server of config.toml, read from its section and from the ssh_config that we write."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vulsweb.vuls.ssh.blocks import Blocks
from vulsweb.vuls.ssh.lines import parse
from vulsweb.vuls.ssh.proxy import Proxy, read_proxy_command

# Given a path, the text of our ssh_config there, or None where there is none of ours.
ReadSshConfig = Callable[[str], str | None]
LOCAL_HOSTS = ("127.0.0.1", "localhost")


class HostConnection(enum.StrEnum):
    """How Vuls gets to a host."""

    AWS_SSM = "aws_ssm"
    GCP_IAP = "gcp_iap"
    CLOUDFLARE = "cloudflare_access"
    JUMP = "jump_host"
    DIRECT = "direct"
    LOCAL = "local"  # the machine that runs Vuls, without SSH
    PSEUDO = "pseudo"  # nothing is connected to: CPE names alone
    CUSTOM = "custom"  # by an SSH configuration that is not ours

    @property
    def label(self) -> str:
        """Return the words that people read."""
        return _LABELS[self]


_LABELS = {
    HostConnection.AWS_SSM: "AWS SSM",
    HostConnection.GCP_IAP: "GCP IAP",
    HostConnection.CLOUDFLARE: "Cloudflare Access",
    HostConnection.JUMP: "Jump host",
    HostConnection.DIRECT: "Direct SSH",
    HostConnection.LOCAL: "This machine",
    HostConnection.PSEUDO: "No connection",
    HostConnection.CUSTOM: "Own SSH configuration",
}


@dataclass(frozen=True)
class Way:
    """How a server is reached, and at which address."""

    connection: HostConnection
    address: str


class Connections:
    """Finds the ways of many servers; reads each ssh_config once."""

    def __init__(self, read_ssh_config: ReadSshConfig) -> None:
        self._read = read_ssh_config
        self._known: dict[str, Blocks | None] = {}

    def way(self, section: Mapping[str, Any], default: Mapping[str, Any]) -> Way:
        """Return the way of a server; both mappings have their keys in lower case."""
        host = str(section.get("host", ""))
        if section.get("type") == "pseudo":
            return Way(HostConnection.PSEUDO, host)
        if (section.get("port") or default.get("port")) == "local" and host in LOCAL_HOSTS:
            return Way(HostConnection.LOCAL, host)
        if path := section.get("sshconfigpath") or default.get("sshconfigpath"):
            return self._by_ssh_config(str(path), host)
        if section.get("jumpserver") or default.get("jumpserver"):
            return Way(HostConnection.JUMP, host)
        return Way(HostConnection.DIRECT, host)

    def _by_ssh_config(self, path: str, host: str) -> Way:
        if path not in self._known:
            text = self._read(path)
            self._known[path] = None if text is None else Blocks(parse(text)[0])
        blocks = self._known[path]
        if blocks is None:
            return Way(HostConnection.CUSTOM, host)
        used = blocks.effective(host)
        return Way(_connection(used), used["hostname"][0] or host)


def _connection(used: Mapping[str, list[str]]) -> HostConnection:
    if used.get("proxyjump", ["none"])[0].lower() != "none":
        return HostConnection.JUMP
    command = used.get("proxycommand", ["none"])[0]
    if command.lower() == "none":
        return HostConnection.DIRECT
    proxy = read_proxy_command(command)
    return HostConnection(proxy.connection.value) if isinstance(proxy, Proxy) else HostConnection.CUSTOM
