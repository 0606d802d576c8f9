"""The artifact from which go-cve-dictionary reads NVD: a git folder with one JSON document for each CVE."""

import functools
import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.mirror.registry import artifact, zstd

FACTS = Path(__file__).parent / "data" / "nvd.tsv"
# Without years named, the tool reads every year from here to its own clock's, and needs each to exist.
FIRST_YEAR = 1999
UNKNOWN = "-"
NAME = "vuls-data-raw-nvd-api-cve"
LAYER = "application/vnd.vulsio.vuls-data-db.dotgit.layer.v1.tar+zstd"
# The same artifact each time, whatever the machine's own settings of git are.
GIT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}


@dataclass(frozen=True)
class NvdRecord:
    """One line of the facts: what NVD says of one CVE, with a description in our words."""

    cve_id: str
    published: str
    last_modified: str
    cwe: str
    cvss2_vector: str
    cvss2_score: float
    cvss3_vector: str
    cvss3_score: float
    # Vuls passes over a record that has none.
    description: str

    @classmethod
    def from_line(cls, line: str) -> Self:
        cve, published, modified, cwe, vector2, score2, vector3, score3, description = line.split("\t")
        # A record from before CVSS 3 has no such score; its metric is left out below.
        third = 0.0 if score3 == UNKNOWN else float(score3)
        return cls(cve, published, modified, cwe, vector2, float(score2), vector3, third, description)


def records() -> list[NvdRecord]:
    """Read the facts that the mirror ships for NVD."""
    return [NvdRecord.from_line(line) for line in FACTS.read_text().splitlines()]


def severity(score: float, version: str) -> str:
    """Name a base score as FIRST's scale does (CVSS 3) or NVD's (CVSS 2, which knows no critical)."""
    if version != "2.0" and score >= 9:
        return "CRITICAL"
    return "HIGH" if score >= 7 else "MEDIUM" if score >= 4 else "LOW"


def metric(version: str, vector: str, score: float) -> dict[str, Any]:
    rating = severity(score, version)
    data = {"version": version, "vectorString": vector, "baseScore": score, "baseSeverity": rating}
    # CVSS 2 carries the rating beside its data, CVSS 3 inside.
    return {"source": "nvd@nist.gov", "type": "Primary", "cvssData": data, "baseSeverity": rating}


def as_nvd_writes_it(record: NvdRecord) -> dict[str, Any]:
    metrics = {"cvssMetricV2": [metric("2.0", record.cvss2_vector, record.cvss2_score)]}
    if record.cvss3_vector != UNKNOWN:
        version = record.cvss3_vector.partition("/")[0].removeprefix("CVSS:")
        key = f"cvssMetricV{version.replace('.', '')}"
        metrics[key] = [metric(version, record.cvss3_vector, record.cvss3_score)]
    weakness = {
        "source": "nvd@nist.gov",
        "type": "Primary",
        "description": [{"lang": "en", "value": record.cwe}],
    }
    return {
        "id": record.cve_id,
        "published": record.published,
        "lastModified": record.last_modified,
        "vulnStatus": "Modified",
        "descriptions": [{"lang": "en", "value": record.description}],
        "references": [],
        "metrics": metrics,
        "weaknesses": [] if record.cwe == UNKNOWN else [weakness],
    }


def members(until_year: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for record in records():
        yield f"{record.cve_id}.json", as_nvd_writes_it(record)
    for year in range(FIRST_YEAR, until_year + 1):
        # Names no CVE; the tool passes over what is rejected.
        yield f"CVE-{year}-none.json", {"vulnStatus": "Rejected"}


@functools.cache
def nvd_artifact(until_year: int) -> dict[str, bytes]:
    """Return the registry's documents of an artifact that has every year up to `until_year`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / NAME
        for file, document in members(until_year):
            path = folder / file.split("-")[1] / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(document))
        author = ("-c", "user.name=Mirror", "-c", "user.email=mirror@localhost")
        for words in (
            ("init", "--quiet", "--template="),
            ("add", "."),
            ("commit", "--quiet", "--message=NVD"),
        ):
            subprocess.run(["git", "-C", folder, *author, *words], check=True, env=os.environ | GIT)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(folder / ".git", f"{NAME}/.git")
    return artifact("vulsio/vuls-data-db", NAME, LAYER, zstd(packed.getvalue()))
