"""Imports point down, modules keep to their house, and files stay short."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "vulsweb"

# Left never imports right; docs/architecture.md says why.
LAYERS = [
    {"executors"},
    {"config", "extensions", "ssh_folder", "public_keys"},
    {"vuls"},
    {"models"},
    {"executor_client", "access", "idempotency", "problems", "ssh_keys", "host_keys"},
    {"findings", "finding_lists", "logs", "changes", "overlap", "known_hosts"},
    {"run_jobs", "parts"},
    {"targets"},
    {"runs"},
    {"schedules", "history", "connection_tests"},
    {"pauses"},
    {"hosts", "scan_lines"},
    {"services"},
    {"conclusions", "inventory", "tasks", "system", "host_syncs"},
    {"ssh_configs"},
    {"databases", "overview", "worker", "doors"},
    {"views", "api", "local"},
    {"cli"},
    {"__init__"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# The same for the executor; the bars separate the ranks.
EXECUTOR = "errors locks|databases|config requests|engines|jobs|recipes audit keys|runner transfer __init__"


def imports(source: str, package: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
            yield (node.module or "").split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith(f"{package}.")
            )


def python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


@pytest.mark.parametrize("path", python_files(PACKAGE), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")

    found = [name for name in imports(path.read_text(), "vulsweb") if name in RANK]

    assert here in RANK
    assert not [name for name in found if name != here and RANK[name] >= RANK[here]]


@pytest.mark.parametrize("path", python_files(ROOT / "executor"), ids=str)
def test_imports_in_the_executor_point_down(path: Path) -> None:
    rank = {name: rank for rank, names in enumerate(EXECUTOR.split("|")) for name in names.split()}
    here = path.relative_to(ROOT / "executor").parts[0].removesuffix(".py")

    assert all(name == here or rank[name] < rank[here] for name in imports(path.read_text(), "executor"))


@pytest.mark.parametrize("path", python_files(PACKAGE), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_hides_inside_a_function(path: Path) -> None:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]

    hidden = [
        inner.lineno
        for function in functions
        for inner in ast.walk(function)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]

    assert not hidden


def test_the_two_applications_never_meet_in_code() -> None:
    ours = [path for path in python_files(PACKAGE) if list(imports(path.read_text(), "executor"))]
    theirs = [path for path in python_files(ROOT / "executor") if "vulsweb" in "".join(_modules(path))]

    assert not ours
    assert not theirs


def test_only_its_engine_speaks_to_docker() -> None:
    speakers = {
        path.relative_to(ROOT)
        for folder in (PACKAGE, ROOT / "executor")
        for path in python_files(folder)
        if any(name.split(".")[0] == "docker" for name in _modules(path))
    }

    assert speakers == {
        Path("executor/engines", name) for name in ("containers.py", "docker.py", "images.py", "streams.py")
    }


def test_what_vuls_says_is_read_without_flask_or_a_database() -> None:
    read = {name.split(".")[0] for path in python_files(PACKAGE / "vuls") for name in _modules(path)}

    assert not read & {"flask", "sqlalchemy", "requests", "celery"}


def test_only_config_reads_the_environment() -> None:
    readers = [
        path.name
        for path in python_files(PACKAGE)
        if any(word in path.read_text() for word in ("os.environ", "os.getenv", "getenv("))
    ]

    assert readers == ["config.py"]


def test_only_the_edges_commit() -> None:
    committing = {
        path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for path in python_files(PACKAGE)
        if "session.commit(" in path.read_text()
    }

    assert committing <= {"views", "api", "cli", "worker"}


def test_files_stay_short() -> None:
    long = [
        path.relative_to(ROOT)
        for folder in (PACKAGE, ROOT / "executor", ROOT / "tests")
        for path in python_files(folder)
        if len(path.read_text().splitlines()) > 400
    ]

    assert not long


def _modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
