"""What a test needs of the machine."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Skip the test, saying what is missing; where VULSWEB_REQUIRE is `all`, fail it."""
    if os.environ.get("VULSWEB_REQUIRE") == "all":
        pytest.fail(what)
    pytest.skip(what)


def tool(name: str) -> Path:
    """Return where a scanner's tool is: in VULSWEB_TOOLS_DIR, where `make tools` puts it, or on PATH."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    places = [
        os.environ.get("VULSWEB_TOOLS_DIR", ""),
        str(Path(cache, "vulsweb", "tools")),
        os.environ["PATH"],
    ]
    found = shutil.which(name, path=os.pathsep.join(filter(None, places)))
    if found is None:
        lacking(f"{name} is missing: `make tools` builds it, VULSWEB_TOOLS_DIR says where it is.")
    return Path(found)
