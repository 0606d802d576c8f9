"""The programs that are allowed as ProxyCommand, with their allowed flags.

ssh passes a ProxyCommand to a shell. So it is split into words here and written again from words that mean
nothing to a shell. Flags that read files, run programs or open ports are not in the list.
"""

import enum
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass


class SshConnection(enum.StrEnum):
    """How ssh connects to a host."""

    AWS_SSM = "aws_ssm"  # including EC2 Instance Connect
    GCP_IAP = "gcp_iap"
    CLOUDFLARE = "cloudflare_access"
    JUMP = "jump_host"
    DIRECT = "direct"

    @property
    def label(self) -> str:
        """Return the name to display."""
        return _LABELS[self]

    @property
    def scan_modes(self) -> tuple[str, ...]:
        """Return the scan modes of Vuls for such hosts."""
        return _SCAN_MODES[self]


_LABELS = {
    SshConnection.AWS_SSM: "AWS SSM",
    SshConnection.GCP_IAP: "GCP IAP",
    SshConnection.CLOUDFLARE: "Cloudflare Access",
    SshConnection.JUMP: "Jump host",
    SshConnection.DIRECT: "Direct SSH",
}
_SCAN_MODES = {
    SshConnection.AWS_SSM: ("fast",),
    SshConnection.GCP_IAP: ("fast",),
    SshConnection.CLOUDFLARE: ("offline",),
    SshConnection.JUMP: ("fast", "offline"),
    SshConnection.DIRECT: ("fast", "offline"),
}


@dataclass(frozen=True)
class Proxy:
    """An allowed proxy: a ProxyCommand's words, or `jump` hosts."""

    connection: SshConnection
    words: tuple[str, ...] = ()
    jump: str = ""


@dataclass(frozen=True)
class _Form:
    """One allowed command, with patterns for its words and its flags' values."""

    shown: str
    connection: SshConnection
    words: tuple[str, ...]
    flags: Mapping[str, str | None]  # None: a flag without a value
    required: tuple[str, ...]
    passed_on: str = ""  # the pattern of what follows "--"

    def mismatch(self, words: list[str]) -> tuple[int, str] | None:
        """Return how far `words` match and why they differ, or None."""
        passed_on = " ".join(words[words.index("--") + 1 :]) if "--" in words else ""
        expected, given = list(self.words), set()
        rest = iter(words[: words.index("--")] if "--" in words else words)
        for word in rest:
            if word.startswith("-"):
                flag, sign, value = word.partition("=")
                if flag not in self.flags:
                    return 1, f"The flag {flag!r} of `{self.shown}` is not allowed here; leave it out."
                pattern = self.flags[flag]
                value = value if sign or pattern is None else next(rest, "")
                if sign if pattern is None else not re.fullmatch(pattern, value):
                    return (
                        1,
                        f"The value of {flag} cannot be {value!r} here; write it plainly, or leave it out.",
                    )
                given.add(flag)
            elif not expected:
                return 1, f"{word!r} is one word too many for `{self.shown}`; leave it out."
            elif not re.fullmatch(expected.pop(0), word):
                matched = int(len(expected) < len(self.words) - 2)
                return matched, f"{word!r} is not allowed here; write `{self.shown}`, or one of {_ALLOWED}."
        if expected:
            return 0, f"Words are missing. Write all of `{self.shown}`, or one of {_ALLOWED}."
        if absent := [flag for flag in self.required if flag not in given]:
            return 2, f"`{self.shown}` needs {' and '.join(absent)} to carry SSH."
        if not re.fullmatch(self.passed_on, passed_on):
            needed = "`-- -W %h:%p`" if self.passed_on else "no `--`"
            return 2, f"After `{self.shown}` there must be {needed}."
        return None


_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_TARGET = rf"%h|%n|{_NAME}"
_PORT = r"%p|[0-9]{1,5}"
_NUMBER = r"[0-9]{1,6}"
_AWS = {"--region": _NAME, "--profile": _NAME}
_GCLOUD = {
    "--project": rf"{_NAME}(:{_NAME})?",
    "--zone": _NAME,
    "--account": r"[A-Za-z0-9][A-Za-z0-9._+-]*@[A-Za-z0-9.-]+",
    "--configuration": _NAME,
    "--quiet": None,
}
_FORMS = {
    "aws": (
        _Form(
            "aws ssm start-session",
            SshConnection.AWS_SSM,
            ("ssm", "start-session"),
            _AWS
            | {
                "--target": _TARGET,
                "--document-name": "AWS-StartSSHSession",
                "--parameters": rf"portNumber=({_PORT})",
            },
            ("--target", "--document-name"),
        ),
        _Form(
            "aws ec2-instance-connect open-tunnel",
            SshConnection.AWS_SSM,
            ("ec2-instance-connect", "open-tunnel"),
            _AWS
            | {
                "--instance-id": _TARGET,
                "--private-ip-address": r"%h|[0-9.]+|[0-9a-fA-F:]+",
                "--remote-port": _PORT,
                "--instance-connect-endpoint-id": _NAME,
                "--max-tunnel-duration": _NUMBER,
            },
            (),
        ),
    ),
    "gcloud": (
        _Form(
            "gcloud compute start-iap-tunnel",
            SshConnection.GCP_IAP,
            ("compute", "start-iap-tunnel", _TARGET, _PORT),
            _GCLOUD
            | {"--listen-on-stdin": None, "--network": _NAME, "--region": _NAME, "--dest-group": _NAME},
            ("--listen-on-stdin",),
        ),
        _Form(
            "gcloud compute ssh",
            SshConnection.GCP_IAP,
            ("compute", "ssh", rf"((%r|{_NAME})@)?({_TARGET})"),
            _GCLOUD | {"--tunnel-through-iap": None, "--internal-ip": None},
            (),
            passed_on=rf"(-q )?-W (%h|localhost|127\.0\.0\.1):({_PORT})",
        ),
    ),
    "cloudflared": (
        _Form(
            "cloudflared access ssh",
            SshConnection.CLOUDFLARE,
            ("access", "ssh"),
            {
                "--hostname": _TARGET,
                "--destination": rf"({_TARGET}):({_PORT})",
                "--service-token-id": _NAME,
                "--service-token-secret": _NAME,
                "--id": _NAME,
                "--secret": _NAME,
            },
            ("--hostname",),
        ),
    ),
}
_ALLOWED = ", ".join([*(form.shown for forms in _FORMS.values() for form in forms), "ssh -W"])

