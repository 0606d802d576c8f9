"""The options allowed in the managed ssh_config, with their values.

This is an allowlist: nothing in it can make ssh run a program or use a file outside the managed folder. An
option that a later ssh adds is rejected until somebody has reviewed it.
"""

import re
from collections.abc import Callable, Collection
from pathlib import PurePath

from vulsweb.vuls.ssh.lines import MARK, Line
from vulsweb.vuls.ssh.proxy import proxy_of, read_proxy_command, read_proxy_jump

Check = Callable[[str], str | None]

KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ZONE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}"  # a network interface's name
_HOST_NAME = re.compile(rf"(?:%h|[A-Za-z0-9:])(?:%h|[A-Za-z0-9._:-]){{0,252}}(?:%%{_ZONE})?")
_BIND_ADDRESS = re.compile(rf"[A-Za-z0-9:][A-Za-z0-9._:-]{{0,252}}(?:%{_ZONE})?")
# DOMAIN\user is an account of a Windows domain. The longest names are sessions of bastions in the cloud.
_USER = re.compile(r"(?=.{1,255}\Z)[A-Za-z0-9_][A-Za-z0-9._@+-]*(?:\\[A-Za-z0-9_][A-Za-z0-9._@+-]*)?")
_LONGEST_CONNECT_TIMEOUT = 300
_TIME = re.compile(r"(?:[0-9]+[smhdwSMHDW])*(?:[0-9]+)?")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

# Known to OpenSSH 8.8 to 10. One unknown name makes ssh reject the whole file, for all hosts.
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


def seconds(value: str) -> int | None:
    """Return the seconds of a time like 1h30m, or None."""
    if not 0 < len(value) <= 20 or not _TIME.fullmatch(value):
        return None
    parts = re.findall("([0-9]+)([a-z]?)", value.lower())
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def _time(longest: int) -> Check:
    def check(value: str) -> str | None:
        read = seconds(value)
        if value == "none" or (read is not None and read <= longest):
            return None
        return f"It must be a time such as 30, 10s or 1m30s, of at most {longest} seconds, or none."

    return check


def _pattern(pattern: re.Pattern[str], sentence: str) -> Check:
    return lambda value: None if pattern.fullmatch(value) else sentence


def _algorithms(names: str) -> Check:
    known = frozenset(names.split())

    def check(value: str) -> str | None:
        unknown = [name for name in value.lstrip("+^-").split(",") if name not in known]
        if unknown or value[1:2] in ("+", "^", "-"):
            return f"{', '.join(unknown) or value!r} is not an algorithm that every ssh knows; leave it out."
        return None

    return check


# Whether the hosts of a block are scanned: the values of a mark.
SCAN, NO_SCAN = "scan", "no scan"
_NO = _one_of("no")
_YES_NO = _one_of("yes", "no")
# The keywords as ssh spells them, and their allowed values.
_OPTIONS: dict[str, Check] = {
    "HostName": _pattern(
        _HOST_NAME,
        "Write a plain host name or address; %h stands for the name after Host, and %% for the % of a zone.",
    ),
    "User": _pattern(
        _USER,
        "Write a plain user name of at most 255 letters, digits and . _ @ + -, starting with a letter, a"
        " digit or _. A domain comes before one backslash: DOMAIN\\user.",
    ),
    "Port": _number(1, 65535, "a port"),
    "HostKeyAlias": _pattern(KEY_NAME, "Write a plain name: letters, digits and . _ -."),
    "AddressFamily": _one_of("any", "inet", "inet6"),
    "Compression": _YES_NO,
    "ConnectionAttempts": _number(1, 10, "a number"),
    "ConnectTimeout": _time(_LONGEST_CONNECT_TIMEOUT),
    "ServerAliveInterval": _time(3600),
    "ServerAliveCountMax": _number(0, 100, "a number"),
    "BindAddress": _pattern(_BIND_ADDRESS, "Write the plain name or address of this machine."),
    "BindInterface": _pattern(re.compile(_ZONE), "Write the plain name of a network interface."),
    "TCPKeepAlive": _YES_NO,
    "LogLevel": _one_of("quiet", "fatal", "error", "info", "verbose"),
    "Ciphers": _algorithms(_CIPHERS),
    "MACs": _algorithms(_MACS),
    "KexAlgorithms": _algorithms(_EXCHANGES),
    "HostKeyAlgorithms": _algorithms(_SIGNATURES),
    "PubkeyAcceptedAlgorithms": _algorithms(_SIGNATURES),
    "PubkeyAcceptedKeyTypes": _algorithms(_SIGNATURES),
}
# Common options, allowed with the values that hold here anyway or that change nothing for a scan. They are
# not written for ssh.
_REDUNDANT: dict[str, Check] = {
    MARK: lambda value: None if value in (SCAN, NO_SCAN) else f"Write `{MARK} {SCAN}` or `{MARK} {NO_SCAN}`.",
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
    "Protocol": _one_of("2", "2,1"),  # every ssh of today has only version 2
    "NumberOfPasswordPrompts": _number(0, 1000, "a number"),
    "ExitOnForwardFailure": _YES_NO,
    "EscapeChar": _one_of("none"),
    "FingerprintHash": _one_of("md5", "sha256"),
}
# Keywords in lower case, with ssh's own spelling.
SPELLING = {
    name.lower(): name
    for name in (*_OPTIONS, *_REDUNDANT, "IdentityFile", "ProxyJump", "ProxyCommand", "Host")
}
REDUNDANT = frozenset(name.lower() for name in _REDUNDANT)
_CHECKS = {name.lower(): check for name, check in (_OPTIONS | _REDUNDANT).items()}

