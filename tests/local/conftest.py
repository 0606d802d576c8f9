"""Fixtures for the tests of the local stack."""

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.pool import NullPool

from tests.support import disks
from tests.support.waiting import patience
from vulsweb.local.children import Child, wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty folder that every user may enter: pytest's own are closed to PostgreSQL's user."""
    with tempfile.TemporaryDirectory(prefix="vulsweb-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def small_disk(place: Path) -> Iterator[Callable[[str], Path]]:
    """Mount small file systems of memory, given their options."""
    with ExitStack() as mounted:
        numbers = itertools.count()

        def mount(options: str) -> Path:
            return mounted.enter_context(disks.small_disk(place / f"disk{next(numbers)}", options))

        yield mount


@pytest.fixture
def python_child(tmp_path: Path) -> Callable[..., Child]:
    """Make a child that runs a few lines of Python; `journal` names a file that all of them share."""

    def make(name: str, lines: str, **options: object) -> Child:
        command = [sys.executable, "-S", "-c", lines]
        environ = {"journal": str(tmp_path / "journal")}
        return Child(name=name, command=command, environ=environ, folder=tmp_path, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def start_small_stack() -> Iterator[Callable[[dict[str, str]], "subprocess.Popen[str]"]]:
    """Start the two servers under a real supervisor, in a process of their own."""
    started: list[subprocess.Popen[str]] = []

    def start(environ: dict[str, str]) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.local.small_stack"],
            cwd=ROOT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environ},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=patience(60))


def eventually(condition: Callable[[], bool]) -> bool:
    """Return whether the condition comes true within a minute."""
    return wait_for(condition, 60)


def ask(url: str, statement: str) -> object:
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        result = connection.execute(sqlalchemy.text(statement))
        return result.scalar() if result.returns_rows else None
