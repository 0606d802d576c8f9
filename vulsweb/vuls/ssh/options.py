"""The options that may stand in the managed ssh_config, each with the values that it may have.

A list of what is allowed, not of what is forbidden: nothing here can make ssh run a program or touch a file
outside the managed folder, and an option that a later ssh invents is refused until somebody has looked at it.
"""

import re
from collections.abc import Callable, Collection

from vulsweb.vuls.ssh.lines import Line
from vulsweb.vuls.ssh.proxy import read_proxy_command, read_proxy_jump

Check = Callable[[str], str | None]

KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HOST_NAME = re.compile(r"(?:%h|[A-Za-z0-9:])(?:%h|[A-Za-z0-9._:-]){0,252}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}")

# What OpenSSH 8.8 to 10 know by these names; ssh refuses the whole file, for all hosts, over one unknown.
_CIPHERS = """3des-cbc aes128-cbc aes192-cbc aes256-cbc aes128-ctr aes192-ctr aes256-ctr
    aes128-gcm@openssh.com aes256-gcm@openssh.com chacha20-poly1305@openssh.com"""
_MACS = """hmac-sha1 hmac-sha1-96 hmac-sha2-256 hmac-sha2-512 hmac-md5 hmac-md5-96 umac-64@openssh.com
    umac-128@openssh.com hmac-sha1-etm@openssh.com hmac-sha1-96-etm@openssh.com hmac-sha2-256-etm@openssh.com
    hmac-sha2-512-etm@openssh.com hmac-md5-etm@openssh.com hmac-md5-96-etm@openssh.com
    umac-64-etm@openssh.com umac-128-etm@openssh.com"""
_EXCHANGES = """diffie-hellman-group1-sha1 diffie-hellman-group14-sha1 diffie-hellman-group14-sha256
    diffie-hellman-group16-sha512 diffie-hellman-group18-sha512 diffie-hellman-group-exchange-sha1
    diffie-hellman-group-exchange-sha256 ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521
    curve25519-sha256 curve25519-sha256@libssh.org sntrup761x25519-sha512@openssh.com"""
_SIGNATURES = """ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521 ssh-rsa rsa-sha2-256
    rsa-sha2-512 ssh-ed25519-cert-v01@openssh.com ecdsa-sha2-nistp256-cert-v01@openssh.com
    ecdsa-sha2-nistp384-cert-v01@openssh.com ecdsa-sha2-nistp521-cert-v01@openssh.com
    ssh-rsa-cert-v01@openssh.com rsa-sha2-256-cert-v01@openssh.com
    rsa-sha2-512-cert-v01@openssh.com"""


def _one_of(*allowed: str) -> Check:
    def check(value: str) -> str | None:
        return None if value.lower() in allowed else f"It can only be {' or '.join(allowed)} here."

    return check


def _number(low: int, high: int, what: str) -> Check:
    def check(value: str) -> str | None:
        if re.fullmatch("[0-9]{1,6}", value) and low <= int(value) <= high:
            return None
        return f"It must be {what} from {low} to {high}."

    return check


def _pattern(pattern: re.Pattern[str], sentence: str) -> Check:
    return lambda value: None if pattern.fullmatch(value) else sentence


def _algorithms(names: str) -> Check:
    known = frozenset(names.split())

    def check(value: str) -> str | None:
        unknown = [name for name in value.lstrip("+^-").split(",") if name not in known]
        if unknown or value[1:2] in ("+", "^", "-"):
            return f"{', '.join(unknown) or value!r} is no algorithm that ssh is sure to know; leave it out."
        return None

    return check


_NO = _one_of("no")
_YES_NO = _one_of("yes", "no")
# How ssh spells the keywords, and which values they may have.
_OPTIONS: dict[str, Check] = {
    "HostName": _pattern(
        _HOST_NAME, "Write a plain host name or address; %h stands for the name behind Host."
    ),
    "User": _pattern(
        _USER, "Write a plain user name: letters, digits and . _ @ + -, not beginning with a sign."
    ),
    "Port": _number(1, 65535, "a port"),
    "HostKeyAlias": _pattern(KEY_NAME, "Write a plain name: letters, digits and . _ -."),
    "AddressFamily": _one_of("any", "inet", "inet6"),
    "Compression": _YES_NO,
    "ConnectionAttempts": _number(1, 10, "a number"),
    "ConnectTimeout": _number(1, 300, "a whole number of seconds"),
    "ServerAliveInterval": _number(0, 3600, "a whole number of seconds"),
    "ServerAliveCountMax": _number(1, 100, "a number"),
    "TCPKeepAlive": _YES_NO,
    "LogLevel": _one_of("quiet", "fatal", "error", "info", "verbose"),
    "Ciphers": _algorithms(_CIPHERS),
    "MACs": _algorithms(_MACS),
    "KexAlgorithms": _algorithms(_EXCHANGES),
    "HostKeyAlgorithms": _algorithms(_SIGNATURES),
    "PubkeyAcceptedAlgorithms": _algorithms(_SIGNATURES),
    "PubkeyAcceptedKeyTypes": _algorithms(_SIGNATURES),
}
# What stands in many files and is fine as long as it says what is true here anyway; ssh is not told again.
_IDLE: dict[str, Check] = {
    "StrictHostKeyChecking": _one_of("yes"),
    "BatchMode": _one_of("yes"),
    "IdentitiesOnly": _YES_NO,
    "CheckHostIP": _YES_NO,
    "HashKnownHosts": _YES_NO,
    "PubkeyAuthentication": _one_of("yes"),
    "PreferredAuthentications": _one_of("publickey"),
    "PasswordAuthentication": _NO,
    "KbdInteractiveAuthentication": _NO,
    "ChallengeResponseAuthentication": _NO,
    "HostbasedAuthentication": _NO,
    "GSSAPIAuthentication": _NO,
    "GSSAPIDelegateCredentials": _NO,
    "ForwardAgent": _NO,
    "ForwardX11": _NO,
    "ForwardX11Trusted": _NO,
    "AddKeysToAgent": _NO,
    "CanonicalizeHostname": _NO,
    "ControlMaster": _NO,
    "ControlPath": _one_of("none"),
    "ControlPersist": _NO,
    "IdentityAgent": _one_of("none"),
    "PermitLocalCommand": _NO,
    "RequestTTY": _NO,
    "Tunnel": _NO,
    "UpdateHostKeys": _NO,
    "VerifyHostKeyDNS": _NO,
    "VisualHostKey": _NO,
}
SPELLED = {
    name.lower(): name for name in (*_OPTIONS, *_IDLE, "IdentityFile", "ProxyJump", "ProxyCommand", "Host")
}
IDLE = frozenset(name.lower() for name in _IDLE)
_CHECKS = {name.lower(): check for name, check in (_OPTIONS | _IDLE).items()}

