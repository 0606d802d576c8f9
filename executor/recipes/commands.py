"""The closed list of operations: what may be asked, and the commands that it becomes.

Pure: nothing here reads a file, a clock or the environment.
"""

import functools
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomlkit

from executor.databases.catalogue import CATALOGUE, CLASSIC, VULS2, DatabaseName, in_vain, names
from executor.engines import Command

CONFIGTEST = "configtest"
SCAN_TYPES = ("fast", "full", CONFIGTEST)
SCAN_STEPS = ["configtest", "scan", "report"]
EVERY_DATABASE = "all"
# Queues that do not wait for each other.
LANES = ("scan", "test", "database_update")

JOB_ID = re.compile(r"[0-9a-f]{32}")
# A server's name becomes the name of its result file.
SERVER_NAME = re.compile(r"(?!\.\.?$)[^/\x00-\x1f\x7f\ud800-\udfff]{1,200}")

# What Vuls needs of the shared file besides the servers. The rest (mail, chat, upload) would only
# put its secrets in the job's folder.
KEPT_SECTIONS = ("version", "default", "wpscan")
# Vuls creates an empty database, in its current folder, for each dictionary that is not named.
SMALL_DICTIONARIES = ("exploit", "metasploit", "kevuln", "cti")


class InvalidError(Exception):
    """The request asks for something that there is not; `field` says where, `unknown` which of it."""

    def __init__(self, field: str, sentence: str, unknown: Sequence[str] = ()) -> None:
        super().__init__(sentence)
        self.field = field
        self.unknown = list(unknown)


@dataclass(frozen=True)
class Request:
    """A request whose shape is right. `body` says what is asked for, and nothing about its queue."""

    job_id: str
    kind: str
    body: dict[str, Any]
    steps: list[str]  # by name, in order
    group: str | None = None

    @property
    def lane(self) -> str:
        """Return the queue in which the job waits for its turn."""
        return "test" if self.body.get("scan_type") == CONFIGTEST else self.kind


def scan_request(body: Any) -> Request:
    """Check the shape of a request for a scan; whether the servers exist is another question."""
    job_id = _job_id(_fields(body, ("job_id", "servers", "scan_type")))
    servers, scan_type = body["servers"], body["scan_type"]
    if not isinstance(servers, list) or not servers:
        raise InvalidError("servers", "servers must be a list of at least one name.")
    for name in servers:
        if not isinstance(name, str) or not SERVER_NAME.fullmatch(name):
            raise InvalidError("servers", "A server's name is at most 200 characters without a slash.")
    if len(set(servers)) != len(servers):
        raise InvalidError("servers", "A server is named twice.")
    if scan_type not in SCAN_TYPES:
        raise InvalidError("scan_type", "scan_type must be fast, full or configtest.")
    steps = [CONFIGTEST] if scan_type == CONFIGTEST else SCAN_STEPS
    return Request(job_id, "scan", {"servers": servers, "scan_type": scan_type}, steps, _group(body))


def database_request(body: Any, profile: str = CLASSIC) -> Request:
    """Check a request for a database update: it must be of a database that the profile's Vuls reads."""
    job_id = _job_id(_fields(body, ("job_id", "database")))
    database = body["database"]
    if not isinstance(database, str) or database not in (EVERY_DATABASE, *CATALOGUE):
        raise InvalidError("database", f"database must be one of {', '.join((EVERY_DATABASE, *CATALOGUE))}.")
    if database != EVERY_DATABASE and (why := in_vain(database, profile)):
        raise InvalidError("database", why)
    steps = list(names(profile)) if database == EVERY_DATABASE else [database]
    return Request(job_id, "database_update", {"database": database}, steps, _group(body))


def check_servers(shared: str, servers: Sequence[str]) -> None:
    """Raise Invalid unless each server is in the shared config.toml."""
    known = _servers(_parsed(shared))
    unknown = [name for name in servers if name not in known]
    if unknown:
        raise InvalidError("servers", f"There is no server {unknown[0]!r} in config.toml.", unknown)


def is_own_machine(shared: str, server: str) -> bool:
    """Say whether a server is the machine that Vuls runs on, as Vuls decides it."""
    document = _parsed(shared)
    own, default = _servers(document).get(server, {}), _section(document, "default")
    values = {key.lower(): value for key, value in (default | own).items()}
    return values.get("port") == "local" and values.get("host") in ("127.0.0.1", "localhost")


def server_config(shared: str, server: str, scan_type: str, dictionaries: Mapping[str, Path]) -> str:
    """Return the config.toml for one server of a job, made from the shared one.

    `dictionaries` says for each of Vuls' dictionary sections which file it shall read.
    """
    document = _parsed(shared)
    default = _section(document, "default")
    known = _servers(document)
    made: dict[str, Any] = {
        key: value for key, value in document.items() if key.lower() in KEPT_SECTIONS and value
    }
    for section, path in dictionaries.items():
        made[section] = _dictionary(section, path)
    made["servers"] = {server: _server(known[server], default, scan_type)}
    return tomlkit.dumps(made)


def configtest_command(
    folder: Path, timeout_seconds: int, connect_seconds: int, *, verbose: bool = False
) -> Command:
    """Ask Vuls whether the server in the folder's config.toml can be scanned.

    `verbose` has ssh say why it could not connect, which Vuls else keeps to itself.
    """
    words = (f"-timeout={min(connect_seconds, timeout_seconds)}", *(("-vvv",) if verbose else ()))
    return Command("vuls", ("configtest", *_paths(folder), *words), timeout_seconds)


