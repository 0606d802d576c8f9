"""The programs that a connection may be made with: which ones, with which flags, and nothing else.

ssh hands a ProxyCommand to a shell. So it is taken apart into words here and put together again from words
that mean nothing to a shell; flags that read files, run programs or listen somewhere are simply not known.
"""

import enum
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass


class Connection(enum.StrEnum):
    """How a host is reached."""

    AWS_SSM = "aws_ssm"  # EC2 Instance Connect as well
    GCP_IAP = "gcp_iap"
    CLOUDFLARE = "cloudflare_access"
    JUMP = "jump_host"
    DIRECT = "direct"

    @property
    def label(self) -> str:
        """Return the name that people read."""
        return _LABELS[self]

    @property
    def scan_modes(self) -> tuple[str, ...]:
        """Return Vuls' scan modes for hosts that are reached like this."""
        return _SCAN_MODES[self]


_LABELS = {
    Connection.AWS_SSM: "AWS SSM",
    Connection.GCP_IAP: "GCP IAP",
    Connection.CLOUDFLARE: "Cloudflare Access",
    Connection.JUMP: "Jump host",
    Connection.DIRECT: "Direct SSH",
}
_SCAN_MODES = {
    Connection.AWS_SSM: ("fast",),
    Connection.GCP_IAP: ("fast",),
    Connection.CLOUDFLARE: ("offline",),
    Connection.JUMP: ("fast", "offline"),
    Connection.DIRECT: ("fast", "offline"),
}


@dataclass(frozen=True)
class Proxy:
    """A ProxyCommand that is allowed: its words, or the `jump` host that stands for an `ssh -W`."""

    connection: Connection
    words: tuple[str, ...] = ()
    jump: str = ""


