"""The SSH keys of Vuls; private keys are stored, never shown."""

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

from vulsweb.audit import trail
from vulsweb.models import AuditAction, AuditKind
from vulsweb.ssh import folder as ssh_folder
from vulsweb.ssh import public_keys
from vulsweb.ssh.folder import NewFile, SshFolder
from vulsweb.ssh.public_keys import KeyRefused, PublicKey

# ssh reads NAME.pub and NAME-cert.pub as parts of NAME, and `IdentityFile none` as no key.
_NAME = re.compile(r"(?!.*\.pub$)(?!(?i:none)$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
NAME_RULE = (
    "A name has 1 to 64 letters, digits, dots, dashes and underscores. It cannot end in .pub or be none."
)
LONGEST = 32 * 1024
_PEM = "-----BEGIN "


class KeyNameTaken(ValueError):
    """A key with this name exists."""


@dataclass(frozen=True)
class SshKey:
    """The public data of a key."""

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
    return [_read_key(path) for path in sorted(folder.keys.iterdir()) if is_name(path.name)]


def get(folder: SshFolder, name: str) -> SshKey | None:
    """Return the key with this name, or None."""
    path = folder.keys / name
    return _read_key(path) if is_name(name) and path.is_file() else None


def generate(folder: SshFolder, name: str) -> SshKey:
    """Generate an Ed25519 key; raise KeyRefused or KeyNameTaken for the name."""
    return _store(folder, check_name(name), Ed25519PrivateKey.generate())


def upload(folder: SshFolder, name: str, text: str) -> SshKey:
    """Store a private key; raise KeyRefused or KeyNameTaken."""
    check_name(name)
    if len(text) > LONGEST:
        raise KeyRefused("This is too long for a private key.")
    # Browsers send CRLF, and terminals add blanks when copying; neither is part of a key.
    data = "\n".join(line.strip() for line in text.strip().splitlines()).encode(errors="replace") + b"\n"
    if not data.startswith(_PEM.encode()):
        raise KeyRefused('This is not a private key; one begins with "-----BEGIN".')
    load = load_ssh_private_key if data.startswith(b"-----BEGIN OPENSSH") else load_pem_private_key
    try:
        key = load(data, password=None)
    except TypeError as error:  # how cryptography says that the key has a passphrase
        raise KeyRefused(
            "This key has a passphrase, which nobody can enter when a scan starts. Upload a copy without one:"
            " ssh-keygen -p -N '' -f FILE removes it."
        ) from error
    except UnsupportedAlgorithm as error:
        raise KeyRefused(public_keys.NOT_ACCEPTED) from error
    except ValueError as error:
        raise KeyRefused("This private key cannot be read: it is incomplete or damaged.") from error
    if not isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey):
        raise KeyRefused(public_keys.NOT_ACCEPTED)
    public_keys.check_strength(key.public_key())
    return _store(folder, name, key)


def delete(folder: SshFolder, key: SshKey) -> None:
    """Delete a key, private part first."""
    path = folder.keys / key.name
    ssh_folder.remove(path, _public_path(path))


def note(action: AuditAction, key: SshKey) -> None:
    """Note for the audit trail what was done with a key."""
    facts = {"type": key.public.type, "fingerprint": key.public.fingerprint}
    is_new = action is AuditAction.ADDED
    trail.note(
        action,
        AuditKind.SSH_KEY,
        key.name,
        key.name,
        before=None if is_new else facts,
        after=facts if is_new else None,
    )


def is_name(name: str) -> bool:
    """Return whether a key may have this name."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """Return an allowed name; raise KeyRefused, without repeating it, otherwise."""
    if not is_name(name):
        raise KeyRefused(NAME_RULE)
    return name


def _store(folder: SshFolder, name: str, key: SSHPrivateKeyTypes) -> SshKey:
    folder.make()
    path = folder.keys / name
    # Always in OpenSSH's own format, which every ssh reads.
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    try:
        # The private part first: of two uploads with one name, the later must not replace the public part.
        ssh_folder.create(NewFile(path, private, ssh_folder.PRIVATE))
    except FileExistsError as error:
        raise KeyNameTaken(
            f"A key named {name} exists already. Delete it first, or choose another name."
        ) from error
    public = _public_text(key)
    ssh_folder.write(NewFile(_public_path(path), f"{public} {name}\n", ssh_folder.PUBLIC))
    return _read_key(path)


def _read_key(path: Path) -> SshKey:
    line = ""
    with contextlib.suppress(FileNotFoundError):
        line = _public_path(path).read_text()
    if not line:  # the process ended between writing the two files
        line = _public_text(load_ssh_private_key(path.read_bytes(), password=None))
    kind, text, *_ = line.split()
    return SshKey(path.name, PublicKey(kind, text), datetime.fromtimestamp(path.stat().st_mtime, UTC))


def _public_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.pub")


def _public_text(key: SSHPrivateKeyTypes) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