def scan_command(folder: Path, results: Path, timeout_seconds: int, connect_seconds: int) -> Command:
    """Have Vuls scan the server in the folder's config.toml."""
    # Vuls gives up first, so that it still writes what it has of the servers that were quick.
    limit = max(1, timeout_seconds * 9 // 10)
    return Command(
        "vuls",
        (
            "scan",
            *_paths(folder),
            f"-results-dir={results}",
            f"-cachedb-path={folder / 'cache.db'}",
            f"-timeout={min(connect_seconds, limit)}",
            f"-timeout-scan={limit}",
        ),
        timeout_seconds,
    )


def report_command(folder: Path, results: Path, timeout_seconds: int) -> Command:
    """Have Vuls look up the vulnerabilities of the newest results in a folder."""
    # -refresh-cve: without it Vuls keeps what an earlier report found. One line of text: the result
    # document says it all, and the table would fill the log.
    words = ("-refresh-cve", "-no-progress", "-format-one-line-text")
    return Command("vuls", ("report", *_paths(folder), f"-results-dir={results}", *words), timeout_seconds)


def fetch_command(name: DatabaseName, dbpath: Path, timeout_seconds: int) -> Command:
    """Have the database's tool fetch its feed into the file.

    Vuls has no command for its own, and fetches it when it is to report on a host: see `fetch_files`.
    """
    database = CATALOGUE[name]
    if name == VULS2:
        report = report_command(dbpath.parent, dbpath.parent / "results", timeout_seconds)
        return replace(report, fetches=True)
    arguments = (*database.arguments, "--dbpath", str(dbpath))
    return Command(database.tool, arguments, timeout_seconds, fetches=True)


def fetch_files(name: DatabaseName, dbpath: Path) -> dict[Path, str]:
    """Return what a fetch must find beside it: for vuls2 the result of a host that there is not."""
    if name != VULS2:
        return {}
    folder = dbpath.parent
    config = {
        "vuls2": {"Path": str(dbpath), "SkipUpdate": False},
        "servers": {"fetch": {"host": "localhost"}},
    }
    package = {"name": "none", "version": "0", "release": "", "arch": "x86_64"}
    document = {
        "jsonVersion": 4,
        "serverName": "fetch",
        # Every Vuls that knows vuls2 well looks this family up there.
        "family": "alpine",
        "release": "3.20.0",
        "packages": {"none": package},
        "SrcPackages": {"none": {"name": "none", "version": "0", "binaryNames": ["none"]}},
        "scannedCves": {},
    }
    return {
        folder / "config.toml": tomlkit.dumps(config),
        # A folder named by a time, as Vuls leaves them.
        folder / "results" / "2000-01-01T00-00-00+0000" / "fetch.json": json.dumps(document),
    }


def _dictionary(section: str, path: Path) -> dict[str, Any]:
    if section == VULS2:
        # Else a report would fetch it by itself, over the live one.
        return {"Path": str(path), "SkipUpdate": True}
    return {"type": "sqlite3", "SQLite3Path": str(path)}


def _fields(body: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise InvalidError("body", "The body must be a JSON object.")
    for name in names:
        if name not in body:
            raise InvalidError(name, f"{name} is missing.")
    for name in body:
        if name not in (*names, "group"):
            raise InvalidError(name[:100], "There is no such field.")
    return body


def _job_id(body: dict[str, Any]) -> str:
    job_id = body["job_id"]
    if not isinstance(job_id, str) or not JOB_ID.fullmatch(job_id):
        raise InvalidError("job_id", "job_id must be 32 lower-case hexadecimal digits.")
    return job_id


def _group(body: dict[str, Any]) -> str | None:
    group = body.get("group")
    if group is not None and (not isinstance(group, str) or not JOB_ID.fullmatch(group)):
        raise InvalidError("group", "group must be 32 lower-case hexadecimal digits.")
    return group


# A file of 50,000 servers takes seconds, and is read for each server of a job.
@functools.lru_cache(maxsize=1)
def _parsed(shared: str) -> dict[str, Any]:
    try:
        return tomllib.loads(shared)
    except tomllib.TOMLDecodeError as error:
        raise InvalidError("servers", f"The shared config.toml is not valid TOML: {error}.") from error


def _section(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    # Vuls reads its keys without regard to case.
    for key, value in document.items():
        if key.lower() == name and isinstance(value, dict):
            return value
    return {}


def _servers(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    servers = _section(document, "servers")
    return {name: server for name, server in servers.items() if isinstance(server, dict)}


def _server(server: dict[str, Any], default: dict[str, Any], scan_type: str) -> dict[str, Any]:
    if scan_type != "full":
        return server
    # Vuls refuses deep together with offline.
    modes = _modes(server) or _modes(default)
    full = ["fast-root", "offline"] if "offline" in modes else ["deep"]
    return {key: value for key, value in server.items() if key.lower() != "scanmode"} | {"scanMode": full}


def _modes(section: Mapping[str, Any]) -> list[str]:
    modes: Any = next((value for key, value in section.items() if key.lower() == "scanmode"), [])
    return [str(mode).lower() for mode in modes] if isinstance(modes, list) else []


def _paths(folder: Path) -> tuple[str, str]:
    return f"-config={folder / 'config.toml'}", f"-log-dir={folder}"
