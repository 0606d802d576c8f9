"""Imports point down, modules keep to their house, and files stay short."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "vulsweb"

# A module imports from lower ranks and its own package only; docs/architecture.md says what each one is.
RANKS = {
    "vulsweb": [
        {
            "cron",
            "encryption",
            "executors",
            "extensions",
            "vuls",
        },
        {"config", "messages", "models"},
        {"audit"},
        {"notifications"},
        {"accounts", "changes", "findings", "idempotency"},
        {"hosts", "system"},
        {"runs"},
        {"digests", "metrics", "overview", "ssh", "tasks"},
        {"databases", "worker"},
        {"api", "local", "views"},
        {"cli", "__init__", "__main__"},
    ],
    "executor": [
        {"errors", "locks"},
        {"databases"},
        {"config", "requests"},
        {"engines", "log_lines"},
        {"jobs"},
        {"audit", "keys", "recipes"},
        {"application", "docker_proxy", "runner", "transfer"},
    ],
}
# The entry points wire everything together, so they may import each other.
ENTRY_POINTS = {"cli", "__init__", "__main__"}


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


@pytest.mark.parametrize("application", RANKS)
def test_imports_point_down(application: str) -> None:
    rank = {name: rank for rank, names in enumerate(RANKS[application]) for name in names}
    up = []
    for path in python_files(ROOT / application):
        here = path.relative_to(ROOT / application).parts[0].removesuffix(".py")
        imported = {name for name in imports(path.read_text(), application) if name in rank} - {here}
        up += [
            (str(path), name) for name in imported if rank[name] >= rank[here] and here not in ENTRY_POINTS
        ]

    assert not up


@pytest.mark.parametrize("application", RANKS)
def test_no_modules_import_each_other_in_a_circle(application: str) -> None:
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in python_files(ROOT / application)
    }

    graph = {name: set(_imported_modules(path)) & modules.keys() for name, path in modules.items()}

    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


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
        Path("executor/engines", name)
        for name in ("container_options.py", "docker.py", "images.py", "streams.py")
    }


def test_vuls_formats_and_cron_lines_are_read_without_flask_or_a_database() -> None:
    pure = [*python_files(PACKAGE / "vuls"), PACKAGE / "cron.py"]

    read = {name.split(".")[0] for path in pure for name in _modules(path)}

    assert not read & {"flask", "sqlalchemy", "requests", "celery"}


def test_only_the_edges_know_the_request_and_its_user() -> None:
    knowing = {
        path.relative_to(PACKAGE)
        for path in python_files(PACKAGE)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module in ("flask", "flask_login")
        and {"request", "current_user", "session", "g"} & {alias.name for alias in node.names}
    }

    allowed = {Path("__init__.py"), Path("accounts/permissions.py")}
    assert {path for path in knowing - allowed if path.parts[0] not in ("views", "api")} == set()


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


def test_docstrings_begin_with_one_short_line() -> None:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [
        (path.relative_to(ROOT), ast.get_docstring(node))
        for folder in (PACKAGE, ROOT / "executor")
        for path in python_files(folder)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, documented)
    ]
    first_lines = [(path, text.partition("\n")[0]) for path, text in docstrings if text]

    assert not [(path, line) for path, line in first_lines if len(line.split()) > 12]


def _modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _imported_modules(path: Path) -> Iterator[str]:
    """Yield what a module imports when it is loaded, as `package.module`; not what only type checkers see."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
