"""The keys by which hosts prove who they are: fetched from a host, or read from lines that a person has."""

import ipaddress
import re
import subprocess
from collections.abc import Sequence

from vulsweb.ssh import public_keys
from vulsweb.ssh.public_keys import KeyRefused, PublicKey

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOSTNAME = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
SSH_PORT = 22
LONGEST_PASTE = 32 * 1024
# For each connection; ssh-keyscan opens one for each type of key, all at once.
CONNECT_SECONDS = 5
SCAN_SECONDS = 20


class HostRefused(ValueError):
    """A host cannot have this name, address or port; the message says what one looks like."""


class ScanFailed(Exception):
    """The host's keys could not be fetched; the message says why."""


def check_host(hostname: str, port: int) -> tuple[str, int]:
    """Return a host and port as ssh-keyscan may be given them; raise HostRefused otherwise."""
    if not 1 <= port <= 65535:
        raise HostRefused("A port is a number from 1 to 65535.")
    if len(hostname) > 253 or not (_HOSTNAME.fullmatch(hostname) or _is_address(hostname)):
        raise HostRefused("Write a host name such as web-1.example.com, or an IP address.")
    # As ssh looks for it: names are the same whatever their case.
    return hostname.lower(), port


def place_of(hostname: str, port: int) -> str:
    """Return how known_hosts names a host: with its port when that is not 22."""
    return hostname if port == SSH_PORT else f"[{hostname}]:{port}"


def scan(hostname: str, port: int) -> list[PublicKey]:
    """Ask a host for its keys; raise ScanFailed when it does not tell any that can be used."""
    hostname, port = check_host(hostname, port)
    command = ["ssh-keyscan", "-T", str(CONNECT_SECONDS), "-p", str(port), "-t", "ed25519,ecdsa,rsa"]
    try:
        done = subprocess.run(  # noqa: S603 - a list, no shell, and what is in it was checked
            [*command, "--", hostname], capture_output=True, text=True, timeout=SCAN_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise ScanFailed("ssh-keyscan is not installed where the worker runs.") from error
    except subprocess.TimeoutExpired as error:
        raise ScanFailed(f"The host did not tell its keys within {SCAN_SECONDS} seconds.") from error
    return _told(done.stdout, done.stderr)


def _told(output: str, complaints: str) -> list[PublicKey]:
    keys = []
    for line in output.splitlines():
        words = line.split()
        if len(words) != 3 or line.startswith("#"):
            continue
        try:
            keys.append(public_keys.parse(words[1], words[2]))
        except KeyRefused:
            continue  # a weak key beside good ones: we do not offer it
    if keys:
        return sorted(set(keys), key=lambda key: public_keys.TYPES.index(key.type))
    if output.strip():
        raise ScanFailed("The host has only keys that are too weak or of types that are not accepted.")
    said = [line.strip() for line in complaints.splitlines() if not line.startswith("#")]
    reason = f" ssh-keyscan says: {said[-1][:200]}" if said and said[-1] else ""
    raise ScanFailed(f"No SSH server answered there.{reason}")


def read_lines(text: str, hostname: str, port: int) -> list[PublicKey]:
    """Return the keys of lines as known_hosts or a .pub file has them; raise KeyRefused naming a wrong line.

    A line that names a host must name this one. The message repeats nothing of a line: it could be from a
    private key that was pasted by mistake.
    """
    if len(text) > LONGEST_PASTE:
        raise KeyRefused("These are too many lines; a host has a handful of keys.")
    keys = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            keys.append(_read_words(words, place_of(hostname, port)))
        except KeyRefused as error:
            raise KeyRefused(f"Line {number}: {error}") from error
    if not keys:
        raise KeyRefused("Paste at least one line, such as: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA...")
    return list(dict.fromkeys(keys))


def _read_words(words: Sequence[str], place: str) -> PublicKey:
    if words[0].startswith("@"):
        raise KeyRefused("Certificate authorities and revoked keys are not accepted, only keys of one host.")
    if words[0] not in public_keys.TYPES and len(words) > 2:
        names = words[0]
        if names.startswith("|"):
            raise KeyRefused(
                "The host's name is hashed, so nobody can tell whose key it is. Leave the name out."
            )
        if place not in names.lower().split(","):
            raise KeyRefused(
                f"The line names another host than {place}. Correct the host, or leave its name out."
            )
        words = words[1:]
    if len(words) < 2:
        raise KeyRefused("This is not a host key; write its type and the key, such as: ssh-ed25519 AAAA...")
    return public_keys.parse(words[0], words[1])


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not getattr(address, "scope_id", None)