_RUNS = "It can run a program on the machine that scans, so it is not allowed here; leave it out."
_READS = "It names a file outside the managed folder, so it is not allowed here; leave it out."
_FORWARDS = "Scans need no forwarding, so it is not allowed here; leave it out."
_KNOWN_HOSTS = "Host keys are kept by Vuls Web, which shows each for you to accept; leave it out."
_REASONS = {
    "match": "Match can run programs, and what it chooses cannot be foreseen; write a Host block instead.",
    "include": "Other files are not read; paste what that file says here.",
    "localcommand": _RUNS,
    "knownhostscommand": _RUNS,
    "remotecommand": "Vuls sends its own commands; leave it out.",
    "proxyusefdpass": _RUNS,
    "pkcs11provider": _RUNS,
    "smartcarddevice": _RUNS,
    "securitykeyprovider": _RUNS,
    "xauthlocation": _RUNS,
    "enablesshkeysign": _RUNS,
    "certificatefile": "Certificates are not managed yet; use a key, and leave this out.",
    "revokedhostkeys": _READS,
    "userknownhostsfile": _KNOWN_HOSTS,
    "globalknownhostsfile": _KNOWN_HOSTS,
    "nohostauthenticationforlocalhost": _KNOWN_HOSTS,
    "sendenv": "The machine's environment stays on the machine; leave it out.",
    "setenv": "Vuls sets what it needs; leave it out.",
    "localforward": _FORWARDS,
    "remoteforward": _FORWARDS,
    "dynamicforward": _FORWARDS,
    "permitremoteopen": _FORWARDS,
    "gatewayports": _FORWARDS,
    "streamlocalbindmask": _FORWARDS,
    "streamlocalbindunlink": _FORWARDS,
    "ignoreunknown": "It would let misspelt options pass; leave it out.",
}
_OWN_WORDS = {
    "stricthostkeychecking": "Host keys are always checked: write yes, and accept the host's key.",
    "permitlocalcommand": _RUNS,
    "identityagent": "There is no agent where scans run: it can only be none. Upload the key instead.",
    "controlpath": "Vuls Web chooses where connections are shared; leave it out.",
    "controlmaster": "Vuls Web chooses when connections are shared; leave it out.",
    "controlpersist": "Vuls Web chooses how long connections are shared; leave it out.",
    "forwardagent": _FORWARDS,
    "forwardx11": _FORWARDS,
    "forwardx11trusted": _FORWARDS,
    "tunnel": _FORWARDS,
}


def against(line: Line, keys: Collection[str]) -> str | None:
    """Return the reason why `line` cannot stand in the file; None when it can."""
    if line.keyword == "proxycommand":
        proxy = line.value.lower() == "none" or read_proxy_command(line.value)
        return proxy if isinstance(proxy, str) else None
    if line.keyword == "proxyjump":
        jump = read_proxy_jump(line.value)
        return jump if isinstance(jump, str) else None
    if line.keyword not in SPELLED:
        sentence = "It is not among the options that can be used here; leave it out."
        return _REASONS.get(line.keyword, sentence)
    if len(line.words) != 1:
        return f"{SPELLED[line.keyword]} takes one value; put a comment on a line of its own."
    if line.keyword == "identityfile":
        return _identity(line.words[0], keys)
    reason = _CHECKS[line.keyword](line.words[0])
    return reason and _OWN_WORDS.get(line.keyword, reason)


def _identity(name: str, keys: Collection[str]) -> str | None:
    if name.lower() == "none" or (name in keys and KEY_NAME.fullmatch(name)):
        return None
    bare = name.rsplit("/", maxsplit=1)[-1]
    if bare != name and bare in keys:
        return f"Write the bare name of the key: IdentityFile {bare}."
    return f"There is no key {bare!r} under Keys; upload or generate it, then write its bare name."
