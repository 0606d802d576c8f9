"""Whether this machine has anything to scan with."""

import shutil

from vulsweb.local.settings import Settings

TOOLS = ("vuls", "gost", "go-cve-dictionary", "goval-dictionary")
CURRENT = "current"


def advice(settings: Settings) -> str | None:
    """Return the line that says what to install before the first scan; None when nothing is missing."""
    path, folder, make = settings.shared.get("PATH", ""), settings.tools_dir, "make tools"
    names: tuple[str, ...] = TOOLS
    if settings.executor.get("EXECUTOR_PROFILE") == CURRENT:
        folder, names, make = folder / CURRENT, ("vuls",), f"EXECUTOR_PROFILE={CURRENT} make tools"
    missing = [name for name in names if shutil.which(name, path=f"{folder}:{path}") is None]
    if not missing:
        return None
    step = "run" if shutil.which("go", path=path) else "install Go and run"
    return f"It cannot scan yet, for lack of {', '.join(missing)}: {step} `{make}`."
