"""A small vuls2 database, made by the real tool, and the registry's documents that hold it."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.mirror.registry import artifact, zstd
from tests.support import needs

SCHEMA = 0
# The version of bash is between the two; no version of a package that there is not is anywhere.
FLAWS = {
    "CVE-2026-0001": ("ubuntu:24.04", "bash", "99"),
    "CVE-2026-0002": ("ubuntu:24.04", "bash", "1"),
    "CVE-2026-0003": ("ubuntu:24.04", "coreutils", "99"),
    "CVE-2026-0004": ("ubuntu:24.04", "no-such-package", "99"),
    "CVE-2026-0005": ("ubuntu:22.04", "bash", "99"),
    # What a fetch asks about: every real database knows that system.
    "CVE-2026-0006": ("alpine:3.20", "bash", "99"),
}
FOUND = {"CVE-2026-0001", "CVE-2026-0003"}
LAYER = "application/vnd.vulsio.vuls.db.layer.v1+zstd"


def tools_folder() -> Path:
    """Return the folder of tests/vuls2/build: vuls2, and in `current` a Vuls that reads such databases."""
    folder = needs.tool("vuls").parent / "tests"
    if not (folder / "vuls2").exists():
        needs.lacking(f"{folder} has no vuls2: tests/vuls2/build makes it.")
    return folder


def pretend_ubuntu(folder: Path) -> Path:
    """Return a folder for PATH in which a command says that this machine is Ubuntu 24.04."""
    folder.mkdir()
    command = folder / "lsb_release"
    command.write_text("#!/bin/sh\nprintf 'Distributor ID:\\tUbuntu\\nRelease:\\t24.04\\n'\n")
    command.chmod(0o755)
    return folder


def make(tool: Path, path: Path, fixed: Mapping[str, tuple[str, str, str]]) -> None:
    """Make a database at `path`: for each CVE a system, the source package and the version that ends it."""
    extracted = path.parent / f"{path.name}-extracted"
    for cve, (ecosystem, package, version) in fixed.items():
        _write(extracted / "data" / f"{cve}.json", _document(cve, ecosystem, package, version))
    _write(extracted / "datasource.json", {"id": "ubuntu-cve-tracker", "name": "Ubuntu CVE Tracker"})
    for words in (("init",), ("add", str(extracted))):
        command = [str(tool), "db", words[0], "--dbtype", "boltdb", "--dbpath", str(path), *words[1:]]
        subprocess.run(command, check=True, capture_output=True)


def registry(database: bytes, schema: int) -> dict[str, bytes]:
    """Return what the registry serves for a database of that schema."""
    return artifact("vulsio/vuls-nightly-db", str(schema), LAYER, zstd(database))


def _document(cve: str, ecosystem: str, package: str, version: str) -> dict[str, Any]:
    source = "launchpad.net/ubuntu-cve-tracker"
    segment = {"ecosystem": ecosystem, "tag": "noble_medium"}
    criterion = {
        "type": "version",
        "version": {
            "vulnerable": True,
            "fix_status": {"class": "fixed"},
            "package": {"type": "source", "source": {"name": package}},
            "affected": {"type": "dpkg", "range": [{"lt": version}], "fixed": [version]},
        },
    }
    condition = {"criteria": {"operator": "OR", "criterions": [criterion]}, "tag": "noble_medium"}
    severity = {"type": "vendor", "source": source, "vendor": "medium"}
    return {
        "id": cve,
        "vulnerabilities": [
            {
                "content": {"id": cve, "description": f"A flaw of {package}.", "severity": [severity]},
                "segments": [segment],
            }
        ],
        "detections": [{"ecosystem": ecosystem, "conditions": [condition]}],
        "data_source": {"id": "ubuntu-cve-tracker", "raws": [f"{cve}.json"]},
    }


def _write(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
