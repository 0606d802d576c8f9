"""The programs that are allowed as ProxyCommand, with their allowed flags.

ssh passes a ProxyCommand to a shell. So it is split into words here and written again from words that mean
nothing to a shell. Flags that read files, run programs or open ports are not in the list.
"""

import enum
import getopt
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
_EMAIL = r"[A-Za-z0-9][A-Za-z0-9._+-]*@[A-Za-z0-9.-]+"
_AWS = {
    "--region": _NAME,
    "--profile": _NAME,
    "--output": "json|text|table|yaml",
    "--color": "on|off|auto",
    "--cli-connect-timeout": _NUMBER,
    "--cli-read-timeout": _NUMBER,
    "--no-cli-pager": None,
    "--no-cli-auto-prompt": None,
}
_GCLOUD = {
    "--project": rf"{_NAME}(:{_NAME})?",
    "--zone": _NAME,
    "--account": _EMAIL,
    "--impersonate-service-account": rf"{_EMAIL}(,{_EMAIL})*",
    "--billing-project": _NAME,
    "--configuration": _NAME,
    "--verbosity": "debug|info|warning|error|critical|none",
    "--no-user-output-enabled": None,
    "--quiet": None,
    "-q": None,
}
# Variables that people put before the program, and the flags that do the same. Others can make the program
# run or load something else.
_FLAG_OF_VARIABLE = {
    "AWS_PROFILE": "--profile",
    "AWS_DEFAULT_PROFILE": "--profile",
    "AWS_REGION": "--region",
    "AWS_DEFAULT_REGION": "--region",
    "CLOUDSDK_ACTIVE_CONFIG_NAME": "--configuration",
    "CLOUDSDK_CORE_ACCOUNT": "--account",
    "CLOUDSDK_CORE_PROJECT": "--project",
    "CLOUDSDK_COMPUTE_ZONE": "--zone",
    "CLOUDSDK_COMPUTE_REGION": "--region",
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
                "--reason": _NAME,
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
            | {
                "--listen-on-stdin": None,
                "--iap-tunnel-disable-connection-check": None,
                "--network": _NAME,
                "--region": _NAME,
                "--dest-group": _NAME,
            },
            ("--listen-on-stdin",),
        ),
        _Form(
            "gcloud compute ssh",
            SshConnection.GCP_IAP,
            ("compute", "ssh", rf"((%r|{_NAME})@)?({_TARGET})"),
            _GCLOUD
            | {
                "--tunnel-through-iap": None,
                "--internal-ip": None,
                "--plain": None,
                "--strict-host-key-checking": "yes",
            },
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
                "--loglevel": "debug|info|warn|error|fatal",
                "--log-level": "debug|info|warn|error|fatal",
            },
            ("--hostname",),
        ),
    ),
}
_ALLOWED = ", ".join([*(form.shown for forms in _FORMS.values() for form in forms), "ssh -W"])

# %r is the user at the host behind. ssh puts it in, unless the hop is a URI.
_HOP = re.compile(
    rf"(?:(?P<user>%r|[A-Za-z0-9_][A-Za-z0-9._+-]*)@)?(?P<host>{_NAME}|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9]{{1,5}}))?"
)

# Everything that the forms need. Of the characters special to a shell only quotes, which are removed.
_SAFE = re.compile(r"[A-Za-z0-9 \t_@%+=:,./'\"\[\]-]*")
# The shell ends the command at a # that begins a word outside quotes. ssh itself reads no comment there.
_COMMENTED = re.compile(r"""((?:[^'"]|'[^']*'|"[^"]*")*?)[ \t]+#.*""")
_TOKEN = re.compile(r"%[hprn]")
_FOLDERS = re.compile(r"\A/(?:usr/|usr/local/|snap/|opt/homebrew/)?bin/")


