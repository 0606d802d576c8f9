"""Whether the tools for scanning are installed on this machine."""

import shutil

from vulsweb.local.apps import HOME
from vulsweb.local.settings import Settings

TOOLS = ("vuls", "gost", "go-cve-dictionary", "goval-dictionary")
CURRENT = "current"


def advice(settings: Settings) -> str | None:
    """Return what to install before the first scan, or None."""
    path, folder = settings.shared.get("PATH", ""), settings.tools_dir
    # Without a checkout there is no Makefile.
    make = "make tools" if (HOME / "Makefile").exists() else "vulsweb tools"
    names: tuple[str, ...] = TOOLS
    if settings.executor["EXECUTOR_PROFILE"] == CURRENT:
        folder, names, make = folder / CURRENT, ("vuls",), f"EXECUTOR_PROFILE={CURRENT} {make}"
    missing = [name for name in names if shutil.which(name, path=f"{folder}:{path}") is None]
    if not missing:
        return None
    step = "Run" if shutil.which("go", path=path) else "Install Go and run"
    return f"Scans are not possible yet. Missing: {', '.join(missing)}. {step} `{make}`."
