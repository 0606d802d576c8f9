"""The archive from which go-cve-dictionary v0.11 reads NVD: one JSON document for each CVE, in a tar."""

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

FACTS = Path(__file__).parent / "data" / "nvd.tsv"
# Without years named, the tool reads every year from here to its own clock's, and needs each to exist.
FIRST_YEAR = 1999
UNKNOWN = "-"


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


def nvd_archive(until_year: int) -> bytes:
    """Pack the facts as the tool expects them, with every year up to `until_year`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, document in members(until_year):
            body = json.dumps(document).encode()
            member = tarfile.TarInfo(f"vuls-data-raw-nvd-api-cve-main/{name.split('-')[1]}/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return packed.getvalue()
