"""The commands that jobs run, as tool names and arguments. Pure."""

import json
from dataclasses import replace
from pathlib import Path

import tomlkit

from executor.databases.catalogue import CATALOGUE, VULS2, DatabaseName
from executor.engines import Command

# A test waits at most three times for a server, each time for as long as a connection may take.
CONFIGTEST_TIMEOUTS = 4


def configtest_command(
    folder: Path, timeout_seconds: int, connect_seconds: int, *, verbose: bool = False
) -> Command:
    """Return the command that tests whether Vuls can scan a server.

    The server is the one in the folder's config.toml. With `verbose`, ssh says why it could not connect; Vuls
    does not report it otherwise.
    """
    options = (f"-timeout={min(connect_seconds, timeout_seconds)}", *(("-vvv",) if verbose else ()))
    limit = min(timeout_seconds, CONFIGTEST_TIMEOUTS * connect_seconds)
    return Command("vuls", ("configtest", *_paths(folder), *options), limit)


def scan_command(folder: Path, results: Path, timeout_seconds: int, connect_seconds: int) -> Command:
    """Return the command that scans the server in the folder's config.toml."""
    # Vuls gives up first, so that it can still write the results of servers that were quick.
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
    """Return the command that looks up the vulnerabilities of scan results.

    It takes the newest results in the folder `results`.
    """
    # Without -refresh-cve, Vuls keeps what an earlier report found. One line of text is enough: the result
    # document holds everything, and the full table would fill the log.
    options = ("-refresh-cve", "-no-progress", "-format-one-line-text")
    return Command("vuls", ("report", *_paths(folder), f"-results-dir={results}", *options), timeout_seconds)


def fetch_command(name: DatabaseName, dbpath: Path, timeout_seconds: int) -> Command:
    """Return the command that fetches a database into the file.

    Vuls has no fetch command for vuls2: it downloads the database when it reports on a host. That host's
    result and configuration come from `fetch_files`.
    """
    database = CATALOGUE[name]
    if name == VULS2:
        report = report_command(dbpath.parent, dbpath.parent / "results", timeout_seconds)
        return replace(report, fetches=True)
    arguments = (*database.arguments, "--dbpath", str(dbpath))
    return Command(database.tool, arguments, timeout_seconds, fetches=True)


def fetch_files(name: DatabaseName, dbpath: Path) -> dict[Path, str]:
    """Return the files that a fetch needs.

    Only vuls2 needs any: a configuration, and a made-up result of a host that does not exist.
    """
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
        # Every Vuls that fully supports vuls2 looks this family up in it.
        "family": "alpine",
        "release": "3.20.0",
        "packages": {"none": package},
        "SrcPackages": {"none": {"name": "none", "version": "0", "binaryNames": ["none"]}},
        "scannedCves": {},
    }
    return {
        folder / "config.toml": tomlkit.dumps(config),
        # Vuls looks for results in folders named by a time.
        folder / "results" / "2000-01-01T00-00-00+0000" / "fetch.json": json.dumps(document),
    }


def _paths(folder: Path) -> tuple[str, str]:
    return f"-config={folder / 'config.toml'}", f"-log-dir={folder}"
