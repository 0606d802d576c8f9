"""The keys that Vuls signs in with: private parts go in, and never come out again."""

import contextlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from cryptography.hazmat.primitives.serialization.ssh import SSHPrivateKeyTypes

from vulsweb.ssh import folder as ssh_folder
from vulsweb.ssh import public_keys
from vulsweb.ssh.folder import NewFile, SshFolder
from vulsweb.ssh.public_keys import KeyRefused, PublicKey

# ssh takes NAME.pub and NAME-cert.pub for parts of NAME, and `IdentityFile none` for no key.
_NAME = re.compile(r"(?!.*\.pub$)(?!(?i:none)$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
NAME_RULE = (
    "A name has 1 to 64 letters, digits, dots, dashes and underscores, does not end in .pub and is not none."
)
LONGEST = 32 * 1024
_PEM = "-----BEGIN "


class KeyNameTaken(ValueError):
    """There is a key by this name already."""


@dataclass(frozen=True)
class SshKey:
    """A key as it may be shown."""

    name: str
    public: PublicKey
    added_at: datetime

    @property
    def line(self) -> str:
        """Return the line for ~/.ssh/authorized_keys on a host."""
        return f"{self.public.type} {self.public.base64} {self.name}"


def all_keys(folder: SshFolder) -> list[SshKey]:
    """Return the keys, by name."""
    if not folder.keys.is_dir():
        return []
    return [_shown(path) for path in sorted(folder.keys.iterdir()) if is_name(path.name)]


def get(folder: SshFolder, name: str) -> SshKey | None:
    """Return the key by this name, or None."""
    path = folder.keys / name
    return _shown(path) if is_name(name) and path.is_file() else None


def generate(folder: SshFolder, name: str) -> SshKey:
    """Make a new Ed25519 key; raise KeyRefused for the name, KeyNameTaken for one in use."""
    return _keep(folder, check_name(name), Ed25519PrivateKey.generate())


def upload(folder: SshFolder, name: str, text: str) -> SshKey:
    """Keep a private key that a person has; raise KeyRefused for what is not one or is too weak."""
    return _keep(folder, check_name(name), _private(text))


def delete(folder: SshFolder, key: SshKey) -> None:
    """Delete a key, private part first."""
    path = folder.keys / key.name
    ssh_folder.remove(path, _public_path(path))


def is_name(name: str) -> bool:
    """Say whether a key may be called so."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """Return the name if a key may have it; raise KeyRefused, which does not repeat it, otherwise."""
    if not is_name(name):
        raise KeyRefused(NAME_RULE)
    return name


def _private(text: str) -> SSHPrivateKeyTypes:
    if len(text) > LONGEST:
        raise KeyRefused("This is too long for a private key.")
    # Browsers send CRLF, and terminals copy blanks along; neither is part of a key.
    data = "\n".join(line.strip() for line in text.strip().splitlines()).encode(errors="replace") + b"\n"
    if not data.startswith(_PEM.encode()):
        raise KeyRefused('This is not a private key; one begins with "-----BEGIN".')
    load = load_ssh_private_key if data.startswith(b"-----BEGIN OPENSSH") else load_pem_private_key
    try:
        key = load(data, password=None)
    except TypeError as error:  # how cryptography says that it needs a passphrase
        raise KeyRefused(
            "This key has a passphrase, which nobody is there to type in when a scan begins. Upload one"
            " without: ssh-keygen -p -N '' -f FILE takes it off a copy."
        ) from error
    except UnsupportedAlgorithm as error:
        raise KeyRefused(public_keys.NOT_ACCEPTED) from error
    except ValueError as error:
        raise KeyRefused("This private key cannot be read: it is cut off or damaged.") from error
    if not isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey):
        raise KeyRefused(public_keys.NOT_ACCEPTED)
    public_keys.check_strength(key.public_key())
    return key


def _keep(folder: SshFolder, name: str, key: SSHPrivateKeyTypes) -> SshKey:
    folder.make()
    path = folder.keys / name
    # In OpenSSH's own form, whatever form it came in: every ssh reads that.
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    try:
        # Before the public part: of two uploads by one name, the later must not leave its public part.
        ssh_folder.create(NewFile(path, private, ssh_folder.PRIVATE))
    except FileExistsError as error:
        raise KeyNameTaken(
            f"There is a key named {name} already. Delete it first, or choose another."
        ) from error
    public = _public_text(key)
    ssh_folder.write(NewFile(_public_path(path), f"{public} {name}\n", ssh_folder.PUBLIC))
    return _shown(path)


def _shown(path: Path) -> SshKey:
    line = ""
    with contextlib.suppress(FileNotFoundError):
        line = _public_path(path).read_text()
    if not line:  # lost between the writing of the two files
        line = _public_text(load_ssh_private_key(path.read_bytes(), password=None))
    kind, text, *_ = line.split()
    return SshKey(path.name, PublicKey(kind, text), datetime.fromtimestamp(path.stat().st_mtime, UTC))


def _public_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.pub")


def _public_text(key: SSHPrivateKeyTypes) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
