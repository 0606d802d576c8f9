"""The pages of keys and known hosts."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from tests.conftest import NOW, handle_messages
from tests.support.sshd import Server, fingerprint, make_key, sshd
from vulsweb import worker
from vulsweb.extensions import db
from vulsweb.models import Trigger
from vulsweb.ssh import keys, known_hosts, versions
from vulsweb.ssh.folder import SshFolder


@pytest.fixture
def folder(app: Flask) -> SshFolder:
    return SshFolder(app.config["SSH_FOLDER"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with sshd(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def fetching(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the offers that were handed to the workers."""
    ids: list[int] = []
    handle_messages(monkeypatch, "fetch_host_keys", ids.append)
    return ids


def secrets_of(path: Path) -> list[str]:
    """Return the lines of a private key, none of which may show up anywhere."""
    return path.read_text().splitlines()[1:-1]


def test_a_key_is_generated_and_shown_without_its_private_part(
    signed_in: FlaskClient, folder: SshFolder
) -> None:
    page = signed_in.post("/keys/generate", data={"name": "scanner"}, follow_redirects=True).text

    assert "Key &#34;scanner&#34; saved." in page
    assert fingerprint(folder.keys / "scanner") in page
    assert (folder.keys / "scanner.pub").read_text().strip() in page
    assert not any(line in page for line in secrets_of(folder.keys / "scanner"))


