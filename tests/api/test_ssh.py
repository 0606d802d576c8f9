"""The API of the SSH configuration, keys and known hosts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from tests.conftest import handle_messages
from tests.support.sshd import Server, fingerprint, make_key, sshd
from vulsweb import worker
from vulsweb.extensions import db
from vulsweb.models import HostSync, Role, Trigger, User
from vulsweb.ssh import keys
from vulsweb.ssh.folder import SshFolder

ONE = "Host web-1\n    HostName 192.0.2.1\n    User scanner\n"


@pytest.fixture
def folder(app: Flask) -> SshFolder:
    return SshFolder(app.config["SSH_FOLDER"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with sshd(tmp_path / "sshd") as running:
        yield running


@pytest.fixture(autouse=True)
def handed_on(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """The messages sent to the workers."""
    ids: dict[str, list[int]] = {"syncs": [], "fetches": []}
    handle_messages(monkeypatch, "sync_hosts", ids["syncs"].append)
    handle_messages(monkeypatch, "fetch_host_keys", ids["fetches"].append)
    return ids


def put(api: FlaskClient, content: str, query: str = "", **more: Any) -> Any:
    return api.put(f"/api/ssh-config{query}", json={"content": content, **more})


def test_before_the_first_save_the_configuration_is_empty(api: FlaskClient) -> None:
    answer = api.get("/api/ssh-config").get_json()

    assert answer == {"content": "", "version": 0, "updated_at": None, "updated_by": None, "hosts": []}


@pytest.mark.parametrize("query", ["?dry_run=true", ""])
def test_a_host_without_identity_file_is_a_warning(api: FlaskClient, folder: SshFolder, query: str) -> None:
    keys.generate(folder, "scanner")

    without = put(api, ONE, query).get_json()
    named = put(api, f"{ONE}    IdentityFile scanner\n", query).get_json()

    (warning,) = without["warnings"]
    assert warning.startswith(
        "No key is named for web-1, so ssh cannot sign in. Add the line IdentityFile NAME"
    )
    assert named["warnings"] == []


def test_a_save_returns_what_it_changed_and_syncs_the_hosts(
    api: FlaskClient, handed_on: dict[str, list[int]], app: Flask
) -> None:
    answer = put(api, ONE).get_json()
    shown = api.get("/api/ssh-config").get_json()

    assert (answer["added"], answer["changed"], answer["retired"], answer["version"]) == (
        ["web-1"],
        [],
        [],
        1,
    )
    assert (shown["content"], shown["version"], shown["updated_by"]) == (ONE, 1, "admin")
    (host,) = shown["hosts"]
    assert (host["alias"], host["connection"], host["scan_modes"]) == ("web-1", "direct", ["fast", "offline"])
    assert "web-1" in app.config["VULS_CONFIG"].read_text()
    (sync,) = db.session.query(HostSync).all()
    assert (handed_on["syncs"], sync.trigger) == ([sync.id], Trigger.API)


@pytest.mark.parametrize("query", ["?fix=true", "?fix=true&dry_run=true"])
def test_with_fix_refused_lines_are_removed_and_listed(api: FlaskClient, query: str) -> None:
    answer = put(api, ONE + "    LocalCommand x\n", query).get_json()

    (removed,) = answer["removed"]
    assert (removed["line"], removed["text"]) == (4, "LocalCommand x")
    assert removed["reason"].startswith("It can run a program")
    assert answer["added"] == ["web-1"]
    assert api.get("/api/ssh-config").get_json()["content"] == ("" if "dry_run" in query else ONE)


def test_jump_hosts_are_left_out(api: FlaskClient) -> None:
    answer = put(api, "Host bastion\nHost inner\n  ProxyJump bastion\n").get_json()

    assert (answer["added"], answer["left_out"]) == (["inner"], ["bastion"])


def test_a_dry_run_returns_the_same_and_changes_nothing(
    api: FlaskClient, handed_on: dict[str, list[int]], app: Flask
) -> None:
    answer = put(api, ONE, "?dry_run=true").get_json()

    assert (answer["added"], answer["version"]) == (["web-1"], 0)
    assert "+[servers.web-1]" in answer["diff"]
    assert api.get("/api/ssh-config").get_json()["version"] == 0
    assert not app.config["VULS_CONFIG"].exists()
    assert handed_on["syncs"] == []


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_lines_that_are_not_allowed_are_listed_one_by_one(api: FlaskClient, query: str) -> None:
    answer = put(api, ONE + "    LocalCommand id\n    Include /etc/x\n", query)

    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    errors = answer.get_json()["errors"]
    assert [(error["line"], error["text"]) for error in errors] == [
        (4, "LocalCommand id"),
        (5, "Include /etc/x"),
    ]
    assert all(error["reason"] for error in errors)


def test_saving_over_a_newer_version_is_a_conflict(api: FlaskClient) -> None:
    put(api, ONE, version=0)

    answer = put(api, ONE + "# more\n", version=0)

    assert answer.status_code == 409
    assert "The current version is 1." in answer.get_json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"content": 7},
        {"content": ONE, "other": 1},
        {"content": ONE, "version": "1"},
        {"content": "\x00"},
        {"content": "\ud800"},
        {"content": ONE, "note": "x" * 201},
    ],
)
def test_an_invalid_body_is_refused(api: FlaskClient, body: dict[str, Any]) -> None:
    assert api.put("/api/ssh-config", json=body).status_code == 422


def test_a_note_that_cannot_be_stored_is_cleaned(api: FlaskClient) -> None:
    assert put(api, ONE, note="a\x00b\ud800c").status_code == 200


def test_a_broken_config_toml_is_reported_with_the_line(api: FlaskClient, app: Flask) -> None:
    app.config["VULS_CONFIG"].write_text("[servers.a\n")

    answer = put(api, ONE)

    assert answer.status_code == 422
    assert "line 1" in answer.get_json()["detail"]


def test_a_file_that_cannot_be_written_is_a_503(api: FlaskClient, folder: SshFolder) -> None:
    folder.path.write_text("in the way")

    answer = put(api, ONE)
    folder.path.unlink()

    assert answer.status_code == 503
    assert api.get("/api/ssh-config").get_json()["version"] == 0


def test_keys_are_added_and_deleted_and_only_public_parts_returned(
    api: FlaskClient, folder: SshFolder, tmp_path: Path
) -> None:
    mine = make_key(tmp_path / "mine")

    made = api.post("/api/keys/generate", json={"name": "scanner"})
    sent = api.post("/api/keys", json={"name": "mine", "private_key": mine.read_text()})
    listed = api.get("/api/keys")
    gone = api.delete("/api/keys/scanner")

    assert (made.status_code, sent.status_code, gone.status_code) == (201, 201, 204)
    assert sent.get_json()["fingerprint"] == fingerprint(mine)
    assert [key["name"] for key in listed.get_json()["items"]] == ["mine", "scanner"]
    secrets = [*mine.read_text().splitlines()[1:-1], "PRIVATE KEY"]
    assert not any(line in answer.text for line in secrets for answer in (made, sent, listed))
    assert [key.name for key in keys.all_keys(folder)] == ["mine"]


def test_an_idempotency_key_stores_nothing_of_a_private_key(
    api: FlaskClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = make_key(tmp_path / "mine").read_text()
    headers = {"Idempotency-Key": "once"}

    first = api.post("/api/keys", json={"name": "mine", "private_key": mine}, headers=headers)
    again = api.post("/api/keys", json={"name": "mine", "private_key": mine}, headers=headers)
    broken = {"name": "other", "private_key": mine[:-60]}
    refused = api.post("/api/keys", json=broken, headers={"Idempotency-Key": "twice"})

    kept = str(db.session.execute(text("TABLE idempotency_keys")).all())
    assert (first.status_code, again.get_json(), refused.status_code) == (201, first.get_json(), 422)
    assert "once" in kept
    assert not any(line in kept + caplog.text + refused.text for line in mine.splitlines()[1:-1])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "../x"}, 422),
        ({"name": "x" * 65}, 422),
        ({"name": "\ud800"}, 422),
        ({}, 422),
        ({"name": "scanner"}, 409),
    ],
)
def test_an_invalid_key_name_is_refused(
    api: FlaskClient, folder: SshFolder, body: dict[str, str], status: int
) -> None:
    keys.generate(folder, "scanner")

    assert api.post("/api/keys/generate", json=body).status_code == status


def test_a_key_in_use_is_deleted_only_with_force(api: FlaskClient, folder: SshFolder) -> None:
    keys.generate(folder, "scanner")
    put(api, ONE + "    IdentityFile scanner\n")

    refused = api.delete("/api/keys/scanner")
    forced = api.delete("/api/keys/scanner?force=true")

    assert (refused.status_code, forced.status_code) == (409, 204)
    assert "web-1" in refused.get_json()["detail"]


def test_host_keys_are_fetched_compared_and_accepted(
    api: FlaskClient, folder: SshFolder, server: Server, handed_on: dict[str, list[int]]
) -> None:
    place = {"hostname": server.address, "port": server.port}

    asked = api.post("/api/known-hosts/offers", json=place)
    early = api.post(f"{asked.location}/accept", json={})
    worker.fetch_host_keys(handed_on["fetches"][0])
    offer = api.get(asked.location).get_json()
    accepted = api.post(f"{asked.location}/accept", json={}).get_json()
    listed = api.get("/api/known-hosts").get_json()["items"]
    removed = api.delete(f"/api/known-hosts/{listed[0]['id']}")

    assert (asked.status_code, asked.get_json()["status"], early.status_code) == (202, "pending", 409)
    key = {"type": "ssh-ed25519", "fingerprint": server.fingerprint, "state": "new", "replaces": None}
    assert (offer["status"], offer["keys"]) == ("ready", [key])
    assert accepted == listed
    assert (listed[0]["accepted_by"], listed[0]["fingerprint"]) == ("admin", server.fingerprint)
    assert removed.status_code == 204
    assert server.host_key not in folder.known_hosts.read_text()


def test_a_changed_key_must_be_accepted_explicitly(api: FlaskClient, tmp_path: Path) -> None:
    lines = [make_key(tmp_path / name).with_suffix(".pub").read_text() for name in ("old", "new")]
    offers = []
    for line in lines:
        place = {"hostname": "db-1", "lines": line}
        offers.append(api.post("/api/known-hosts/offers", json=place).location)
        answer = api.post(f"{offers[-1]}/accept", json={})

    shown = api.get(offers[1]).get_json()["keys"][0]
    meant = api.post(f"{offers[1]}/accept", json={"accept_changed": True})

    assert (shown["state"], shown["replaces"]) == ("changed", fingerprint(tmp_path / "old"))
    assert (answer.status_code, meant.status_code) == (409, 200)


@pytest.mark.parametrize(
    "body", [{"hostname": "-x"}, {"hostname": "a", "port": 0}, {"hostname": "a", "lines": "?"}, {"port": 22}]
)
def test_an_invalid_host_or_key_is_refused(api: FlaskClient, body: dict[str, Any]) -> None:
    assert api.post("/api/known-hosts/offers", json=body).status_code == 422


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_tokens_of_operators_are_refused(api: FlaskClient, admin: User, method: str) -> None:
    admin.role = Role.OPERATOR
    db.session.commit()

    assert api.open("/api/ssh-config", method=method, json={"content": ONE}).status_code == 403
