"""How Vuls connects to the servers of config.toml."""

import enum
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vulsweb.vuls.ssh.blocks import Blocks
from vulsweb.vuls.ssh.lines import parse
from vulsweb.vuls.ssh.proxy import read_proxy_command

# Returns the text of the managed ssh_config at a path, or None when that file is not ours.
ReadSshConfig = Callable[[str], str | None]
# Returns whether there is a private key at a path.
HasKey = Callable[[str], bool]
LOCAL_HOSTS = ("127.0.0.1", "localhost")


class HostConnection(enum.StrEnum):
    """How Vuls connects to a host."""

    AWS_SSM = "aws_ssm"
    GCP_IAP = "gcp_iap"
    CLOUDFLARE = "cloudflare_access"
    JUMP = "jump_host"
    DIRECT = "direct"
    LOCAL = "local"  # the machine that runs Vuls; no SSH
    PSEUDO = "pseudo"  # no connection: the host is a list of CPE names
    CUSTOM = "custom"  # an SSH configuration that Vuls Web did not write

    @property
    def label(self) -> str:
        """Return the name to display."""
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
class Route:
    """How Vuls connects to a server, and at which address."""

    connection: HostConnection
    address: str


class RouteFinder:
    """Finds the routes of many servers; reads each ssh_config once."""

    def __init__(self, read_ssh_config: ReadSshConfig, has_key: HasKey = lambda _: True) -> None:
        self._read_ssh_config = read_ssh_config
        self._has_key = functools.cache(has_key)
        self._blocks: dict[str, Blocks | None] = {}

    def find(self, section: Mapping[str, Any], default: Mapping[str, Any]) -> Route:
        """Return a server's route; the keys of both mappings are lower case."""
        host = str(section.get("host", ""))
        if section.get("type") == "pseudo":
            return Route(HostConnection.PSEUDO, host)
        if (section.get("port") or default.get("port")) == "local" and host in LOCAL_HOSTS:
            return Route(HostConnection.LOCAL, host)
        path = str(section.get("sshconfigpath") or default.get("sshconfigpath") or "")
        jumps = section.get("jumpserver") or default.get("jumpserver")
        if not path:
            return Route(HostConnection.JUMP if jumps else HostConnection.DIRECT, host)
        blocks = self._read(path)
        if blocks is None:
            return Route(HostConnection.CUSTOM, host)
        options = blocks.effective(host)
        address = options["hostname"][0] or host
        # Vuls passes its jump servers to ssh as a flag, which overrides the file.
        if jumps or options.get("proxyjump", ["none"])[0].lower() != "none":
            return Route(HostConnection.JUMP, address)
        command = options.get("proxycommand", ["none"])[0]
        if command.lower() == "none":
            return Route(HostConnection.DIRECT, address)
        proxy = read_proxy_command(command)
        if isinstance(proxy, str):  # the reason why the command is not allowed
            return Route(HostConnection.CUSTOM, address)
        return Route(HostConnection(proxy.connection.value), address)

    def missing_key(self, section: Mapping[str, Any], default: Mapping[str, Any]) -> str | None:
        """Return the key that Vuls misses for a managed server, or None.

        Other servers may have keys that only the executor's machine has.
        """
        path = str(section.get("sshconfigpath") or default.get("sshconfigpath") or "")
        key = str(section.get("keypath") or default.get("keypath") or "")
        if not path or not key or section.get("type") == "pseudo" or self._read(path) is None:
            return None
        return None if self._has_key(key) else key

    def _read(self, path: str) -> Blocks | None:
        if path not in self._blocks:
            text = self._read_ssh_config(path)
            self._blocks[path] = None if text is None else Blocks(parse(text)[0])
        return self._blocks[path]
