"""The managed ssh_config: what is wrong with it, which hosts it names, and the file that ssh is given. Pure.

The rule: nothing in it may run a program or touch a file outside the managed folder. What ssh reads is never
the text that a person wrote but one made anew from what was understood of it, so that the two cannot differ.
"""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePath

from vulsweb.vuls.ssh import options as ssh_options
from vulsweb.vuls.ssh.blocks import ALIAS, Blocks, undecided
from vulsweb.vuls.ssh.lines import MOST_REFUSALS, Line, Refusal, parse
from vulsweb.vuls.ssh.proxy import Connection, Proxy, first_hop, read_proxy_command, read_proxy_jump

__all__ = ["Connection", "Refusal", "SshConfigError", "SshHost", "check", "effective", "generated", "read"]

# Inside the managed folder.
KEYS = "keys"
KNOWN_HOSTS = "known_hosts"

TEMPLATES = (
    (
        "AWS SSM",
        """\
Host aws-web-1
    HostName i-0123456789abcdef0
    User ec2-user
    ProxyCommand aws ssm start-session --target %h --document-name AWS-StartSSHSession \
--parameters portNumber=%p
""",
    ),
    (
        "GCP IAP",
        """\
Host gcp-web-1
    HostName web-1
    User scanner
    ProxyCommand gcloud compute start-iap-tunnel %h %p --listen-on-stdin --project=my-project \
--zone=europe-west1-b
""",
    ),
    (
        "Cloudflare Access",
        """\
Host cf-web-1
    HostName ssh.example.com
    User scanner
    ProxyCommand cloudflared access ssh --hostname %h
""",
    ),
    (
        "Jump host",
        """\
Host bastion
    HostName 203.0.113.10
    User scanner

Host db-1
    HostName 10.0.0.5
    User scanner
    ProxyJump bastion
""",
    ),
    (
        "Direct SSH",
        """\
Host web-1
    HostName 192.0.2.10
    User scanner
    Port 22
""",
    ),
)

_PATTERN = re.compile(r"!?[A-Za-z0-9*?](?:[A-Za-z0-9*?._:-]){0,252}")
# Each is tried with each host; without a limit a file could be made that takes minutes to read.
_MOST_PATTERNS = 200
# Vuls puts these paths into shell commands as they are, and ssh expands % and ~ in them.
_FOLDER = re.compile(r"/[A-Za-z0-9._+@/-]*")
# A socket's path ends at 104 characters; ssh appends 17 while it makes one, we 17 for the name.
_LONGEST_SOCKET_FOLDER = 104 - 1 - 17 - 17


class SshConfigError(Exception):
    """The file cannot be used; `refusals` says what is wrong, by line."""

    def __init__(self, refusals: list[Refusal]) -> None:
        super().__init__("; ".join(f"line {refusal.line}: {refusal.reason}" for refusal in refusals))
        self.refusals = refusals


@dataclass(frozen=True)
class SshHost:
    """One host of the file: a name behind Host without wildcards, and what ssh would use for it."""

    alias: str
    hostname: str
    user: str  # empty when the file names none
    port: int
    connection: Connection
    proxy_jump: str
    proxy_command: str
    identity_files: tuple[str, ...]
    line: int
    host_key_alias: str = ""

    @property
    def known_as(self) -> str:
        """Return the name under which ssh looks for this host's key in known_hosts."""
        if self.host_key_alias:
            return self.host_key_alias
        return self.hostname if self.port == 22 else f"[{self.hostname}]:{self.port}"


def check(content: str, *, keys: Collection[str]) -> list[Refusal]:
    """Return all that is wrong with `content`, by line; `keys` are the names of the managed keys."""
    lines, refusals = parse(content)
    for line in lines:
        reason = _against_pattern(line) if line.keyword == "host" else ssh_options.against(line, keys)
        if reason:
            refusals.append(line.refused(reason))
    refusals = refusals or _too_many(lines) or _ways(Blocks(lines))
    return sorted(refusals, key=lambda refusal: refusal.line)[:MOST_REFUSALS]