_HOP = re.compile(
    rf"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9._+-]*)@)?(?P<host>{_NAME}|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9]{{1,5}}))?"
)

# Everything that the forms need. Of the characters special to a shell only quotes, which are removed.
_SAFE = re.compile(r"[A-Za-z0-9 \t_@%+=:,./'\"\[\]-]*")
_TOKEN = re.compile(r"%[hprn]")
_FOLDERS = re.compile(r"\A/(?:usr/|usr/local/|snap/|opt/homebrew/)?bin/")


def read_proxy_command(value: str) -> Proxy | str:
    """Return what a ProxyCommand does, or why it is not allowed."""
    if not _SAFE.fullmatch(value):
        bad = next(c for c in value if not _SAFE.fullmatch(c))
        return f"A ProxyCommand is run by a shell, so {bad!r} is not allowed in it; use plain words."
    if "%" in _TOKEN.sub("", value):
        return "A ProxyCommand can use only %h, %p, %r and %n; remove any other %."
    try:
        words = shlex.split(value)
        # AWS and others document `sh -c "aws ..."`. The inner command needs no shell.
        if len(words) == 3 and _FOLDERS.sub("", words[0]) in ("sh", "bash") and words[1] == "-c":
            words = shlex.split(words[2])
    except ValueError:
        return "A quote in the ProxyCommand is not closed; close or remove it."
    program = _FOLDERS.sub("", words[0], count=1) if words else ""
    if program == "ssh":
        return _read_ssh_command(words[1:])
    if program not in _FORMS:
        return f"A ProxyCommand can be {_ALLOWED}; this one would start {program!r}."
    reasons = []
    for form in _FORMS[program]:
        reason = form.mismatch(words[1:])
        if reason is None:
            return Proxy(form.connection, (program, *words[1:]))
        reasons.append(reason)
    # Explain the form that matched furthest: it is the intended one.
    return max(reasons)[1]


def _read_ssh_command(words: list[str]) -> Proxy | str:
    """Read `ssh -W %h:%p [user@]host` as ProxyJump, which reads no other ssh_config."""
    seen: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        key = word if word.startswith("-") else "host"
        if key in ("-q", "-T", "-a", "-x"):
            continue
        if key not in ("-W", "-l", "-p", "host") or key in seen:
            return f"{word!r} cannot be used with `ssh -W` here; put it into the jump host's own Host block."
        seen[key] = next(rest, "") if key != "host" else word
    if seen.get("-W") not in ("%h:%p", "[%h]:%p"):
        return "With ssh, only `ssh -W %h:%p JUMPHOST` is allowed; or write ProxyJump JUMPHOST instead."
    hop = seen.get("host", "")
    hop = f"{seen['-l']}@{hop}" if "-l" in seen else hop
    hop = f"{hop}:{seen['-p']}" if "-p" in seen else hop
    jump = read_proxy_jump(hop)
    if isinstance(jump, Proxy) and _HOP.fullmatch(jump.jump):
        return jump
    return f"{hop!r} is not a jump host; write its name or address after `ssh -W %h:%p`."


def read_proxy_jump(value: str) -> Proxy | str:
    """Return the normalized jump hosts, or why they are not allowed."""
    if value.lower() == "none":
        return Proxy(SshConnection.DIRECT)
    hops = []
    for written in value.split(","):
        # ssh recognises the scheme only in small letters.
        hop = written.removeprefix("ssh://").removesuffix("/") if written.startswith("ssh://") else written
        match = _HOP.fullmatch(hop)
        if match is None or (match["port"] and not 1 <= int(match["port"]) <= 65535):
            return (
                f"{written!r} is not a jump host; write HOST, USER@HOST or USER@HOST:PORT, split by commas."
            )
        hops.append(hop)
    return Proxy(SshConnection.JUMP, jump=",".join(hops))


def first_jump_host(jump: str) -> str:
    """Return the first jump host, or an empty text for none."""
    match = _HOP.match(jump)
    return match["host"].strip("[]") if match else ""