@pytest.mark.parametrize("way", ["pasted", "file"])
def test_an_uploaded_key_is_kept_and_leaves_no_trace_elsewhere(
    signed_in: FlaskClient, folder: SshFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    mine = make_key(tmp_path / "mine")
    given = (
        {"private_key": mine.read_text()}
        if way == "pasted"
        else {"file": (io.BytesIO(mine.read_bytes()), "k")}
    )

    with caplog.at_level(logging.DEBUG):
        page = signed_in.post("/keys/", data={"name": "mine", **given}, follow_redirects=True).text

    assert fingerprint(mine) in page
    traces = [page, caplog.text, whole_database()]
    assert not any(line in trace for line in secrets_of(mine) for trace in traces)
    assert "key mine SHA256:" in caplog.text


@pytest.mark.parametrize("field", ["private_key", "name"])
def test_a_refused_key_is_in_no_answer(
    signed_in: FlaskClient, tmp_path: Path, caplog: pytest.LogCaptureFixture, field: str
) -> None:
    broken = make_key(tmp_path / "mine").read_text()[:-60]

    with caplog.at_level(logging.DEBUG):
        answer = signed_in.post("/keys/", data={"name": "mine", "private_key": "x", field: broken})

    assert answer.status_code == 422
    assert 'id="upload-error"' in answer.text
    assert broken.splitlines()[1] not in answer.text + caplog.text


def test_more_than_a_key_is_not_even_read(signed_in: FlaskClient, folder: SshFolder) -> None:
    answer = signed_in.post("/keys/", data=b"x" * 2**21, content_type="multipart/form-data; boundary=b")

    assert answer.status_code == 413
    assert not folder.keys.exists()


def whole_database() -> str:
    tables = [table.name for table in db.metadata.sorted_tables]
    return "".join(str(db.session.execute(text(f"TABLE {name}")).all()) for name in tables)


def test_a_key_is_deleted_only_after_a_question_that_names_its_hosts(
    signed_in: FlaskClient, app: Flask, folder: SshFolder
) -> None:
    keys.generate(folder, "scanner")
    content = "Host web-1\n    HostName 192.0.2.1\n    IdentityFile scanner\n"
    places = versions.paths_from(app.config)
    versions.save(content, places, expected=0, now=NOW, saved_by=None, trigger=Trigger.PERSON)
    db.session.commit()

    question = signed_in.get("/keys/scanner/delete").text
    there = (folder.keys / "scanner").exists()
    signed_in.post("/keys/scanner/delete")

    assert "1 host uses this key" in question
    assert "web-1" in question
    assert there
    assert not (folder.keys / "scanner").exists()


def test_a_host_is_fetched_compared_and_accepted(
    signed_in: FlaskClient, folder: SshFolder, server: Server, fetching: list[int]
) -> None:
    place = {"hostname": server.address, "port": str(server.port)}

    asked = signed_in.post("/known-hosts/fetch", data=place)
    waiting = signed_in.get(asked.location).text
    worker.fetch_host_keys(fetching[0])
    shown = signed_in.get(f"{asked.location}/live", headers={"HX-Request": "true"}).text
    page = signed_in.post(f"{asked.location}/accept", follow_redirects=True).text

    assert "hx-get" in waiting
    assert server.fingerprint in shown
    assert "hx-get" not in shown
    assert server.place in page
    assert server.known_hosts_line in folder.known_hosts.read_text()


def test_a_changed_key_is_a_warning_with_both_fingerprints(
    signed_in: FlaskClient, folder: SshFolder, server: Server, fetching: list[int]
) -> None:
    place = {"hostname": server.address, "port": str(server.port)}
    first = signed_in.post("/known-hosts/fetch", data=place).location
    worker.fetch_host_keys(fetching[0])
    signed_in.post(f"{first}/accept")
    old = server.fingerprint
    server.change_host_key()

    second = signed_in.post("/known-hosts/fetch", data=place).location
    worker.fetch_host_keys(fetching[1])
    shown = signed_in.get(second).text
    careless = signed_in.post(f"{second}/accept")
    kept = folder.known_hosts.read_text()
    signed_in.post(f"{second}/accept", data={"changed_too": "on"})

    assert "The key of this host has changed." in shown
    assert old in shown
    assert server.fingerprint in shown
    assert careless.status_code == 422
    assert server.host_key not in kept
    assert server.host_key in folder.known_hosts.read_text()


def test_a_host_that_does_not_answer_is_a_sentence_with_the_way_out(
    signed_in: FlaskClient, fetching: list[int]
) -> None:
    asked = signed_in.post("/known-hosts/fetch", data={"hostname": "127.0.0.1", "port": "1"}).location
    worker.fetch_host_keys(fetching[0])

    page = signed_in.get(asked).text

    assert "No SSH server answered there." in page
    assert "paste its key" in page


def test_what_is_no_host_is_asked_for_nothing(signed_in: FlaskClient, fetching: list[int]) -> None:
    answer = signed_in.post("/known-hosts/fetch", data={"hostname": "-oProxyCommand=id", "port": "22"})

    assert answer.status_code == 422
    assert "Write a host name" in answer.text
    assert fetching == []


def test_a_pasted_key_is_compared_and_accepted(
    signed_in: FlaskClient, folder: SshFolder, tmp_path: Path
) -> None:
    line = make_key(tmp_path / "host").with_suffix(".pub").read_text()

    offer = signed_in.post(
        "/known-hosts/paste", data={"hostname": "db-1", "port": "22", "lines": line}
    ).location
    shown = signed_in.get(offer).text
    signed_in.post(f"{offer}/accept")

    assert fingerprint(tmp_path / "host") in shown
    assert folder.known_hosts.read_text().endswith(f"db-1 {' '.join(line.split()[:2])}\n")


def test_a_private_key_pasted_for_a_host_key_is_refused_and_not_repeated(
    signed_in: FlaskClient, tmp_path: Path
) -> None:
    mine = make_key(tmp_path / "mine")

    form = {"hostname": "db-1", "port": "22", "lines": mine.read_text()}
    answer = signed_in.post("/known-hosts/paste", data=form)

    assert answer.status_code == 422
    assert not any(line in answer.text + whole_database() for line in secrets_of(mine))


def test_a_host_is_removed_after_a_question(
    signed_in: FlaskClient, folder: SshFolder, tmp_path: Path
) -> None:
    line = make_key(tmp_path / "host").with_suffix(".pub").read_text()
    offer = signed_in.post(
        "/known-hosts/paste", data={"hostname": "db-1", "port": "22", "lines": line}
    ).location
    signed_in.post(f"{offer}/accept")
    (known,) = known_hosts.accepted()

    question = signed_in.get(f"/known-hosts/{known.id}/remove").text
    page = signed_in.post(f"/known-hosts/{known.id}/remove", follow_redirects=True).text

    assert "from known hosts?" in question
    assert "db-1 removed from known hosts." in page
    assert "db-1" not in folder.known_hosts.read_text()


def test_hosts_behind_a_proxy_are_to_be_pasted_and_the_others_fetched(
    signed_in: FlaskClient, app: Flask
) -> None:
    content = "Host a\n    HostName 192.0.2.1\nHost b\n    HostName 192.0.2.2\n    ProxyJump a\n"
    places = versions.paths_from(app.config)
    versions.save(content, places, expected=0, now=NOW, saved_by=None, trigger=Trigger.PERSON)
    db.session.commit()

    page = signed_in.get("/known-hosts/").text

    assert "2 hosts in the SSH configuration without an accepted key" in page
    assert 'Fetch key<span class="sr-only"> for a</span>' in page
    assert 'Paste key<span class="sr-only"> for b</span>' in page
