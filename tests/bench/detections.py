"""How many hosts a second are checked again, beside `vuls report` alone on one document."""

import json
import shutil
import statistics
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

from executor import application
from executor.databases.catalogue import CLASSIC, SECTIONS
from executor.databases.folder import DatabaseFolder
from executor.recipes.commands import report_command
from executor.recipes.vuls_config import SMALL_DICTIONARIES, servers_config
from tests.executor.callers import KEY, Caller
from tests.executor.conftest import caller_of
from tests.mirror.__main__ import settings
from tests.mirror.documents import shipped_documents
from tests.mirror.server import mirror
from vulsweb.runs.detections import DOCUMENTS_PER_JOB

CONFIG = '[servers.localhost]\nhost = "localhost"\nport = "local"\nscanMode = ["fast"]\n'


def measured(tools: Path, folder: Path, hosts: int) -> str:
    """Scan this machine, check as many copies of its packages again, and return one line.

    The databases are the small ones of the mirror.
    """
    config = folder / "config.toml"
    config.write_text(CONFIG)
    variables = {
        "EXECUTOR_API_KEY": KEY,
        "EXECUTOR_DATA_DIR": str(folder / "data"),
        "EXECUTOR_VULS_CONFIG": str(config),
        "VULSWEB_TOOLS_DIR": str(tools),
        "HOME": str(folder),
        "PATH": "/usr/bin:/bin",
    }
    with mirror(shipped_documents()) as feeds:
        call = caller_of(application.create_app(variables | settings(feeds)))
        _ended(call, call.submit_update("gost_debian"))
    scan = _ended(call, call.submit_scan("localhost"))
    document = call("GET", scan["results"][0]["url"])[1]
    container = document | {"container": {"containerID": "1f"}, "scannedCves": {}}
    documents = [
        {"server": "localhost", "name": f"c{number}@localhost", "document": container}
        for number in range(hosts)
    ]
    alone = statistics.median(_report_alone(tools, folder, document) for _ in range(3))
    began = time.perf_counter()
    for start in range(0, hosts, DOCUMENTS_PER_JOB):
        body = {"job_id": uuid.uuid4().hex, "documents": documents[start : start + DOCUMENTS_PER_JOB]}
        _ended(call, call("POST", "/detection", body)[1]["id"])
    each = (time.perf_counter() - began) / hosts
    return (
        f"{hosts} hosts of {len(document['packages'])} packages are checked again: {1 / each:.1f} a second,"
        f" each in {each / alone:.2f} of the {1000 * alone:.0f} ms that `vuls report` takes for one alone."
    )


def _ended(call: Caller, job_id: str) -> dict[str, Any]:
    job = call.finished(job_id, seconds=600)
    if job["status"] != "completed":
        raise RuntimeError(f"{job['kind']}: {job['error']}\n{call.log(job_id)}")
    return job


def _report_alone(tools: Path, folder: Path, document: dict[str, Any]) -> float:
    """Return how many seconds Vuls takes for one document."""
    alone = folder / "alone"
    shutil.rmtree(alone, ignore_errors=True)
    results = alone / "results"
    place = results / "2000-01-01T00-00-00+0000" / "localhost.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(document))
    live = DatabaseFolder(folder / "data" / "databases")
    dictionaries = {name: alone / f"{name}.sqlite3" for name in SMALL_DICTIONARIES}
    dictionaries |= {section: live.live(file) for section, file in SECTIONS[CLASSIC].items()}
    (alone / "config.toml").write_text(servers_config(CONFIG, ["localhost"], None, dictionaries))
    command = report_command(alone, results, 600)
    began = time.perf_counter()
    subprocess.run([tools / "vuls", *command.arguments], cwd=alone, check=True, capture_output=True)
    return time.perf_counter() - began
