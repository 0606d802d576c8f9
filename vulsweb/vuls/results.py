"""Vuls' result documents (jsonVersion 4), parsed and judged."""

import enum
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from vulsweb.vuls import affected, catalogue, configtest, hiding, releases, scores, titles
from vulsweb.vuls.affected import Affected, Installed, storable
from vulsweb.vuls.catalogue import DatabaseType, Version

JSON_VERSION = 4
TITLE_LENGTH = 300
# Vuls writes one or two; more than this is not worth a page.
MAX_WARNINGS, WARNING_LENGTH = 10, 500
SHOWN_RELEASE = 100
# Real ids of CVEs and advisories have less than thirty characters.
LONGEST_ID = 200
# How its warning about a release that is not in its table begins (models/scanresults.go).
RELEASE_UNKNOWN = "Failed to check EOL"


class ScanType(enum.StrEnum):
    """How thorough a scan is; the executor maps each to a scanMode."""

    FAST = "fast"
    FULL = "full"

    @property
    def label(self) -> str:
        """Return the name to display."""
        return f"{self.value.capitalize()} Scan"

    def scan_modes(self, configured: Collection[str]) -> tuple[str, ...]:
        """Return Vuls' scan modes for a host, as the executor chooses them.

        A host that config.toml sets to offline stays offline, which Vuls refuses together with deep.
        """
        offline = ("offline",) if "offline" in configured else ()
        if self is ScanType.FAST:
            return ("fast", *offline)
        return ("fast-root", *offline) if offline else ("deep",)


class Severity(enum.StrEnum):
    """How bad a finding is, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """Return the position in the order, 0 for the worst."""
        return list(Severity).index(self)

    @classmethod
    def from_score(cls, score: float) -> "Severity":
        """Return the severity of a CVSS score, by Vuls' own bands."""
        if score >= 9:
            return cls.CRITICAL
        if score >= 7:
            return cls.HIGH
        if score >= 4:
            return cls.MEDIUM
        return cls.LOW if score > 0 else cls.UNKNOWN


