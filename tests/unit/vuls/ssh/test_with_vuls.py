"""The real Vuls connects to real OpenSSH servers with the generated files."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.waiting import patience, wait_for
from vulsweb.vuls.config_toml import plan
from vulsweb.vuls.ssh import config as ssh_config

TARGET, BASTION = "127.0.0.2", "127.0.0.3"
USER = getpass.getuser()


def _key(path: Path) -> str:
    """Make a key and return its public part."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return Path(f"{path}.pub").read_text().strip()


class Server:
    """One sshd on an address of its own, with a host key of its own."""

    def __init__(self, folder: Path, address: str, authorized: str) -> None:
        folder.mkdir()
        self.address = address
        self.host_key = _key(folder / "host_key")
        (folder / "authorized").write_text(authorized)
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            needs.lacking("sshd is missing: the package is openssh-server.")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with socket.create_server((address, 0)) as place:
            self.port = place.getsockname()[1]
        (folder / "sshd_config").write_text(
            f"ListenAddress {address}:{self.port}\nHostKey {folder}/host_key\nPidFile none\nStrictModes no\n"
            f"AuthorizedKeysFile {folder}/authorized\nUsePAM no\nPermitRootLogin prohibit-password\n"
            "PasswordAuthentication no\nMaxStartups 100\n"
        )
        self.process = subprocess.Popen([program, "-D", "-f", folder / "sshd_config", "-E", folder / "log"])
        wait_for(self._answers)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.address, self.port), timeout=patience(1)):
                return True
        except OSError:
            return False


@pytest.fixture
def sockets() -> Iterator[Path]:
    # Not below pytest's folder: a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="vulsweb-") as name:
        yield Path(name)
        for path in Path(name).iterdir():
            subprocess.run(["ssh", "-S", path, "-O", "exit", "it"], check=True, capture_output=True)


@pytest.fixture
def authorized(tmp_path: Path) -> str:
    (tmp_path / "managed" / "keys").mkdir(parents=True)
    return _key(tmp_path / "managed" / "keys" / "scan-key")


@pytest.fixture
def servers(tmp_path: Path, authorized: str) -> Iterator[tuple[Server, Server]]:
    started = [Server(tmp_path / address, address, authorized) for address in (TARGET, BASTION)]
    try:
        yield started[0], started[1]
    finally:
        for server in started:
            server.process.terminate()
            server.process.wait()


def _content(target: Server, bastion: Server) -> str:
    return f"""
Host bastion
    # vulsweb: scan
    HostName {bastion.address}
    Port {bastion.port}
Host direct jumped proxied changed jumped-changed
    HostName {target.address}
    Port {target.port}
Host changed jumped-changed
    # Known by another key than it shows.
    HostKeyAlias changed
Host jumped jumped-changed
    ProxyJump bastion
Host proxied
    ProxyCommand ssh -W %h:%p -p {bastion.port} {USER}@{bastion.address}
Host *
    User {USER}
    IdentityFile scan-key
"""


def test_vuls_reaches_each_host_unless_its_key_changed(
    tmp_path: Path, sockets: Path, servers: tuple[Server, Server]
) -> None:
    vuls = needs.tool("vuls")
    folder = tmp_path / "managed"
    content = _content(*servers)
    hosts = ssh_config.read(content, keys=["scan-key"])
    keys = {server.address: server.host_key for server in servers} | {"changed": _key(tmp_path / "other")}
    known = {host.known_as: keys[host.host_key_alias or host.hostname] for host in hosts}
    (folder / "known_hosts").write_text("".join(f"{name} {key}\n" for name, key in known.items()))
    path = folder / "ssh_config"
    path.write_text(ssh_config.render(content, keys=["scan-key"], folder=folder, sockets=sockets))
    config = tmp_path / "config.toml"
    config.write_text(plan("", hosts, ssh_config_path=str(path)).new)

    said = subprocess.run(
        [vuls, "configtest", f"-config={config}", f"-log-dir={tmp_path / 'log'}"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    # Vuls names the hosts that it can scan at the end.
    assert set(said.stdout.split()) >= {"bastion", "direct", "jumped", "proxied"}, said
    assert not set(said.stdout.split()) & {"changed", "jumped-changed"}, said
    # Connections are shared with the next command, but not those of the jump host.
    assert len(list(sockets.iterdir())) == 3
