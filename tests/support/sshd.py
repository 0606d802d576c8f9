"""Real OpenSSH servers on loopback addresses, each with a host key of its own."""

import getpass
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.needs import lacking
from tests.support.waiting import patience, wait_for
from vulsweb.local.valkey import free_port

READY_SECONDS = 20
# All of 127.0.0.0/8 is this machine, so each server can have an address like a host of its own.
FIRST_ADDRESS = "127.0.0.11"


@dataclass
class Server:
    """One running sshd."""

    folder: Path
    address: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def place(self) -> str:
        """Return how known_hosts names the server."""
        return f"[{self.address}]:{self.port}"

    @property
    def host_key(self) -> str:
        """Return type and base64 of the server's key."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    @property
    def known_hosts_line(self) -> str:
        """Return the line by which a client knows the server."""
        return f"{self.place} {self.host_key}\n"

    @property
    def fingerprint(self) -> str:
        """Return the SHA256 fingerprint of the server's key, as ssh-keygen tells it."""
        return fingerprint(self.folder / "host_key.pub")

    @property
    def log(self) -> str:
        """Return what the server has said so far."""
        return (self.folder / "log").read_text(errors="replace")

    def settings(self, alias: str, *more: str) -> str:
        """Return the block of an ssh_config for this server."""
        lines = [f"HostName {self.address}", f"Port {self.port}", f"User {getpass.getuser()}", *more]
        return f"Host {alias}\n" + "".join(f"    {line}\n" for line in lines)

    def change_host_key(self) -> None:
        """Give the server another key, as a machine that was set up anew has one; it restarts."""
        self.stop()
        for name in ("host_key", "host_key.pub"):
            (self.folder / name).unlink()
        make_key(self.folder / "host_key")
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.process = _start(self.folder, self.address, self.port)

    def stop(self) -> None:
        """End the server and all its sessions."""
        # A session that goes on would keep its client, which may be a shared connection, for as long.
        for session in psutil.Process(self.process.pid).children(recursive=True):
            session.kill()
        self.process.kill()
        self.process.wait()


def make_key(path: Path, *words: str) -> Path:
    """Make a key pair with the real ssh-keygen and return the path of its private part."""
    kind = words or ("-t", "ed25519")
    subprocess.run(["ssh-keygen", "-q", *kind, "-N", "", "-C", "tests", "-f", path], check=True)
    return path


def fingerprint(path: Path) -> str:
    """Return the SHA256 fingerprint of a key, as ssh-keygen tells it."""
    done = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True)
    return done.stdout.split()[1]


@contextmanager
def sshd(
    folder: Path, address: str = FIRST_ADDRESS, *, authorized: Sequence[str] = (), settings: str = ""
) -> Iterator[Server]:
    """Run a server that lets in the public keys of `authorized`; `settings` are lines of sshd_config.

    With none authorized it refuses every key.
    """
    if shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        lacking("sshd is missing: `apt-get install openssh-server`.")
    folder.mkdir(parents=True)
    make_key(folder / "host_key")
    (folder / "authorized_keys").write_text("".join(f"{line.strip()}\n" for line in authorized))
    (folder / "log").touch()
    port = free_port()
    (folder / "sshd_config").write_text(_settings(folder, address, port) + settings)
    server = Server(folder, address, port, _start(folder, address, port))
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def jump_host(folder: Path, address: str, *, authorized: Sequence[str]) -> Iterator[Server]:
    """Run a server that passes connections on, and lets nobody run anything."""
    settings = "AllowTcpForwarding local\nForceCommand /bin/false\nPermitTTY no\n"
    with sshd(folder, address, authorized=authorized, settings=settings) as server:
        yield server


@contextmanager
def hanging(folder: Path, address: str, *, authorized: Sequence[str]) -> Iterator[Server]:
    """Run a server that lets a person in, and then answers nothing that is asked of it."""
    settings = "ForceCommand exec setpriv --pdeathsig TERM sleep 3600\n"
    with sshd(folder, address, authorized=authorized, settings=settings) as server:
        yield server


@contextmanager
def silent(address: str) -> Iterator[int]:
    """Accept connections on an address and say nothing at all; yield the port."""
    with socket.create_server((address, 0)) as listener:
        taken: list[socket.socket] = []
        thread = threading.Thread(target=_take, args=(listener, taken))
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in taken:
            connection.close()


def _take(listener: socket.socket, taken: list[socket.socket]) -> None:
    while True:
        try:
            taken.append(listener.accept()[0])
        except OSError:  # shut down: the test is over
            return


def _settings(folder: Path, address: str, port: int) -> str:
    return f"""
        ListenAddress {address}:{port}
        HostKey {folder}/host_key
        AuthorizedKeysFile {folder}/authorized_keys
        PidFile {folder}/pid
        # Folders of tests are below /tmp, which others may write.
        StrictModes no
        PasswordAuthentication no
        KbdInteractiveAuthentication no
        UsePAM no
        PermitRootLogin prohibit-password
        LogLevel VERBOSE
        MaxStartups 100
    """.replace("        ", "")


def _start(folder: Path, address: str, port: int) -> subprocess.Popen[bytes]:
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd locks its unprivileged part in there
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            # By its whole path: sshd starts itself again for each connection.
            [program, "-D", "-e", "-f", folder / "sshd_config"],
            stdin=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    wait_for(lambda: _answers(address, port) or process.poll() is not None, READY_SECONDS)
    assert process.poll() is None, (folder / "log").read_text()
    return process


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=patience(1)) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
