"""Host keys: fetched with ssh-keyscan, or read from pasted lines."""

import contextlib
import ipaddress
import re
import subprocess
from collections.abc import Sequence

from vulsweb.ssh import public_keys
from vulsweb.ssh.public_keys import KeyRefused, PublicKey

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")  # a network interface's name
_HOSTNAME = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
SSH_PORT = 22
LONGEST_PASTE = 32 * 1024
# For each connection; ssh-keyscan opens one for each type of key, in parallel.
CONNECT_SECONDS = 5
SCAN_SECONDS = 20


class HostRefused(ValueError):
    """A wrong host name, address or port; the message says why."""


class ScanFailed(Exception):
    """A host whose keys could not be fetched; the message says why."""


def check_host(hostname: str, port: int) -> tuple[str, int]:
    """Return host and port, safe for ssh-keyscan; raise HostRefused otherwise."""
    if not 1 <= port <= 65535:
        raise HostRefused("A port is a number from 1 to 65535.")
    try:
        zone = getattr(ipaddress.ip_address(hostname), "scope_id", None)
        valid = zone is None or _ZONE.fullmatch(zone) is not None
    except ValueError:
        valid = _HOSTNAME.fullmatch(hostname) is not None
    if len(hostname) > 253 or not valid:
        raise HostRefused("Write a host name such as web-1.example.com, or an IP address.")
    # ssh looks names up in lower case.
    return hostname.lower(), port


def known_hosts_name(hostname: str, port: int) -> str:
    """Return a host's name in known_hosts: with its port unless 22."""
    return hostname if port == SSH_PORT else f"[{hostname}]:{port}"


def scan(hostname: str, port: int) -> list[PublicKey]:
    """Fetch a host's keys; raise ScanFailed if none is accepted."""
    hostname, port = check_host(hostname, port)
    command = ["ssh-keyscan", "-T", str(CONNECT_SECONDS), "-p", str(port), "-t", "ed25519,ecdsa,rsa"]
    try:
        done = subprocess.run(  # noqa: S603 - a list, no shell, and its values are checked
            [*command, "--", hostname], capture_output=True, text=True, timeout=SCAN_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise ScanFailed("ssh-keyscan is not installed where the worker runs.") from error
    except subprocess.TimeoutExpired as error:
        raise ScanFailed(f"The host did not send its keys within {SCAN_SECONDS} seconds.") from error
    keys = set()
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) == 3 and not line.startswith("#"):
            # A host can have weak keys beside good ones; those are skipped.
            with contextlib.suppress(KeyRefused):
                keys.add(public_keys.parse(words[1], words[2]))
    if keys:
        return sorted(keys, key=lambda key: public_keys.TYPES.index(key.type))
    if done.stdout.strip():
        raise ScanFailed("All keys of the host are too weak or of types that are not accepted.")
    errors = [line.strip() for line in done.stderr.splitlines() if not line.startswith("#")]
    reason = f" ssh-keyscan says: {errors[-1][:200]}" if errors and errors[-1] else ""
    raise ScanFailed(f"No SSH server answered there.{reason}")


def read_lines(text: str, hostname: str, port: int) -> list[PublicKey]:
    """Return the keys in lines of known_hosts or a .pub file.

    A line that names a host must name this one. The error names the line by number and repeats none of its
    text, which could be a private key pasted by mistake.
    """
    if len(text) > LONGEST_PASTE:
        raise KeyRefused("The text is too long; paste only the keys of this host.")
    keys = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            keys.append(_parse_words(words, known_hosts_name(hostname, port)))
        except KeyRefused as error:
            raise KeyRefused(f"Line {number}: {error}") from error
    if not keys:
        raise KeyRefused("Paste at least one line, such as: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA...")
    return list(dict.fromkeys(keys))


def _parse_words(words: Sequence[str], name: str) -> PublicKey:
    if words[0].startswith("@"):
        raise KeyRefused("Certificate authorities and revoked keys are not accepted; paste keys of one host.")
    if words[0] not in public_keys.TYPES and len(words) > 2:
        if words[0].startswith("|"):
            raise KeyRefused("The host's name is hashed, so it cannot be compared. Leave the name out.")
        if name not in words[0].lower().split(","):
            raise KeyRefused(
                f"The line names another host than {name}. Correct the host, or leave its name out."
            )
        words = words[1:]
    if len(words) < 2:
        raise KeyRefused("This is not a host key; write its type and the key, such as: ssh-ed25519 AAAA...")
    return public_keys.parse(words[0], words[1])
