"""What a Vuls result document (jsonVersion 4) says: bytes in, dataclasses out."""

import enum
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vulsweb.vuls import catalogue
from vulsweb.vuls.catalogue import DatabaseType

JSON_VERSION = 4
TITLE_LENGTH = 300


class ScanType(enum.StrEnum):
    """How thorough a scan is; kinds.py of the executor says which scanMode each stands for."""

    FAST = "fast"
    FULL = "full"

    @property
    def label(self) -> str:
        """Return the words that people read."""
        return f"{self.value.capitalize()} Scan"


class Severity(enum.StrEnum):
    """How bad a finding is, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """Return 0 for the worst, counting up."""
        return list(Severity).index(self)


def worst_first(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts by severity in the order of severities, which JSON from the database has lost."""
    return {severity.value: counts[severity] for severity in Severity if severity in counts}


class Outcome(enum.StrEnum):
    """What a scan of one host came to."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"

    @property
    def label(self) -> str:
        """Return the word that people read."""
        return self.value.capitalize()


class ResultsError(Exception):
    """A result document is not one; the message names the first field that is wrong."""


@dataclass(frozen=True)
class AffectedPackage:
    """A package that a CVE affects, as installed and as fixed."""

    name: str
    installed_version: str
    fixed_in: str  # empty: no fix is known
    fix_state: str

    def as_dict(self) -> dict[str, str]:
        """Return the package as stored and as the API shows it."""
        return {
            "name": self.name,
            "installed_version": self.installed_version,
            "fixed_in": self.fixed_in,
            "fix_state": self.fix_state,
        }


@dataclass(frozen=True)
class ParsedFinding:
    """One CVE of one result document."""

    cve_id: str
    severity: Severity
    score: float | None
    title: str
    packages: tuple[AffectedPackage, ...]


@dataclass(frozen=True)
class ScanResult:
    """A result document, read."""

    server_name: str
    family: str
    release: str
    scanned_at: datetime
    reported_by: str  # the version of Vuls that looked for CVEs, in its own words; empty: none did
    package_count: int
    errors: tuple[str, ...]
    findings: tuple[ParsedFinding, ...]

    @property
    def severity_counts(self) -> dict[str, int]:
        """Return the number of findings by severity, every severity named."""
        found = Counter(finding.severity for finding in self.findings)
        return {severity.value: found[severity] for severity in Severity}


def parse(document: bytes) -> ScanResult:
    """Read one result document; raise ResultsError naming the first field that is wrong."""
    try:
        data = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"The result is not JSON: {error}.") from error
    if not isinstance(data, dict):
        raise ResultsError("The result is not a JSON object.")
    if data.get("jsonVersion") != JSON_VERSION:
        raise ResultsError(f"jsonVersion is {data.get('jsonVersion')!r}; this version reads {JSON_VERSION}.")
    packages = _mapping(data, "packages")
    # By their cleaned names: two that differ only in what cannot be stored would be one row.
    cves = {_storable(cve_id): entry for cve_id, entry in _mapping(data, "scannedCves").items()}
    return ScanResult(
        server_name=_text(data, "serverName"),
        family=_text(data, "family"),
        release=_text(data, "release"),
        scanned_at=_moment(_text(data, "scannedAt")),
        reported_by=str(data.get("reportedVersion") or ""),
        package_count=len(packages),
        errors=tuple(str(line) for line in _list(data, "errors")),
        findings=tuple(_finding(cve_id, entry, packages) for cve_id, entry in sorted(cves.items())),
    )


def without_config(document: bytes) -> bytes:
    """Return the document less its config block, which names key files, users and every server."""
    data = json.loads(document)
    data.pop("config", None)
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def judge(result: ScanResult, databases: Collection[str]) -> tuple[Outcome, str | None]:
    """Say what a scan came to, and why when it is not a success.

    A result is judged by what it holds, not by exit codes: Vuls writes a file for a host that it
    could not reach, and reports "0 CVEs" where it had no database to look into. `databases` names
    the databases that the report could read.
    """
    if result.errors:
        return Outcome.FAILED, _one_line(result.errors[0])
    if result.family in ("", "unknown"):
        return Outcome.FAILED, "Vuls could not tell which system runs there."
    if not result.package_count:
        return Outcome.FAILED, "Vuls read no installed packages."
    if not result.reported_by:
        return Outcome.PARTIAL, "It was scanned, but the report that finds CVEs did not run."
    return _judge_databases(result, databases)


def _judge_databases(result: ScanResult, databases: Collection[str]) -> tuple[Outcome, str | None]:
    family, vuls = _one_line(result.family), catalogue.version(result.reported_by)
    if vuls is None and DatabaseType.VULS2.value in databases:
        # One that tells no version, and was given its own database: it is of that profile.
        vuls = catalogue.CURRENT_VERSION
    needed = catalogue.required_databases(result.family, vuls)
    if not needed:
        return Outcome.PARTIAL, f"No database that we know of covers {family}."
    missing = [name.label for name in needed if name.value not in databases]
    if missing:
        return Outcome.PARTIAL, (
            f"There was no vulnerability database for {family} to look into, so nothing was found."
            f" First run a database update of {' and '.join(missing)} or of all databases."
        )
    return Outcome.SUCCESS, None


def _finding(cve_id: str, entry: object, packages: Mapping[str, Any]) -> ParsedFinding:
    if not isinstance(entry, dict):
        raise ResultsError(f"scannedCves.{cve_id} is not an object.")
    contents = list(_contents(entry))
    score = _score(contents)
    return ParsedFinding(
        cve_id=cve_id,
        severity=_from_score(score) if score else _from_words(contents),
        score=score,
        title=_title(contents),
        packages=tuple(
            _package(affected, packages, f"scannedCves.{cve_id}.affectedPackages")
            for affected in _list(entry, "affectedPackages")
        ),
    )


def _package(affected: object, packages: Mapping[str, Any], where: str) -> AffectedPackage:
    if not isinstance(affected, dict):
        raise ResultsError(f"{where} holds something that is not an object.")
    name = _text(affected, "name")
    installed = packages.get(str(affected["name"]))
    return AffectedPackage(
        name=name,
        installed_version=_version(installed) if isinstance(installed, dict) else "",
        fixed_in=_storable(str(affected.get("fixedIn") or "")),
        fix_state=_storable(
            str(affected.get("fixState") or ("Not fixed yet" if affected.get("notFixedYet") else ""))
        ),
    )


def _version(package: Mapping[str, Any]) -> str:
    version, release = str(package.get("version") or ""), str(package.get("release") or "")
    return _storable(f"{version}-{release}" if release else version)


def _contents(entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    # Lists since Vuls v0.19, single objects before.
    for found in _mapping(entry, "cveContents").values():
        for content in found if isinstance(found, list) else [found]:
            if isinstance(content, dict):
                yield content


def _score(contents: list[Mapping[str, Any]]) -> float | None:
    # As Vuls counts: the newest CVSS generation that anybody scored, and of that the maximum.
    for generation in ("cvss40Score", "cvss3Score", "cvss2Score"):
        scores = [content[generation] for content in contents if _is_score(content.get(generation))]
        if scores:
            return float(max(scores))
    return None


def _is_score(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 10


def _from_score(score: float) -> Severity:
    # The bands of Vuls' own summary.
    if score >= 9:
        return Severity.CRITICAL
    if score >= 7:
        return Severity.HIGH
    return Severity.MEDIUM if score >= 4 else Severity.LOW


_WORDS = {
    "critical": Severity.CRITICAL,
    "important": Severity.HIGH,
    "high": Severity.HIGH,
    "moderate": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "low": Severity.LOW,
    "negligible": Severity.LOW,
    # Debian's word for a flaw that does no harm as it is shipped.
    "unimportant": Severity.LOW,
}


def _from_words(contents: list[Mapping[str, Any]]) -> Severity:
    words = (
        word
        for content in contents
        for field in ("cvss40Severity", "cvss3Severity", "cvss2Severity")
        # Where Debian's source packages disagree, Vuls joins their words: "low|medium".
        for word in str(content.get(field) or "").lower().split("|")
    )
    known = [_WORDS[word] for word in words if word in _WORDS]
    return min(known, key=lambda severity: severity.rank, default=Severity.UNKNOWN)


def _title(contents: list[Mapping[str, Any]]) -> str:
    texts = (str(content.get(field) or "") for field in ("title", "summary") for content in contents)
    return _one_line(next((text for text in texts if text.strip()), ""))[:TITLE_LENGTH]


def _one_line(text: str) -> str:
    # From the scanned host or a feed: control characters have no business in a sentence.
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _text(data: Mapping[str, Any], field: str) -> str:
    value = data.get(field)
    if not isinstance(value, str):
        raise ResultsError(f"{field} is {'missing' if value is None else 'not text'}.")
    return _storable(value)


def _storable(text: str) -> str:
    """Return `text` less what PostgreSQL refuses: NUL, and halves of surrogate pairs, as JSON may hold."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _mapping(data: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = data.get(field) or {}
    if not isinstance(value, dict):
        raise ResultsError(f"{field} is not an object.")
    return value


def _list(data: Mapping[str, Any], field: str) -> list[Any]:
    value = data.get(field) or []
    if not isinstance(value, list):
        raise ResultsError(f"{field} is not a list.")
    return value


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ResultsError(f"scannedAt is {text!r}, which is not a moment.") from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
