"""What config.toml hides: Vuls' own filters, applied as it applies them.

Vuls writes its document before it filters (Detect in detector/detector.go, the same in v0.26.0, v0.30.0,
v0.33.1, v0.36.0 and v0.40.1), so the document has all CVEs, and in `config.report` the filters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import re2

# Of `config.report`, by which Vuls filters all servers.
_GENERAL = ("cvssScoreOver", "ignoreUnfixed", "confidenceScoreOver", "ignoreUnscoredCves")
# Of a server or a container.
_OWN = ("ignoreCves", "ignorePkgsRegexp")


@dataclass(frozen=True)
class Filters:
    """The filters for one host, from its document."""

    general: Mapping[str, Any]
    ignored_cves: frozenset[str]
    ignored_packages: tuple[Any, ...]  # compiled expressions

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Filters":
        """Return the filters of a document; what is malformed hides nothing."""
        report = kept(data)
        own = _own(report, data)
        return cls(
            report,
            frozenset(str(cve_id) for cve_id in _list(own.get("ignoreCves"))),
            tuple(filter(None, (_compiled(str(each)) for each in _list(own.get("ignorePkgsRegexp"))))),
        )

    def hiding(self, cve_id: str, entry: Mapping[str, Any], score: float) -> str | None:
        """Return the setting that hides a CVE, or None.

        `score` is the CVSS score that its severity comes from.
        """
        packages = [each for each in _list(entry.get("affectedPackages")) if isinstance(each, dict)]
        hides = {
            "cvssScoreOver": score < self._number("cvssScoreOver"),
            "ignoreUnfixed": self.general.get("ignoreUnfixed") is True and _is_unfixed(entry, packages),
            "confidenceScoreOver": _is_unsure(entry, self._number("confidenceScoreOver")),
            "ignoreCves": cve_id in self.ignored_cves,
            "ignorePkgsRegexp": self._ignores_all(packages),
            "ignoreUnscoredCves": self.general.get("ignoreUnscoredCves") is True and score <= 0,
        }
        return next((setting for setting, does in hides.items() if does), None)

    def _number(self, setting: str) -> float:
        value = self.general.get(setting)
        return float(value) if isinstance(value, int | float) else 0

    def _ignores_all(self, packages: Sequence[Mapping[str, Any]]) -> bool:
        return bool(self.ignored_packages and packages) and all(
            any(each.search(str(package.get("name") or "")) for each in self.ignored_packages)
            for package in packages
        )


def kept(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return of `config.report` the filters alone, without users, paths and other servers."""
    config = data.get("config")
    report = config.get("report") if isinstance(config, dict) else None
    if not isinstance(report, dict):
        return {}
    filters = {setting: report[setting] for setting in _GENERAL if setting in report}
    servers, name = report.get("servers"), str(data.get("serverName") or "")
    server = servers.get(name) if isinstance(servers, dict) else None
    if isinstance(server, dict):
        containers = server.get("containers")
        own = _settings(server) | (
            {
                "containers": {
                    key: _settings(each) for key, each in containers.items() if isinstance(each, dict)
                }
            }
            if isinstance(containers, dict)
            else {}
        )
        filters["servers"] = {name: own}
    return filters


def sentence(hidden: Mapping[str, int]) -> str:
    """Return how many CVEs each setting hides, in one sentence."""
    total = sum(hidden.values())
    by = ", ".join(f"{count:,} by {setting}" for setting, count in sorted(hidden.items()))
    return f"{total:,} {'CVE is' if total == 1 else 'CVEs are'} hidden by config.toml: {by}."


def _own(report: Mapping[str, Any], data: Mapping[str, Any]) -> Mapping[str, Any]:
    server: Mapping[str, Any] = report.get("servers", {}).get(str(data.get("serverName") or ""), {})
    container = data.get("container")
    name = container.get("name") if isinstance(container, dict) else None
    if not name:
        return server
    found: Mapping[str, Any] = server.get("containers", {}).get(str(name), {})
    return found


def _settings(section: Mapping[str, Any]) -> dict[str, Any]:
    return {setting: section[setting] for setting in _OWN if setting in section}


def _is_unfixed(entry: Mapping[str, Any], packages: Sequence[Mapping[str, Any]]) -> bool:
    # Vuls cannot know whether what it found by CPE is fixed.
    return not _list(entry.get("cpeURIs")) and all(package.get("notFixedYet") is True for package in packages)


def _is_unsure(entry: Mapping[str, Any], least: float) -> bool:
    scores = [each.get("score") for each in _list(entry.get("confidences")) if isinstance(each, dict)]
    # Vuls gives each CVE a confidence. Without any, a document is not its own, and nothing is hidden.
    return bool(scores) and all(not isinstance(score, int | float) or score < least for score in scores)


def _compiled(expression: str) -> Any:
    try:
        return re2.compile(expression)
    except re2.error:
        return None  # Vuls warns of it and goes on


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
