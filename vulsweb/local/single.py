"""A single real server, for tests and experiments."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vulsweb.local.cluster import open_cluster
from vulsweb.local.supervisor import Supervisor
from vulsweb.local.valkey import Valkey, free_port


@contextmanager
def postgres(data_dir: Path, *, durable: bool = True) -> Iterator[str]:
    """Run PostgreSQL on `data_dir` and yield the URL of its `vulsweb` database.

    The log is written beside `data_dir`. As root, every user must be able to enter the folders above it,
    which is not the case for pytest's temporary folders. Call it from the main thread.
    """
    data = data_dir.resolve()
    data.parent.mkdir(parents=True, exist_ok=True)
    with (
        open_cluster(data, data.with_name(f"{data.name}.run"), durable=durable) as cluster,
        Supervisor(data.parent, print) as supervisor,
    ):
        supervisor.start(cluster.child())
        cluster.create_database()
        yield cluster.url


@contextmanager
def redis(data_dir: Path, *, durable: bool = True) -> Iterator[str]:
    """Run Valkey on `data_dir` and yield its URL; log beside it."""
    data = data_dir.resolve()
    data.parent.mkdir(parents=True, exist_ok=True)
    valkey = Valkey(data, free_port(), secrets.token_urlsafe(32), durable)
    with Supervisor(data.parent, print) as supervisor:
        supervisor.start(valkey.child())
        yield valkey.url
