"""Fake tools that misbehave as a test asks."""

import sys
import textwrap
from pathlib import Path

FAKE_VULS = """\
#!{python} -SE
import json, os, pathlib, signal, sys, time, tomllib
options = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[2:])
servers = list(tomllib.loads(pathlib.Path(options["config"]).read_text())["servers"])
def leave(*names):
    folder = pathlib.Path(options["results-dir"], "2026-01-01T02-00-00+0000")
    folder.mkdir()
    for name in names:
        document = dict(serverName=name, errors=[], reportedAt="0001-01-01T00:00:00Z")
        (folder / (name + ".json")).write_text(json.dumps(document))
def look_up():
    for path in pathlib.Path(options["results-dir"]).glob("*/*.json"):
        path.write_text(path.read_text().replace("0001-01-01", "2026-01-01"))
def configtest():
{configtest}
def scan():
{scan}
def report():
{report}
dict(configtest=configtest, scan=scan, report=report)[sys.argv[1]]()
"""

FAKE_FETCHER = """\
#!{python} -SE
import os, signal, sqlite3, sys, time
path = sys.argv[sys.argv.index("--dbpath") + 1]
def fill(table, rows):
    with sqlite3.connect(path) as connection:
        columns = "(schema_version integer, last_fetched_at text)"
        connection.execute("CREATE TABLE IF NOT EXISTS fetch_meta " + columns)
        connection.execute("DELETE FROM fetch_meta")
        connection.execute("INSERT INTO fetch_meta VALUES (3, '2026-01-01 00:00:00+00:00')")
        connection.execute("CREATE TABLE IF NOT EXISTS " + table + " (id integer)")
        connection.execute("DELETE FROM " + table)
        connection.executemany("INSERT INTO " + table + " VALUES (?)", [(n,) for n in range(rows)])
{body}
"""


class FakeTools:
    """Writes executables that replace a tool and misbehave as a test asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def write(self, tool: str, text: str) -> None:
        path = self.folder / tool
        path.write_text(text)
        path.chmod(0o755)

    def vuls(
        self, *, configtest: str = "pass", scan: str = "leave(*servers)", report: str = "look_up()"
    ) -> None:
        bodies = {
            name: textwrap.indent(textwrap.dedent(body), "    ")
            for name, body in (("configtest", configtest), ("scan", scan), ("report", report))
        }
        self.write("vuls", FAKE_VULS.format(python=sys.executable, **bodies))

    def fetcher(self, tool: str, body: str) -> None:
        self.write(tool, FAKE_FETCHER.format(python=sys.executable, body=textwrap.dedent(body)))
