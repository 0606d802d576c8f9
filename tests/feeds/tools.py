"""The real tools' command lines, kept away from the machine's own proxies and certificates."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.mirror.server import Mirror
from tests.support.waiting import patience

CONFIG = """
[gost]
type = "sqlite3"
SQLite3Path = "{folder}/gost.sqlite3"
[cveDict]
type = "sqlite3"
SQLite3Path = "{folder}/cve.sqlite3"
[ovalDict]
type = "sqlite3"
SQLite3Path = "{folder}/oval.sqlite3"
[servers.localhost]
host = "localhost"
port = "local"
scanMode = ["fast"]
"""

Completed = subprocess.CompletedProcess[str]


def run(command: Sequence[object], folder: Path, **environment: str) -> Completed:
    # Only what is named: the machine's own proxies and certificates would decide otherwise.
    words = [str(word) for word in command]
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
    return subprocess.run(
        words, cwd=folder, env=clean, check=False, capture_output=True, text=True, timeout=patience(120)
    )


def fetch_debian(gost: Path, server: Mirror, folder: Path, *, trusting: bool = True) -> Completed:
    database = ("--dbpath", folder / "gost.sqlite3", "--batch-size", "500")
    return run([gost, "fetch", "debian", *database], folder, **_through(server, trusting=trusting))


def scan_localhost(vuls: Path, folder: Path, release: str | None = None) -> dict[str, Any]:
    """Scan this machine against the databases in `folder` and return the result document.

    With `release`, the report sees the machine as one of that release.
    """
    return scan_and_listen(vuls, folder, release)[0]


def scan_and_listen(
    vuls: Path, folder: Path, release: str | None = None, general: str = "", own: str = ""
) -> tuple[dict[str, Any], str]:
    """Scan this machine, with more lines in config.toml, and return document and log of the report.

    `general` comes before all sections, `own` is the server's.
    """
    config = folder / "config.toml"
    config.write_text(general + CONFIG.format(folder=folder) + own)
    results = folder / f"results-{release}-{len(general + own)}"
    common = ("-config", config, "-results-dir", results, "-log-dir", folder / "log")
    ended = run([vuls, "scan", *common], folder)
    assert ended.returncode == 0, ended.stderr
    (document,) = results.glob("*/localhost.json")
    if release:
        document.write_text(json.dumps(json.loads(document.read_bytes()) | {"release": release}))
    ended = run([vuls, "report", *common, "-refresh-cve", "-format-json"], folder)
    assert ended.returncode == 0, ended.stderr
    return json.loads(document.read_bytes()), ended.stderr


def fetch_nvd(go_cve_dictionary: Path, server: Mirror, folder: Path, *, trusting: bool = True) -> Completed:
    database = ("--dbpath", folder / "cve.sqlite3")
    environment = {"TMPDIR": str(folder), **_through(server, trusting=trusting)}
    return run([go_cve_dictionary, "fetch", "nvd", *database], folder, **environment)


def _through(server: Mirror, *, trusting: bool) -> dict[str, str]:
    ca = {"SSL_CERT_FILE": str(server.ca_file)} if trusting else {}
    return {"HTTPS_PROXY": server.proxy_url, **ca}
