"""The examples of docs/api.md, run unchanged with the real curl."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import NOW
from tests.support.needs import lacking
from tests.support.serving import serving
from vulsweb.extensions import db
from vulsweb.hosts import connection_tests
from vulsweb.models import Host, Run, RunStatus, ScheduledTask, Trigger, User
from vulsweb.ssh import keys, known_hosts
from vulsweb.ssh.folder import SshFolder
from vulsweb.vuls.config_toml import STARTER

MakeTask = Callable[..., ScheduledTask]
DOCUMENT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def examples() -> list[str]:
    """Return each command that begins with curl, over as many lines as it takes."""
    found = []
    for block in re.findall(r"```bash\n(.*?)```", DOCUMENT, re.DOTALL):
        lines = iter(block.splitlines())
        for line in lines:
            command = line
            while command.count("'") % 2 or command.endswith("\\"):
                command += "\n" + next(lines)
            if command.startswith("curl "):
                found.append(command)
    return found


@pytest.fixture
def address(
    app: Flask,
    admin: User,
    make_task: MakeTask,
    make_host: Callable[..., Host],
    sent: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """The application, listening, with what the examples speak of: hosts, task 1, active run 7, SSH."""
    (tmp_path / "config.toml").write_text(STARTER)
    monkeypatch.setitem(app.config, "VULS_CONFIG", tmp_path / "config.toml")
    monkeypatch.setitem(app.config, "SSH_FOLDER", tmp_path / "ssh")
    idle, busy = make_task(name="Idle"), make_task(name="Busy")
    connection_tests.start(make_host("third"), NOW)
    for number in range(1, 8):
        run = Run(
            task=busy if number == 7 else idle,
            status=RunStatus.RUNNING if number == 7 else RunStatus.SUCCESS,
            trigger=Trigger.API,
            created_at=NOW,
            request={},
        )
        db.session.add(run)
        db.session.flush()
    trust(app, admin)
    db.session.commit()
    with serving(app) as url:
        yield url


def trust(app: Flask, admin: User) -> None:
    """Leave the key `mine`, the open offer 1, and the accepted host key 1."""
    folder = SshFolder(app.config["SSH_FOLDER"])
    line = keys.generate(folder, "mine").line
    for hostname in ("open", "trusted"):
        offer = known_hosts.offer_pasted(hostname, 22, line, now=NOW, requested_by=None)
    known_hosts.accept(offer, folder, changed_too=False, now=NOW, accepted_by=admin)


@pytest.mark.parametrize("command", examples())
def test_an_example_gives_the_documented_answer(
    address: str, token: str, tmp_path: Path, command: str
) -> None:
    curl = shutil.which("curl") or lacking("curl is missing: apt-get install curl")
    promised = re.search(r"# (\d{3})\b", command)
    talking = command.replace("curl ", "curl --silent --show-error --output answer -w '%{http_code}' ", 1)

    done = subprocess.run(
        ["/bin/sh", "-c", talking],
        env={"base": address, "auth": f"Authorization: Bearer {token}", "PATH": str(Path(curl).parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    status = int(done.stdout)
    assert 200 <= status < 300, (tmp_path / "answer").read_text()
    assert promised is None or status == int(promised[1])


def test_every_call_and_every_filter_of_tasks_and_runs_has_an_example(client: FlaskClient) -> None:
    paths = client.get("/api/openapi.json").get_json()["paths"]
    shown = [asked(command) for command in examples()]

    for path, calls in paths.items():
        if path.startswith(("/api/scheduled-tasks", "/api/runs")):
            pattern = re.sub(r"\{[^}]*\}", "[0-9]+", path)
            for method in {"get", "post", "put", "delete"} & set(calls):
                wanted = {p["name"] for p in calls[method].get("parameters", []) if p["in"] == "query"}
                named = [
                    names
                    for verb, where, names in shown
                    if (verb, True) == (method, bool(re.fullmatch(pattern, where)))
                ]
                assert named, f"{method} {path}"
                assert wanted == set().union(*named), f"{method} {path}"


def asked(command: str) -> tuple[str, str, set[str]]:
    """Return the method, the path and the names in the query of an example."""
    words = shlex.split(command, comments=True)
    url = urlsplit(next(word for word in words if word.startswith("$base")).removeprefix("$base"))
    said = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"
    return said.lower(), url.path, set(parse_qs(url.query))
