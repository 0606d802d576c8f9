"""What a CVE affects on a host, and what fixes it. Pure.

The kinds are those of VulnInfo in Vuls' models/vulninfos.go, the same in v0.26.0 to v0.40.1.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any


class Malformed(ValueError):
    """A part that is not as Vuls writes it."""


class Kind(enum.StrEnum):
    """What is affected."""

    PACKAGE = "package"  # of the system
    LIBRARY = "library"  # of a program, listed in a lock file
    WORDPRESS = "wordpress"  # WordPress itself, a plugin or a theme
    CPE = "cpe"  # a name in config.toml; whether it is fixed, nobody knows
    UPDATE = "update"  # an update of Windows that is missing
    GITHUB = "github"  # an alert of GitHub about a repository


@dataclass(frozen=True)
class Affected:
    """Something that a CVE affects, as installed and as fixed."""

    name: str
    installed_version: str = ""
    fixed_in: str = ""  # empty: no known fix
    fix_state: str = ""
    kind: str = Kind.PACKAGE.value
    path: str = ""  # of the lock file or the manifest

    def as_dict(self) -> dict[str, str]:
        """Return it as stored and as in the API."""
        return asdict(self)


@dataclass(frozen=True)
class Installed:
    """What a document lists as installed."""

    packages: Mapping[str, Any]
    libraries: Mapping[tuple[str, str], str]  # versions by path and name
    wordpress: Mapping[str, str]  # versions by name

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Installed":
        """Return what a document lists; what is malformed is left out."""
        libraries = {
            (_text(scanner, "path"), _text(library, "Name")): _text(library, "Version")
            for scanner in _objects(data.get("libraries"))
            for library in _objects(scanner.get("Libs"))
        }
        packages = data.get("packages")
        wordpress = {
            _text(each, "name"): _text(each, "version") for each in _objects(data.get("WordPressPackages"))
        }
        return cls(packages if isinstance(packages, dict) else {}, libraries, wordpress)

    def version(self, package: str) -> str:
        """Return the version of a package of the system, with its release."""
        found = self.packages.get(package)
        if not isinstance(found, dict):
            return ""
        version, release = _text(found, "version"), _text(found, "release")
        return f"{version}-{release}" if release else version


def affected_by(cve_id: str, entry: Mapping[str, Any], installed: Installed) -> tuple[Affected, ...]:
    """Return what an entry of `scannedCves` affects; raise Malformed."""
    return (
        *_packages(f"scannedCves.{cve_id}.affectedPackages", entry.get("affectedPackages"), installed),
        *_libraries(entry, installed),
        *_others(entry, installed),
    )


def _packages(where: str, entries: object, installed: Installed) -> Iterator[Affected]:
    if not isinstance(entries or [], list):
        raise Malformed(f"{where} is not a list.")
    for each in entries or []:  # type: ignore[attr-defined]  # a list, as checked
        if not isinstance(each, dict):
            raise Malformed(f"{where} has an entry that is not an object.")
        if not isinstance(name := each.get("name"), str):
            raise Malformed(f"name is {'missing' if name is None else 'not text'}.")
        state = _text(each, "fixState") or ("Not fixed yet" if each.get("notFixedYet") else "")
        yield Affected(storable(name), installed.version(name), _text(each, "fixedIn"), state)


def _libraries(entry: Mapping[str, Any], installed: Installed) -> Iterator[Affected]:
    for each in _objects(entry.get("libraryFixedIns")):
        name, path = _text(each, "name"), _text(each, "path")
        # From v0.40 on, the entry has the version itself.
        version = _text(each, "version") or installed.libraries.get((path, name), "")
        yield Affected(name, version, _text(each, "fixedIn"), kind=Kind.LIBRARY.value, path=path)


def _others(entry: Mapping[str, Any], installed: Installed) -> Iterator[Affected]:
    for each in _objects(entry.get("wpPackageFixStats")):
        name = _text(each, "name")
        version = installed.wordpress.get(name, "")
        yield Affected(name, version, _text(each, "fixedIn"), kind=Kind.WORDPRESS.value)
    for uri in _texts(entry.get("cpeURIs")):
        yield Affected(uri, kind=Kind.CPE.value, fix_state="Compare the version")
    for update in _texts(entry.get("windowsKBFixedIns")):
        yield Affected(update, fixed_in=update, kind=Kind.UPDATE.value)
    for each in _objects(entry.get("gitHubSecurityAlerts")):
        package = each.get("package")
        package = package if isinstance(package, dict) else {}
        name = f"{_text(each, 'repository')} {_text(package, 'name')}".strip()
        path = _text(package, "manifestPath")
        affected = _text(each, "affectedRange")
        yield Affected(name, affected, _text(each, "fixedIn"), kind=Kind.GITHUB.value, path=path)


def storable(text: str) -> str:
    """Return the text without what PostgreSQL cannot store.

    That is NUL and unpaired surrogates.
    """
    return text.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _text(data: Mapping[str, Any], field: str) -> str:
    return storable(str(data.get(field) or ""))


def _objects(value: object) -> Iterator[dict[str, Any]]:
    return (each for each in (value if isinstance(value, list) else ()) if isinstance(each, dict))


def _texts(value: object) -> Iterator[str]:
    return (storable(each) for each in (value if isinstance(value, list) else ()) if isinstance(each, str))