@dataclass(frozen=True)
class _Form:
    """One allowed command: patterns for its words and its flags; None is a flag without value."""

    shown: str
    connection: Connection
    words: tuple[str, ...]
    flags: Mapping[str, str | None]
    required: tuple[str, ...]
    # What must stand behind "--".
    passed_on: str = ""


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
            Connection.AWS_SSM,
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
            Connection.AWS_SSM,
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
            Connection.GCP_IAP,
            ("compute", "start-iap-tunnel", _TARGET, _PORT),
            _GCLOUD
            | {"--listen-on-stdin": None, "--network": _NAME, "--region": _NAME, "--dest-group": _NAME},
            ("--listen-on-stdin",),
        ),
        _Form(
            "gcloud compute ssh",
            Connection.GCP_IAP,
            ("compute", "ssh", rf"((%r|{_NAME})@)?({_TARGET})"),
            _GCLOUD | {"--tunnel-through-iap": None, "--internal-ip": None},
            (),
            passed_on=rf"(-q )?-W (%h|localhost|127\.0\.0\.1):({_PORT})",
        ),
    ),
    "cloudflared": (
        _Form(
            "cloudflared access ssh",
            Connection.CLOUDFLARE,
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

# Everything that the forms need, and nothing that a shell acts upon but quotes, which are taken off.
_SAFE = re.compile(r"[A-Za-z0-9 \t_@%+=:,./'\"\[\]-]*")
_TOKEN = re.compile(r"%[hprn]")
_FOLDERS = re.compile(r"\A/(?:usr/|usr/local/|snap/|opt/homebrew/)?bin/")


def read_proxy_command(value: str) -> Proxy | str:
    """Return what a ProxyCommand does, or the reason why it is not allowed."""
    if not _SAFE.fullmatch(value):
        bad = next(c for c in value if not _SAFE.fullmatch(c))
        return f"A ProxyCommand is run by a shell, so {bad!r} cannot stand in it; use plain words."
    if "%" in _TOKEN.sub("", value):
        return "In a ProxyCommand only %h, %p, %r and %n can be used of the signs with %."
    try:
        words = _without_shell(shlex.split(value))
    except ValueError:
        return "A quote in the ProxyCommand is not closed."
    program = _FOLDERS.sub("", words[0], count=1) if words else ""
    if program == "ssh":
        return _ssh(words[1:])
    if program not in _FORMS:
        return f"A ProxyCommand can be {_ALLOWED}; this one would start {program!r}."
    reasons = []
    for form in _FORMS[program]:
        reason = _against(form, words[1:])
        if reason is None:
            return Proxy(form.connection, (program, *words[1:]))
        reasons.append(reason)
    # The form that got furthest is the one that was meant.
    return max(reasons)[1]


def _without_shell(words: list[str]) -> list[str]:
    # AWS and others document `sh -c "aws ..."`: what is inside needs no shell.
    if len(words) == 3 and _FOLDERS.sub("", words[0]) in ("sh", "bash") and words[1] == "-c":
        return shlex.split(words[2])
    return words


def _against(form: _Form, words: list[str]) -> tuple[int, str] | None:
    """Return how far `words` follow `form` and the reason where they leave it; None when they follow."""
    passed_on = " ".join(words[words.index("--") + 1 :]) if "--" in words else ""
    words = words[: words.index("--")] if "--" in words else words
    positions = list(form.words)
    given: set[str] = set()
    unnamed = f"`{form.shown}` is all that this program may do here; {_ALLOWED} are allowed."
    rest = iter(words)
    for word in rest:
        if word.startswith("-"):
            flag, sign, value = word.partition("=")
            if flag not in form.flags:
                return (
                    1,
                    f"The flag {flag!r} of `{form.shown}` is not among those allowed here; leave it out.",
                )
            pattern = form.flags[flag]
            if pattern is not None:
                value = value if sign else next(rest, "")
            if not (re.fullmatch(pattern, value) if pattern is not None else not sign):
                return 1, f"The value of {flag} cannot be {value!r} here; write it plainly, or leave it out."
            given.add(flag)
        elif not positions:
            return 1, f"{word!r} is one word too many for `{form.shown}`."
        elif not re.fullmatch(positions.pop(0), word):
            return int(len(positions) < len(form.words) - 2), f"{word!r} is not allowed here. {unnamed}"
    return _missing(form, positions, given, passed_on)


def _missing(form: _Form, positions: list[str], given: set[str], passed_on: str) -> tuple[int, str] | None:
    if positions:
        return 0, f"Words are missing. `{form.shown}` must be written whole; {_ALLOWED} are allowed."
    if absent := [flag for flag in form.required if flag not in given]:
        return 2, f"`{form.shown}` needs {' and '.join(absent)} to carry SSH."
    if not re.fullmatch(form.passed_on, passed_on):
        return 2, f"Behind `{form.shown}` there must be {'`-- -W %h:%p`' if form.passed_on else 'no `--`'}."
    return None


_HOP = re.compile(
    rf"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9._+-]*)@)?(?P<host>{_NAME}|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9]{{1,5}}))?"
)


def _ssh(words: list[str]) -> Proxy | str:
    """Read `ssh -W %h:%p [user@]host`, which is a jump host; as ProxyJump it keeps to this file alone."""
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
        return "With ssh, only `ssh -W %h:%p JUMPHOST` is allowed; ProxyJump JUMPHOST says the same."
    hop = seen.get("host", "")
    hop = f"{seen['-l']}@{hop}" if "-l" in seen else hop
    hop = f"{hop}:{seen['-p']}" if "-p" in seen else hop
    jump = read_proxy_jump(hop)
    if isinstance(jump, Proxy) and _HOP.fullmatch(jump.jump):
        return jump
    return f"{hop!r} is no name or address of a jump host."


def read_proxy_jump(value: str) -> Proxy | str:
    """Return the jump hosts in one way of writing, or the reason why they cannot be used."""
    if value.lower() == "none":
        return Proxy(Connection.DIRECT)
    hops = []
    for written in value.split(","):
        # A scheme is written in small letters or not recognised by ssh.
        hop = written.removeprefix("ssh://").removesuffix("/") if written.startswith("ssh://") else written
        match = _HOP.fullmatch(hop)
        if match is None or (match["port"] and not 1 <= int(match["port"]) <= 65535):
            return (
                f"{written!r} is no jump host; write HOST, USER@HOST or USER@HOST:PORT, with commas between."
            )
        hops.append(hop)
    return Proxy(Connection.JUMP, jump=",".join(hops))


def first_hop(jump: str) -> str:
    """Return the name or address of the jump host that is reached first, by its own Host blocks."""
    match = _HOP.match(jump)
    return match["host"].strip("[]") if match else ""
