"""SSH keys are checked and stored; private keys are never shown."""

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.sshd import fingerprint, make_key
from vulsweb.ssh import keys
from vulsweb.ssh.folder import SshFolder
from vulsweb.ssh.keys import KeyNameTaken
from vulsweb.ssh.public_keys import KeyRefused

PUTTY = "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n"


@pytest.fixture
def folder(tmp_path: Path) -> SshFolder:
    return SshFolder(tmp_path / "ssh")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_ssh_keygen_reads_a_generated_key(folder: SshFolder) -> None:
    key = keys.generate(folder, "web")

    done = subprocess.run(
        ["ssh-keygen", "-yf", folder.keys / "web"], capture_output=True, check=True, text=True
    )
    assert done.stdout.split()[:2] == [key.public.type, key.public.base64]
    assert key.public.fingerprint == fingerprint(folder.keys / "web.pub")
    assert key.public.label == "Ed25519"


def test_the_private_key_is_private_whatever_the_umask(folder: SshFolder) -> None:
    before = os.umask(0)
    try:
        keys.generate(folder, "web")
    finally:
        os.umask(before)

    assert (mode(folder.path), mode(folder.keys)) == (0o700, 0o700)
    assert (mode(folder.keys / "web"), mode(folder.keys / "web.pub")) == (0o600, 0o644)
    assert sorted(path.name for path in folder.keys.iterdir()) == ["web", "web.pub"]


@pytest.mark.parametrize(
    ("words", "label"),
    [
        (("-t", "ed25519"), "Ed25519"),
        (("-t", "ecdsa", "-b", "384"), "ECDSA P-384"),
        (("-t", "rsa", "-b", "2048"), "RSA 2048"),
        (("-t", "rsa", "-b", "2048", "-m", "PEM"), "RSA 2048"),
        (("-t", "ecdsa", "-m", "PKCS8"), "ECDSA P-256"),
    ],
    ids=str,
)
def test_a_key_of_an_accepted_type_is_stored_with_its_fingerprint(
    folder: SshFolder, tmp_path: Path, words: tuple[str, ...], label: str
) -> None:
    mine = make_key(tmp_path / "mine", *words)

    key = keys.upload(folder, "web", mine.read_text())

    assert (key.public.label, key.public.fingerprint) == (label, fingerprint(mine))
    assert fingerprint(folder.keys / "web") == fingerprint(mine)


def test_a_key_pasted_into_a_browser_is_stored_as_ssh_reads_it(folder: SshFolder, tmp_path: Path) -> None:
    pasted = "\r\n  " + make_key(tmp_path / "mine").read_text().replace("\n", "  \r\n")

    keys.upload(folder, "web", pasted)

    assert fingerprint(folder.keys / "web") == fingerprint(tmp_path / "mine")


@pytest.mark.parametrize("words", [(), ("-m", "PEM"), ("-m", "PKCS8")], ids=str)
def test_a_key_with_a_passphrase_is_refused_with_advice(
    folder: SshFolder, tmp_path: Path, words: tuple[str, ...]
) -> None:
    path = tmp_path / "mine"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", *words, "-N", "secret", "-f", path], check=True
    )

    with pytest.raises(KeyRefused, match="has a passphrase"):
        keys.upload(folder, "web", path.read_text())


def test_a_short_rsa_key_is_refused(folder: SshFolder, tmp_path: Path) -> None:
    weak = make_key(tmp_path / "weak", "-t", "rsa", "-b", "1024").read_text()

    with pytest.raises(KeyRefused, match="this one has 1024"):
        keys.upload(folder, "web", weak)


@pytest.mark.filterwarnings("ignore:SSH DSA keys")  # cryptography will soon not read them at all
@pytest.mark.parametrize("form", ["RFC4716", "PEM"])
def test_a_dsa_key_is_refused(folder: SshFolder, tmp_path: Path, form: str) -> None:
    path = make_key(tmp_path / "dsa", "-t", "dsa", "-m", form)

    with pytest.raises(KeyRefused, match="not accepted"):
        keys.upload(folder, "web", path.read_text())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        PUTTY,
        "-----BEGIN OPENSSH PRIVATE KEY-----\n\x00\ud800\n-----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    ],
)
def test_anything_but_a_private_key_is_refused(folder: SshFolder, text: str) -> None:
    with pytest.raises(KeyRefused):
        keys.upload(folder, "web", text)

    assert not folder.keys.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:200],
        lambda text: text.replace("A", "B"),
        lambda text: text + "x" * 40_000,
        lambda text: f"web {text}",
    ],
)
def test_the_error_for_an_unreadable_key_does_not_repeat_it(
    folder: SshFolder, tmp_path: Path, change: Callable[[str], str]
) -> None:
    text = make_key(tmp_path / "mine").read_text()

    with pytest.raises(KeyRefused) as refusal:
        keys.upload(folder, "web", change(text))

    assert not set(text.split()[5:9]) & set(str(refusal.value).split())


def test_a_public_key_is_refused(folder: SshFolder, tmp_path: Path) -> None:
    make_key(tmp_path / "mine")

    with pytest.raises(KeyRefused, match="not a private key"):
        keys.upload(folder, "web", (tmp_path / "mine.pub").read_text())


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../up",
        "a/b",
        ".hidden",
        "-x",
        "a b",
        "web.pub",
        "web-cert.pub",
        "None",
        "x" * 65,
        "ä",
        "a\n",
    ],
)
def test_a_name_must_be_one_plain_word(folder: SshFolder, name: str) -> None:
    with pytest.raises(KeyRefused, match="A name has"):
        keys.generate(folder, name)
    assert keys.get(folder, name) is None


def test_a_name_in_use_is_refused(folder: SshFolder) -> None:
    first = keys.generate(folder, "web")

    with pytest.raises(KeyNameTaken, match="web exists already"):
        keys.generate(folder, "web")

    assert keys.get(folder, "web") == first


def test_keys_are_listed_by_name_until_deleted(folder: SshFolder) -> None:
    for name in ("web", "db"):
        keys.generate(folder, name)

    listed = [key.name for key in keys.all_keys(folder)]
    keys.delete(folder, keys.all_keys(folder)[0])

    assert listed == ["db", "web"]
    assert sorted(path.name for path in folder.keys.iterdir()) == ["web", "web.pub"]


def test_a_lost_public_key_is_derived_from_the_private_one(folder: SshFolder) -> None:
    key = keys.generate(folder, "web")
    (folder.keys / "web.pub").unlink()

    assert keys.get(folder, "web") == key


def test_without_keys_the_list_is_empty(folder: SshFolder) -> None:
    assert keys.all_keys(folder) == []