def read_proxy_command(value: str) -> Proxy | str:
    """Return what a ProxyCommand does, or why it is not allowed."""
    commented = _COMMENTED.fullmatch(value)
    value = commented[1] if commented else value
    if not _SAFE.fullmatch(value):
        bad = next(c for c in value if not _SAFE.fullmatch(c))
        return f"A ProxyCommand is run by a shell, so {bad!r} is not allowed in it; use plain words."
    if "%" in _TOKEN.sub("", value):
        return "A ProxyCommand can use only %h, %p, %r and %n; remove any other %."
    try:
        words = _split_command(value)
        # AWS and others document `sh -c "aws ..."`. The inner command needs no shell.
        if len(words) == 3 and _FOLDERS.sub("", words[0]) in ("sh", "bash") and words[1] == "-c":
            words = _split_command(words[2])
    except ValueError:
        return "A quote in the ProxyCommand is not closed; close or remove it."
    program = _FOLDERS.sub("", words[0], count=1) if words else ""
    if program == "ssh":
        return _read_ssh_command(words[1:])
    first = "".join(words[1:2] if program == "env" else words[:1])
    name, assigned, assigned_value = first.partition("=")
    if assigned and name.isidentifier():
        flag = _FLAG_OF_VARIABLE.get(name)
        advice = f"write {flag} {assigned_value} behind the program instead" if flag else "leave it out"
        return f"A ProxyCommand cannot set the variable {name}; {advice}."
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


def _split_command(command: str) -> list[str]:
    """Return the words of a shell's command, without an exec before them.

    With exec, the program takes the shell's place. The command is the same.
    """
    words = shlex.split(command)
    return words[1:] if words[:1] == ["exec"] else words


def _read_ssh_command(words: list[str]) -> Proxy | str:
    """Read `ssh -W %h:%p [user@]host` as ProxyJump, which reads no other ssh_config."""
    unusable = "cannot be used with `ssh -W` here; put it into the jump host's own Host block."
    try:
        # The flags without a value change nothing for a connection that only carries another one.
        flags, rest = getopt.gnu_getopt(words, "qTaxnNkvCW:l:p:")
    except getopt.GetoptError as error:
        return f"{'-' + error.opt!r} {unusable}"
    given = [flag for flag, value in flags if value]
    if surplus := [*rest[1:], *(flag for flag in set(given) if given.count(flag) > 1)]:
        return f"{surplus[0]!r} {unusable}"
    seen = dict(flags)
    if seen.get("-W") not in ("%h:%p", "[%h]:%p"):
        return "With ssh, only `ssh -W %h:%p JUMPHOST` is allowed; or write ProxyJump JUMPHOST instead."
    hop = "".join(rest)
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
    if re.fullmatch(r"none[ \t]+#.*", value, re.IGNORECASE):
        return "ssh takes none for a jump host if a comment follows; put the comment on a line of its own."
    hops = []
    for written in value.split(","):
        # ssh recognises the scheme only in small letters.
        hop = written.removeprefix("ssh://").removesuffix("/") if written.startswith("ssh://") else written
        match = None if hop != written and "%" in hop else _HOP.fullmatch(hop)
        if match is None or (match["port"] and not 1 <= int(match["port"]) <= 65535):
            return (
                f"{written!r} is not a jump host; write HOST, USER@HOST or USER@HOST:PORT, split by commas."
            )
        hops.append(hop)
    return Proxy(SshConnection.JUMP, jump=",".join(hops))


def jump_hosts(jump: str) -> list[str]:
    """Return the names or addresses of normalized jump hosts, in order."""
    return [match["host"].strip("[]") for hop in jump.split(",") if (match := _HOP.fullmatch(hop))]


def proxy_of(options: Mapping[str, list[str]]) -> Proxy:
    """Return the proxy of checked options."""
    proxy = read_proxy_jump(options.get("proxyjump", ["none"])[0])
    command = options.get("proxycommand", ["none"])[0]
    if command.lower() != "none":
        proxy = read_proxy_command(command)
    return proxy if isinstance(proxy, Proxy) else Proxy(SshConnection.DIRECT)
