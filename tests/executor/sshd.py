"""Real OpenSSH servers on loopback addresses that behave or misbehave as told."""

import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests import needs
from tests.executor.callers import until


class SshLab:
    """Starts servers, each with a host key of its own, and makes the client's configuration for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o755)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.sockets: list[socket.socket] = []
        self.known_hosts = folder / "known_hosts"
        self.ssh_config = folder / "ssh_config"
        self.key, self.stranger = self._key("user"), self._key("stranger")
        self.servers = ""

    def sshd(self, name: str, *, command: str = "", known: str = "own", key: Path | None = None) -> None:
        """Start a server and name it in the configuration.

        `command` is run in place of what the client asks for; `known` says which key of it the client
        knows: its own, another, or none.
        """
        host_key, port = self._key(f"host-{name}"), _free_port()
        settings = {
            "ListenAddress": f"127.0.0.1:{port}",
            "HostKey": host_key,
            "PidFile": "none",
            "AuthorizedKeysFile": f"{self.key}.pub",
            "StrictModes": "no",
            "UsePAM": "no",
            "PermitRootLogin": "prohibit-password",
            **({"ForceCommand": command} if command else {}),
        }
        file = self.folder / f"{name}.conf"
        file.write_text("".join(f"{word} {value}\n" for word, value in settings.items()))
        program = shutil.which("sshd", path="/usr/sbin:/usr/bin") or needs.lacking("sshd is missing.")
        Path("/run/sshd").mkdir(exist_ok=True)
        self.processes.append(
            subprocess.Popen([program, "-D", "-f", str(file)], stderr=subprocess.DEVNULL, cwd=self.folder)
        )
        until(lambda: _listens(port))
        if known != "none":
            shown = host_key if known == "own" else self._key(f"other-{name}")
            words = Path(f"{shown}.pub").read_text().split()[:2]
            with self.known_hosts.open("a") as file_:
                file_.write(f"[127.0.0.1]:{port} {' '.join(words)}\n")
        self._name(name, port, key or self.key)

    def mute(self, name: str) -> None:
        """Name a server that accepts connections and says nothing."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.sockets.append(listening)
        self._name(name, listening.getsockname()[1], self.key)

    def closed(self, name: str) -> None:
        """Name a server that is not there."""
        self._name(name, 1, self.key)

    def stop(self) -> None:
        """End the servers that were started, with all that they serve."""
        for listening in self.sockets:
            listening.close()
        for process in self.processes:
            process.terminate()
            process.wait()

    def _name(self, name: str, port: int, key: Path) -> None:
        with self.ssh_config.open("a") as file:
            file.write(
                f"Host {name}\n HostName 127.0.0.1\n Port {port}\n User root\n IdentityFile {key}\n"
                f" IdentitiesOnly yes\n UserKnownHostsFile {self.known_hosts}\n StrictHostKeyChecking yes\n"
                " ConnectTimeout 5\n BatchMode yes\n"
            )
        self.servers += f'[servers.{name}]\nhost = "{name}"\nsshConfigPath = "{self.ssh_config}"\n'

    def _key(self, name: str) -> Path:
        path = self.folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
        return path


@contextlib.contextmanager
def ssh_lab(folder: Path) -> Iterator[SshLab]:
    """Yield a lab and end what it started."""
    if sys.platform != "linux" or shutil.which("ssh") is None:
        needs.lacking("OpenSSH is missing.")
    lab = SshLab(folder)
    try:
        yield lab
    finally:
        lab.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