def worst_first(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts by severity, worst first, as stored JSON loses order."""
    return {severity.value: counts[severity] for severity in Severity if severity in counts}


class Outcome(enum.StrEnum):
    """The outcome of a scan of one host."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"

    @property
    def label(self) -> str:
        """Return the name to display."""
        return self.value.capitalize()


class ResultsError(Exception):
    """A malformed result; the message names the first wrong field."""


# The parts of a document that list something besides packages, by which such hosts are judged.
_OTHER_CONTENT = ("libraries", "WordPressPackages", "windowsKB")


@dataclass(frozen=True)
class ParsedFinding:
    """One CVE of a result document."""

    cve_id: str
    severity: Severity
    severity_source: str  # whose score or word it is, in Vuls' names; empty if unknown
    score: float | None
    rated: float  # the score that the severity comes from, where Vuls takes a word for one; 0: none
    title: str
    packages: tuple[Affected, ...]  # and libraries and the like

    @classmethod
    def from_document(
        cls, cve_id: str, entry: object, installed: Installed, family: str, vuls: Version
    ) -> "ParsedFinding":
        """Parse an entry of `scannedCves`."""
        if not isinstance(entry, dict):
            raise ResultsError(f"scannedCves.{cve_id} is not an object.")
        rating = scores.rate(entry, vuls)
        try:
            packages = affected.affected_by(cve_id, entry, installed)
        except affected.Malformed as error:
            raise ResultsError(str(error)) from error
        return cls(
            cve_id=cve_id,
            severity=Severity.from_score(rating.score),
            severity_source=rating.source,
            score=rating.number,
            rated=rating.score,
            title=_one_line(titles.title(entry, family)[: 4 * TITLE_LENGTH])[:TITLE_LENGTH],
            packages=packages,
        )


_PACKED = msgspec.json.Decoder(list[ParsedFinding])


@dataclass(frozen=True)
class ScanResult:
    """A parsed result document."""

    server_name: str
    family: str
    release: str
    scanned_at: datetime
    kernel: str  # that runs, as Vuls reports it
    restart_required: bool  # a newer kernel is installed
    scan_mode: str  # in Vuls' words, such as "fast offline mode"
    reported_by: str  # the version of Vuls that looked for CVEs, as reported; empty if no report ran
    package_count: int
    others: tuple[str, ...]  # what else was listed, such as "libraries"
    errors: tuple[str, ...]
    warnings: tuple[str, ...]  # in Vuls' words, such as about the end of life
    findings: tuple[ParsedFinding, ...]
    hidden: Mapping[str, int]  # how many CVEs each setting of config.toml hides
    hidden_ids: frozenset[str]

    @property
    def severity_counts(self) -> dict[str, int]:
        """Return the number of findings by severity, including zeros."""
        found = Counter(finding.severity for finding in self.findings)
        return {severity.value: found[severity] for severity in Severity}


def parse(document: bytes) -> ScanResult:
    """Parse a result document; raise ResultsError, which names the first wrong field."""
    try:
        return _parse(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ResultsError(f"The result is not JSON: {error}.") from error


def _parse(document: bytes) -> ScanResult:
    try:
        parts = _parts(document)
    except msgspec.ValidationError as error:
        raise ResultsError("The result is not a JSON object.") from error
    # Nearly all of a large document are its CVEs. They are decoded one at a time, so that never more than one
    # is in memory as objects.
    encoded = parts.pop("scannedCves", b"{}")
    data = {name: msgspec.json.decode(part) for name, part in parts.items()}
    if data.get("jsonVersion") != JSON_VERSION:
        raise ResultsError(f"jsonVersion is {data.get('jsonVersion')!r}; this version reads {JSON_VERSION}.")
    packages, installed = _mapping(data, "packages"), Installed.of(data)
    # Keyed by the stored name, so that ids that are equal after cleaning do not collide.
    cves = {storable(cve_id): entry for cve_id, entry in _entries(encoded).items()}
    reported_by = str(data.get("reportedVersion") or "")
    vuls = catalogue.version(reported_by) or catalogue.CLASSIC_VERSION
    kernel = _mapping(data, "runningKernel")
    server_name, family, release = (_text(data, field) for field in ("serverName", "family", "release"))
    scanned_at = _scan_time(data)
    if long := next((cve_id for cve_id in cves if len(cve_id) > LONGEST_ID), None):
        raise ResultsError(f"scannedCves has an id of {len(long):,} characters.")
    filters = hiding.Filters.of(data)
    findings, hidden = [], {}
    for cve_id in sorted(cves):
        entry = msgspec.json.decode(cves[cve_id])
        finding = ParsedFinding.from_document(cve_id, entry, installed, family, vuls)
        if setting := filters.hiding(cve_id, entry, finding.rated):
            hidden[cve_id] = setting
        else:
            findings.append(finding)
    return ScanResult(
        server_name=server_name,
        family=family,
        release=release,
        scanned_at=scanned_at,
        kernel=_one_line(str(kernel.get("release") or "")[: 2 * SHOWN_RELEASE])[:SHOWN_RELEASE],
        restart_required=kernel.get("rebootRequired") is True,
        scan_mode=_one_line(str(data.get("scanMode") or ""))[:SHOWN_RELEASE],
        reported_by=reported_by,
        package_count=len(packages),
        others=tuple(field for field in _OTHER_CONTENT if data.get(field)),
        errors=tuple(str(line) for line in _list(data, "errors")),
        warnings=tuple(
            _one_line(storable(str(line)[:WARNING_LENGTH])) for line in _list(data, "warnings")[:MAX_WARNINGS]
        ),
        findings=tuple(findings),
        hidden=Counter(hidden.values()),
        hidden_ids=frozenset(hidden),
    )


def why_not_deep(scan_type: str, result: ScanResult) -> tuple[str, ...]:
    """Return a sentence if a full scan was not deep."""
    if scan_type != ScanType.FULL or "offline" not in result.scan_mode:
        return ()
    return (f"The full scan ran in {result.scan_mode}, because config.toml sets this host to offline.",)


def without_config(document: bytes) -> Iterator[bytes | msgspec.Raw]:
    """Yield the document without key files, users and servers, which `config` names.

    It comes in pieces, because a second copy of a large one would take as much memory again. Of `config`, the
    filters stay that Vuls applies later.
    """
    parts = _parts(document)
    small: dict[str, Any] = {
        name: msgspec.json.decode(parts[name]) for name in ("config", "serverName") if name in parts
    }
    parts.pop("config", None)
    if filters := hiding.kept(small):
        parts["config"] = msgspec.Raw(msgspec.json.encode({"report": filters}))
    yield b"{"
    for number, (name, part) in enumerate(parts.items()):
        yield (b"," if number else b"") + msgspec.json.encode(name) + b":"
        yield part
    yield b"}"


def _parts(document: bytes) -> dict[str, msgspec.Raw]:
    """Return the fields of a document, each as its bytes."""
    return msgspec.json.decode(document, type=dict[str, msgspec.Raw])


def _entries(encoded: bytes | msgspec.Raw) -> Mapping[str, msgspec.Raw]:
    """Return the CVEs by id, each as its bytes."""
    try:
        return msgspec.json.decode(encoded, type=dict[str, msgspec.Raw] | None) or {}
    except msgspec.ValidationError as error:
        raise ResultsError("scannedCves is not an object.") from error


def pack(findings: Sequence[ParsedFinding]) -> bytes:
    """Return findings as bytes, which `unpack` reads."""
    return msgspec.json.encode(findings)


def unpack(packed: bytes) -> list[ParsedFinding]:
    """Return the findings that `pack` made bytes of."""
    return _PACKED.decode(packed)


def before_report(document: bytes) -> dict[str, msgspec.Raw]:
    """Return a document as its scan left it, for another report.

    Vuls keeps the CVEs of few documents, and finds those of all others again (`reuseScannedCves` in
    detector/util.go, the same in v0.26.0 and v0.36.0).
    """
    parts = _parts(document)
    parts.pop("config", None)
    family, scanner = (msgspec.json.decode(parts.get(name, b"null")) for name in ("family", "scannedBy"))
    if family not in ("freebsd", "raspbian") and scanner != "trivy":
        parts["scannedCves"] = msgspec.Raw(b"{}")
    return parts


def judge(result: ScanResult, databases: Collection[str]) -> tuple[Outcome, str | None]:
    """Return the outcome of a scan, and the reason unless successful.

    The result is judged by its content, not by exit codes: Vuls writes a file for a host that it could not
    reach, and reports "0 CVEs" without a database. `databases` names those that the report could read.
    """
    if result.errors:
        return Outcome.FAILED, _one_line(configtest.explain_error(result.errors[0]))[:WARNING_LENGTH]
    if result.family in ("", "unknown"):
        return Outcome.FAILED, "Vuls could not identify the operating system."
    has_packages = result.package_count > 0 or result.family == catalogue.PSEUDO
    if not has_packages and not result.others:
        return Outcome.FAILED, "Vuls found no installed packages."
    if not result.reported_by:
        return Outcome.PARTIAL, "The host was scanned, but the report that finds CVEs did not run."
    problems = list(_gaps(result, databases)) if has_packages else []
    return (Outcome.PARTIAL, " ".join(problems)) if problems else (Outcome.SUCCESS, None)


def _gaps(result: ScanResult, databases: Collection[str]) -> Iterator[str]:
    """Yield why vulnerabilities of installed packages can be missing."""
    family, release = _one_line(result.family), _one_line(result.release)[:SHOWN_RELEASE]
    vuls = catalogue.version(result.reported_by)
    if vuls is None:
        # The database of the current profile is there, so the unknown version is of that profile.
        is_current = DatabaseType.VULS2.value in databases
        vuls = catalogue.CURRENT_VERSION if is_current else catalogue.CLASSIC_VERSION
    required = catalogue.required_databases(family, vuls)
    missing = [name.label for name in required if name.value not in databases]
    if not required:
        yield f"No known database covers {family}."
    elif missing:
        yield (
            f"There was no vulnerability database for {family}, so nothing was found."
            f" First run a database update of {' and '.join(missing)} or of all databases."
        )
    if any(line.startswith(RELEASE_UNKNOWN) for line in result.warnings):
        yield releases.why_unknown(family, release, vuls)
    elif gap := releases.gap(family, release, vuls, result.scanned_at.date()):
        yield gap


def _one_line(text: str) -> str:
    # The text is from the scanned host or a feed, and can have control characters. Few have, and the check of
    # a whole text is a hundred times as fast as that of each character.
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())


def _text(data: Mapping[str, Any], field: str) -> str:
    value = data.get(field)
    if not isinstance(value, str):
        raise ResultsError(f"{field} is {'missing' if value is None else 'not text'}.")
    return storable(value)


def _scan_time(data: Mapping[str, Any]) -> datetime:
    value = _text(data, "scannedAt")
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        shown = _one_line(value)[:SHOWN_RELEASE]
        raise ResultsError(f"scannedAt is {shown!r}, which is not a time.") from error


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
