"""The managed ssh_config: errors, hosts, and the file generated for ssh.

The rule: nothing in it may run a program or use a file outside the managed folder. ssh never reads the text
that a person wrote, but a file generated from what was parsed, so ssh and the checks cannot disagree.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from vulsweb.vuls.ssh import options as ssh_options
from vulsweb.vuls.ssh.blocks import ALIAS, Blocks
from vulsweb.vuls.ssh.lines import LONGEST_FILE, MARK, MOST_REFUSALS, Refusal, parse, visible
from vulsweb.vuls.ssh.proxy import SshConnection, proxy_of

# Names in the managed folder.
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
    # Without a key ssh cannot sign in: IdentityFile NAME, with NAME as on the Keys page.
""",
    ),
)

# Each round removes up to MOST_REFUSALS lines.
_MOST_ROUNDS = 100
_HOST_LINE = re.compile(r"[ \t]*(?:host|match)(?:[ \t=]|$)", re.IGNORECASE)
_PATTERN = re.compile(r"!?[A-Za-z0-9*?](?:[A-Za-z0-9*?._:-]){0,252}")
# Each pattern is tried with each host, so without a limit a file could take minutes to read.
_MOST_PATTERNS = 200
# Vuls puts these paths into shell commands without quotes, and ssh expands % and ~ in them.
_FOLDER = re.compile(r"/[A-Za-z0-9._+@/-]*")
# A socket's path has at most 104 characters. ssh appends 17 while it creates one; our names take 17.
_LONGEST_SOCKET_FOLDER = 104 - 1 - 17 - 17