def read(content: str, *, keys: Collection[str]) -> list[SshHost]:
    """Return the hosts of `content` in its order; raise SshConfigError when anything is wrong with it."""
    blocks = _checked(content, keys)
    return [_host(blocks, alias, line) for alias, line in blocks.aliases().items()]


def effective(content: str, alias: str) -> dict[str, list[str]]:
    """Return what OpenSSH would use for `alias`: lower-case keywords with their values as written.

    True for text that `check` accepts; lines that are no options are left out.
    """
    return Blocks(parse(content)[0]).effective(alias)


def generated(
    content: str, *, keys: Collection[str], folder: PurePath, sockets: PurePath | None = None
) -> str:
    """Return the file that Vuls' ssh is given, with `folder` being the managed folder where ssh runs.

    `sockets` is a folder that exists and that ssh may write to: there the connection to each host is kept
    for the commands that follow. Without it, or when its path is too long for a socket, each of Vuls'
    commands connects anew. Raises SshConfigError as `read` does.
    """
    blocks = _checked(content, keys)
    for path in (folder, sockets or folder):
        if not _FOLDER.fullmatch(str(path)):
            reason = "The managed folder's path can have letters, digits and . _ + @ - alone; choose another."
            raise SshConfigError([Refusal(0, str(path), reason)])
    parts = ["# Written by Vuls Web from the SSH configuration page; changes here are lost.\n"]
    if sockets and len(str(sockets)) <= _LONGEST_SOCKET_FOLDER:
        parts += [_shared(blocks, alias, sockets) for alias in _end_points(blocks)]
    parts.append(_stanza(("*",), _first(folder)))
    for block in blocks.all:
        if told := [option for option in block.options if option.keyword not in ssh_options.IDLE]:
            parts.append(_stanza(block.patterns, [_written(option, folder) for option in told]))
    parts.append(_stanza(("*",), _LAST))
    return "\n".join(parts)


def _against_pattern(line: Line) -> str | None:
    for word in line.words:
        if not _PATTERN.fullmatch(word) or word.count("*") > 4:
            return f"{word!r} is no name for a host: letters, digits and . _ -, with * and ? in patterns."
        if not word.startswith("!") and not any(sign in word for sign in "*?") and not ALIAS.fullmatch(word):
            return f"{word!r} cannot be the name of a scanned host; take letters, digits and . _ -."
    return None


def _too_many(lines: list[Line]) -> list[Refusal]:
    left = _MOST_PATTERNS
    for line in lines:
        if line.keyword == "host":
            left -= sum("*" in word or "?" in word for word in line.words)
        if left < 0:
            return [line.refused(f"These are more than {_MOST_PATTERNS} names with * or ?; write fewer.")]
    return []


def _checked(content: str, keys: Collection[str]) -> Blocks:
    if refusals := check(content, keys=keys):
        raise SshConfigError(refusals)
    return Blocks(parse(content)[0])


def _proxy(used: dict[str, list[str]]) -> Proxy:
    """Return how the host is reached, from values that were checked."""
    proxy = read_proxy_jump(used.get("proxyjump", ["none"])[0])
    command = used.get("proxycommand", ["none"])[0]
    if command.lower() != "none":
        proxy = read_proxy_command(command)
    return proxy if isinstance(proxy, Proxy) else Proxy(Connection.DIRECT)


def _host(blocks: Blocks, alias: str, line: Line) -> SshHost:
    used = blocks.effective(alias)
    proxy = _proxy(used)
    return SshHost(
        alias=alias,
        hostname=used["hostname"][0].lower(),
        user=used.get("user", [""])[0],
        port=int(used["port"][0]),
        connection=proxy.connection,
        proxy_jump=proxy.jump,
        proxy_command=" ".join(proxy.words),
        identity_files=tuple(name for name in used.get("identityfile", ()) if name.lower() != "none"),
        line=line.number,
        host_key_alias=used.get("hostkeyalias", [""])[0],
    )


