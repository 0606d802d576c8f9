"""Whether this machine has anything to scan with."""

import shutil

from vulsweb.local.settings import Settings

TOOLS = ("vuls", "gost", "go-cve-dictionary", "goval-dictionary")


def advice(settings: Settings) -> str | None:
    """Return the line that says what to install before the first scan; None when nothing is missing."""
    path = settings.shared.get("PATH", "")
    missing = [name for name in TOOLS if shutil.which(name, path=f"{settings.tools_dir}:{path}") is None]
    if not missing:
        return None
    step = "run" if shutil.which("go", path=path) else "install Go and run"
    return f"It cannot scan yet, for lack of {', '.join(missing)}: {step} `make tools`."