# What ssh must use, whatever the file says: these come first, and the first value wins. Options that some
# versions of ssh lack (GSSAPI, PKCS#11, KnownHostsCommand) are not named; they are off by default.
_ENFORCED = [
    "StrictHostKeyChecking yes",
    "UserKnownHostsFile {known_hosts}",
    # Not "none", which Vuls reads as the name of a file.
    "GlobalKnownHostsFile /dev/null",
    "NoHostAuthenticationForLocalhost no",
    # These two would write to known_hosts, where only people accept keys.
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
# What ssh uses unless the file says otherwise: these come last.
_DEFAULTS = [
    "ConnectTimeout 15",
    "ConnectionAttempts 2",
    "ServerAliveInterval 15",
    "ServerAliveCountMax 3",
    "LogLevel ERROR",
    # Otherwise ssh would try the keys in the home folder of the scanning user.
    "IdentityFile none",
]


class SshConfigError(Exception):
    """A file that cannot be used; `refusals` names the lines and reasons."""

    def __init__(self, refusals: list[Refusal]) -> None:
        super().__init__("; ".join(f"line {refusal.line}: {refusal.reason}" for refusal in refusals))
        self.refusals = refusals


@dataclass(frozen=True)
class SshHost:
    """A name after Host, without wildcards, and its options."""

    alias: str
    hostname: str
    user: str  # empty: the file names none
    port: int
    connection: SshConnection
    proxy_jump: str
    proxy_command: str
    identity_files: tuple[str, ...]
    line: int
    host_key_alias: str = ""
    # None: a jump host without a mark, which is scanned only if it was before.
    scanned: bool | None = True

    @property
    def known_as(self) -> str:
        """Return the name of the host in ssh's known_hosts lookup."""
        if self.host_key_alias:
            return self.host_key_alias
        return self.hostname if self.port == 22 else f"[{self.hostname}]:{self.port}"


def check(content: str, *, keys: Collection[str]) -> list[Refusal]:
    """Return what is wrong, by line; `keys` are the managed keys."""
    lines, refusals = parse(content)
    for line in lines:
        reason = ssh_options.rejection_reason(line, keys) if line.keyword != "host" else None
        for word in line.words if line.keyword == "host" else ():
            is_name = not word.startswith("!") and not any(sign in word for sign in "*?")
            if not _PATTERN.fullmatch(word) or word.count("*") > 4:
                advice = "use letters, digits and . _ -, with * and ? in patterns."
                reason = reason or f"{word!r} is not a host name; {advice}"
            elif is_name and not ALIAS.fullmatch(word):
                advice = "use letters, digits and . _ -."
                reason = reason or f"{word!r} cannot be the name of a scanned host; {advice}"
        if reason:
            refusals.append(line.refusal(reason))
    if not refusals:
        patterns = 0
        for line in lines:
            patterns += sum("*" in word or "?" in word for word in line.words if line.keyword == "host")
            if patterns > _MOST_PATTERNS:
                reason = f"The file has more than {_MOST_PATTERNS} names with * or ?; use fewer."
                return [line.refusal(reason)]
        refusals = Blocks(lines).refusals()
    return sorted(refusals, key=lambda refusal: refusal.line)[:MOST_REFUSALS]


def read(content: str, *, keys: Collection[str]) -> list[SshHost]:
    """Return the hosts in order; raise SshConfigError if anything is wrong."""
    blocks = _checked_blocks(content, keys)
    jumps = blocks.jump_hosts()
    hosts = []
    for alias, line in blocks.aliases().items():
        options = blocks.effective(alias)
        proxy = proxy_of(options)
        host = SshHost(
            alias=alias,
            hostname=options["hostname"][0].lower(),
            user=options.get("user", [""])[0],
            port=int(options["port"][0]),
            connection=proxy.connection,
            proxy_jump=proxy.jump,
            proxy_command=" ".join(proxy.words),
            identity_files=tuple(name for name in options.get("identityfile", ()) if name.lower() != "none"),
            line=line.number,
            host_key_alias=options.get("hostkeyalias", [""])[0],
            scanned=_is_scanned(options, is_jump=alias in jumps),
        )
        hosts.append(host)
    return hosts


def without_refused(content: str, *, keys: Collection[str]) -> tuple[str, list[Refusal]]:
    """Return the content without what `check` refuses, and the removed lines.

    With a Host line goes its block: its options would become part of the block above. A file that is too long
    stays, and so does what is left of one that is mostly wrong.
    """
    lines = list(enumerate(content.replace("\r\n", "\n").split("\n"), start=1))
    removed: dict[int, Refusal] = {}
    for _ in range(_MOST_ROUNDS if len(content) <= LONGEST_FILE else 0):
        refusals = check("\n".join(text for _, text in lines), keys=keys)
        if not refusals:
            break
        wrong: set[int] = set()
        for refusal in refusals:
            first = refusal.line - 1
            block = _block_length([text for _, text in lines[first:]])
            for index in range(first, first + block):
                number, text = lines[index]
                reason = refusal.reason if index == first else "It belongs to that Host line."
                removed.setdefault(number, Refusal(number, visible(text), reason))
                wrong.add(index)
        lines = [line for index, line in enumerate(lines) if index not in wrong]
    return "\n".join(text for _, text in lines), [removed[number] for number in sorted(removed)]


def _block_length(lines: Sequence[str]) -> int:
    """Return the number of lines of the first one's block."""
    if not _HOST_LINE.match(lines[0]):
        return 1
    end = next((number for number, text in enumerate(lines[1:], 1) if _HOST_LINE.match(text)), len(lines))
    # Comments and empty lines before the next block are about that one.
    while end > 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end


def _is_scanned(options: Mapping[str, list[str]], *, is_jump: bool) -> bool | None:
    if mark := options.get(MARK):
        return mark[0] == ssh_options.SCAN
    return None if is_jump else True


def without_key(content: str) -> list[str]:
    """Return hosts and jump hosts that have no IdentityFile in accepted text."""
    blocks = Blocks(parse(content)[0])
    names = dict.fromkeys((*blocks.aliases(), *blocks.jump_hosts()))
    files = {name: blocks.effective(name).get("identityfile", ()) for name in names}
    return [name for name in names if all(file.lower() == "none" for file in files[name])]


def effective_options(content: str, alias: str) -> dict[str, list[str]]:
    """Return what OpenSSH would use for `alias`: lower-case keywords with their values.

    This holds for text that `check` accepts; lines that are not options are skipped.
    """
    return Blocks(parse(content)[0]).effective(alias)


def render(content: str, *, keys: Collection[str], folder: PurePath, sockets: PurePath | None = None) -> str:
    """Return the file for ssh, with `folder` as ssh sees it.

    `sockets` is an existing folder that ssh may write to. There it keeps the connection to each host for the
    commands that follow. Without it, or when its path is too long for a socket, each command of Vuls connects
    again. Raises SshConfigError like `read`.
    """
    blocks = _checked_blocks(content, keys)
    for path in (folder, sockets or folder):
        if not _FOLDER.fullmatch(str(path)):
            reason = "The managed folder's path can have only letters, digits and . _ + @ -; choose another."
            raise SshConfigError([Refusal(0, str(path), reason)])
    parts = ["# Written by Vuls Web from the SSH configuration page; changes here are lost.\n"]
    if sockets and len(str(sockets)) <= _LONGEST_SOCKET_FOLDER:
        aliases = list(blocks.aliases())
        # Jump hosts can be reached in more than one way, so their connections are not shared.
        jumps = blocks.jump_hosts()
        for alias in (alias for alias in aliases if alias not in jumps):
            # Named by all options, so that no command uses a connection of an older configuration.
            identity = repr((alias, sorted(blocks.effective(alias).items())))
            name = hashlib.sha256(identity.encode()).hexdigest()[:16]
            shared = ["ControlMaster auto", f"ControlPath {sockets}/{name}", "ControlPersist 60"]
            parts.append(_render_block((alias,), shared))
    parts.append(_render_block(("*",), [line.format(known_hosts=folder / KNOWN_HOSTS) for line in _ENFORCED]))
    for block in blocks.all:
        if options := [option for option in block.options if option.keyword not in ssh_options.REDUNDANT]:
            written = [ssh_options.written(option, folder / KEYS) for option in options]
            parts.append(_render_block(block.patterns, written))
    counts = {alias: blocks.effective(alias).get("serveralivecountmax", ["1"]) for alias in blocks.aliases()}
    # Connections with a count of 0 end when they are silent for one interval, so they get none that the file
    # does not name. Debian's ssh would use one of five minutes, because of BatchMode.
    if impatient := tuple(alias for alias, count in counts.items() if int(count[0]) == 0):
        parts.append(_render_block(impatient, ["ServerAliveInterval 0"]))
    parts.append(_render_block(("*",), _DEFAULTS))
    return "\n".join(parts)


def _render_block(patterns: tuple[str, ...], options: list[str]) -> str:
    return "\n".join([f"Host {' '.join(patterns)}", *(f"    {option}" for option in options), ""])


def _checked_blocks(content: str, keys: Collection[str]) -> Blocks:
    if refusals := check(content, keys=keys):
        raise SshConfigError(refusals)
    return Blocks(parse(content)[0])
