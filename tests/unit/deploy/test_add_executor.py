"""deploy/add-executor: what it creates, and what it refuses."""

import os
import shutil
import ssl
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.needs import lacking
from vulsweb.executors import settings as executor_settings

ROOT = Path(__file__).parents[3]
Add = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def add(tmp_path: Path) -> Add:
    """Run the script with a folder of secrets of its own."""
    if shutil.which("openssl") is None:
        lacking("openssl is missing: apt-get install openssl.")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.environ["PATH"], "VULSWEB_SECRETS": str(tmp_path / "secrets")}
        command = [str(ROOT / "deploy" / "add-executor"), *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True)

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "executors" / "executors.toml"


def unpacked(tmp_path: Path, name: str) -> dict[str, str]:
    with tarfile.open(tmp_path / "secrets" / "zones" / f"{name}.tar") as packed:
        packed.extractall(tmp_path / "unpacked", filter="data")
    return {path.name: path.read_text() for path in (tmp_path / "unpacked").iterdir()}


def test_the_first_start_creates_a_file_without_executors(tmp_path: Path, file: Path) -> None:
    subprocess.run([ROOT / "deploy" / "make-secrets", tmp_path / "secrets"], check=True)

    assert executor_settings.read(file) == ()
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o755
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_the_programs_read_what_it_writes(add: Add, tmp_path: Path, file: Path) -> None:
    said = add("dmz", "192.0.2.7", "dmz", "lab")
    add("annex", "annex.example:9443", "annex")
    dmz, annex = executor_settings.read(file)

    assert "secrets/zones/dmz.tar" in said.stdout
    assert (dmz.name, dmz.url, dmz.tags) == ("dmz", "https://192.0.2.7:8443", ("dmz", "lab"))
    assert (annex.name, annex.url, annex.tags) == ("annex", "https://annex.example:9443", ("annex",))
    assert dmz.api_key != annex.api_key
    assert dmz.ca_bundle is not None
    assert ssl.create_default_context(cafile=dmz.ca_bundle).cert_store_stats()["x509"] == 1


def test_the_other_machine_gets_the_key_and_the_certificate(add: Add, tmp_path: Path, file: Path) -> None:
    add("dmz", "192.0.2.7:9000", "dmz")
    (dmz,) = executor_settings.read(file)
    given = unpacked(tmp_path, "dmz")
    private_key = tmp_path / "unpacked" / "executor_private_key"

    assert given["executor_address"] == "192.0.2.7 9000\n"
    assert given["executor_api_keys"] == dmz.api_key
    assert dmz.ca_bundle is not None
    assert given["executor_certificate"] == dmz.ca_bundle.read_text()
    ssl.create_default_context().load_cert_chain(dmz.ca_bundle, private_key)  # they belong together


def test_no_other_file_has_the_private_key(add: Add, tmp_path: Path) -> None:
    add("dmz", "192.0.2.7", "dmz")
    files = [path for path in (tmp_path / "secrets").rglob("*") if path.is_file()]

    holding = [path for path in files if b"PRIVATE KEY" in path.read_bytes()]

    assert holding == [tmp_path / "secrets" / "zones" / "dmz.tar"]
    assert stat.S_IMODE(holding[0].stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((), "Which executor"),
        (("lab", "192.0.2.8"), "Which executor"),
        (("main", "192.0.2.8", "lab"), "main is not a valid name"),
        (("Lab", "192.0.2.8", "lab"), "Lab is not a valid name"),
        (("-lab", "192.0.2.8", "lab"), "-lab is not a valid name"),
        (("l" * 32, "192.0.2.8", "lab"), "is not a valid name"),
        (("lab]\n[x", "192.0.2.8", "lab"), "is not a valid name"),
        (("lab", "192.0.2", "lab"), "cannot create a certificate for 192.0.2"),
        (("lab", "lab_1.example", "lab"), "lab_1.example is not a valid address"),
        (("lab", "lab.example,DNS:x", "lab"), "not a valid address"),
        (("lab", "[fd00::1]", "lab"), "not a valid address"),
        (("lab", "lab.example:0", "lab"), "0 is not a valid port"),
        (("lab", "lab.example:65536", "lab"), "65536 is not a valid port"),
        (("lab", "lab.example:", "lab"), "is not a valid port"),
        (("lab", "192.0.2.8", "Lab"), "Lab is not a valid tag"),
        (("lab", "192.0.2.8", 'a"b'), "is not a valid tag"),
        (("lab", "192.0.2.8", ""), "is not a valid tag"),
        (("dmz", "192.0.2.8", "lab"), "The executor dmz already exists"),
        (("lab", "192.0.2.8", "lab", "dmz"), "Another executor already has the tag dmz"),
    ],
)
def test_a_wrong_argument_changes_nothing_and_is_reported(
    add: Add, tmp_path: Path, words: tuple[str, ...], error: str
) -> None:
    add("dmz", "192.0.2.7", "dmz")
    secrets = tmp_path / "secrets"
    before = {path: path.read_bytes() for path in secrets.rglob("*") if path.is_file()}

    refused = add(*words)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert error in refused.stderr
    assert {path: path.read_bytes() for path in secrets.rglob("*") if path.is_file()} == before