def _ways(blocks: Blocks) -> list[Refusal]:
    """Refuse hosts whose way is not clear, or leads through itself: ssh would start itself without end."""
    refusals = []
    for alias, line in blocks.aliases().items():
        if reason := _against_way(blocks, alias):
            refusals.append(line.refused(reason))
    return refusals


def _against_way(blocks: Blocks, alias: str) -> str | None:
    way = [alias]
    while True:
        used = blocks.effective(way[-1])
        if undecided(used):
            return f"{way[-1]} has both ProxyJump none and a ProxyCommand; put the ProxyCommand above."
        hop = first_hop(_proxy(used).jump)
        if hop in way:
            sentence = "Write ProxyJump none in a Host block of its own, above the others."
            return f"{hop} would be reached through itself. {sentence}"
        if not hop:
            return None
        way.append(hop)


def _end_points(blocks: Blocks) -> list[str]:
    """Return the aliases that are no jump hosts: those are reached in more than one way."""
    aliases = list(blocks.aliases())
    jumps = {
        hop.rsplit("@", 1)[-1].split(":")[0]
        for alias in aliases
        for hop in _proxy(blocks.effective(alias)).jump.split(",")
    }
    return [alias for alias in aliases if alias not in jumps]


def _shared(blocks: Blocks, alias: str, sockets: PurePath) -> str:
    # Named by all that the connection is made of: another configuration never meets an older connection.
    told = repr((alias, sorted(blocks.effective(alias).items())))
    name = hashlib.sha256(told.encode()).hexdigest()[:16]
    return _stanza((alias,), ["ControlMaster auto", f"ControlPath {sockets}/{name}", "ControlPersist 60"])


def _first(folder: PurePath) -> list[str]:
    """Return what nothing in the file can change, since the first value wins.

    Options that some ssh lack (GSSAPI, PKCS#11, KnownHostsCommand) are not named: they are off by themselves.
    """
    return [
        "StrictHostKeyChecking yes",
        f"UserKnownHostsFile {folder / KNOWN_HOSTS}",
        # Not "none", which Vuls takes for a file.
        "GlobalKnownHostsFile /dev/null",
        "NoHostAuthenticationForLocalhost no",
        # These two would write to known_hosts, which is a person's to do.
        "UpdateHostKeys no",
        "CheckHostIP no",
        "VerifyHostKeyDNS no",
        "CanonicalizeHostname no",
        "BatchMode yes",
        "PreferredAuthentications publickey",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "HostbasedAuthentication no",
        "IdentitiesOnly yes",
        "IdentityAgent none",
        "AddKeysToAgent no",
        "PermitLocalCommand no",
        "LocalCommand none",
        "RemoteCommand none",
        "RequestTTY no",
        "ForwardAgent no",
        "ForwardX11 no",
        "ClearAllForwardings yes",
        "Tunnel no",
        "ControlMaster no",
        "ControlPath none",
    ]


# What stands unless the file says otherwise.
_LAST = [
    "ConnectTimeout 15",
    "ConnectionAttempts 2",
    "ServerAliveInterval 15",
    "ServerAliveCountMax 3",
    "LogLevel ERROR",
    # Or ssh would try the keys in the home folder of whoever scans.
    "IdentityFile none",
]


def _written(option: Line, folder: PurePath) -> str:
    spelled = ssh_options.SPELLED[option.keyword]
    value = option.words[0]
    if option.keyword == "identityfile" and value.lower() != "none":
        return f"{spelled} {folder / KEYS / value}"
    if option.keyword in ("proxycommand", "proxyjump") and value.lower() != "none":
        proxy = _proxy({option.keyword: [value]})
        return f"ProxyJump {proxy.jump}" if proxy.jump else f"ProxyCommand {' '.join(proxy.words)}"
    return f"{spelled} {value}"


def _stanza(patterns: tuple[str, ...], options: list[str]) -> str:
    return "\n".join([f"Host {' '.join(patterns)}", *(f"    {option}" for option in options), ""])