_RUNS = "It can run a program on the machine that scans, so it is not allowed here; leave it out."
_READS = "It names a file outside the managed folder, so it is not allowed here; leave it out."
_FORWARDS = "Scans need no forwarding, so it is not allowed here; leave it out."
_KNOWN_HOSTS = "Vuls Web manages host keys: accept them under Known hosts, and leave it out."
# Options that are never allowed.
_OPTION_REASONS = {
    "match": "Match can run programs, and its result can change; write a Host block instead.",
    "include": "Other files are not read; paste that file's content here.",
    "localcommand": _RUNS,
    "knownhostscommand": _RUNS,
    "remotecommand": "Vuls sends its own commands; leave it out.",
    "proxyusefdpass": _RUNS,
    "pkcs11provider": _RUNS,
    "smartcarddevice": _RUNS,
    "securitykeyprovider": _RUNS,
    "xauthlocation": _RUNS,
    "enablesshkeysign": _RUNS,
    "certificatefile": "Certificates are not supported yet; use a key, and leave it out.",
    "revokedhostkeys": _READS,
    "userknownhostsfile": _KNOWN_HOSTS,
    "globalknownhostsfile": _KNOWN_HOSTS,
    "nohostauthenticationforlocalhost": _KNOWN_HOSTS,
    "sendenv": "The environment is not sent to hosts; leave it out.",
    "setenv": "Vuls sets what it needs; leave it out.",
    "localforward": _FORWARDS,
    "remoteforward": _FORWARDS,
    "dynamicforward": _FORWARDS,
    "permitremoteopen": _FORWARDS,
    "gatewayports": _FORWARDS,
    "streamlocalbindmask": _FORWARDS,
    "streamlocalbindunlink": _FORWARDS,
    "usekeychain": "Only ssh on macOS knows it, and others refuse the file; leave it out.",
    "ignoreunknown": "It would hide misspelt options; leave it out.",
}
# Options of which the value is not allowed.
_VALUE_REASONS = {
    "stricthostkeychecking": "Host keys are always checked: write yes, and accept the host's key.",
    "permitlocalcommand": _RUNS,
    "protocol": "ssh has only version 2 of the protocol; leave it out.",
    "addkeystoagent": "Scans run without an agent, so it can only be no; leave it out.",
    "identityagent": "Scans run without an agent, so it can only be none; upload the key instead.",
    "controlpath": "Vuls Web chooses where connections are shared; leave it out.",
    "controlmaster": "Vuls Web chooses when connections are shared; leave it out.",
    "controlpersist": "Vuls Web chooses how long connections are shared; leave it out.",
    "forwardagent": _FORWARDS,
    "forwardx11": _FORWARDS,
    "forwardx11trusted": _FORWARDS,
    "tunnel": _FORWARDS,
}


def rejection_reason(line: Line, keys: Collection[str]) -> str | None:
    """Return why `line` is not allowed; `keys` are the managed keys."""
    if line.keyword in ("proxycommand", "proxyjump"):
        read = read_proxy_command if line.keyword == "proxycommand" else read_proxy_jump
        proxy = None if line.value.lower() == "none" else read(line.value)
        return proxy if isinstance(proxy, str) else None
    if line.keyword not in SPELLING:
        return _OPTION_REASONS.get(line.keyword, "This option is not allowed here; leave it out.")
    if len(line.words) != 1:
        return f"{SPELLING[line.keyword]} takes one value; put a comment on a line of its own."
    value = line.words[0]
    if line.keyword == "identityfile":
        if value.lower() == "none" or (value in keys and KEY_NAME.fullmatch(value)):
            return None
        name = value.rsplit("/", maxsplit=1)[-1]
        if name != value and name in keys:
            return f"Write the bare name of the key: IdentityFile {name}."
        return f"There is no key {name!r} under Keys; upload or generate it, then write its bare name."
    reason = _CHECKS[line.keyword](value)
    return reason and _VALUE_REASONS.get(line.keyword, reason)


def written(option: Line, keys: PurePath) -> str:
    """Return an accepted option as it is written for ssh."""
    keyword, value = option.keyword, option.words[0]
    if keyword in ("proxycommand", "proxyjump"):
        proxy = proxy_of({keyword: [value]})
        if proxy.jump:
            return f"ProxyJump {proxy.jump}"
        value = " ".join(proxy.words) or value
    elif keyword == "identityfile" and value.lower() != "none":
        value = str(keys / value)
    elif keyword == "connecttimeout":
        # Never without end: one host that hangs would hold up its whole scan.
        value = str(seconds(value) or _LONGEST_CONNECT_TIMEOUT)
    elif keyword == "serveraliveinterval":
        value = str(seconds(value))
    return f"{SPELLING[keyword]} {value}"
