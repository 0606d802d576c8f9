"""The page of the SSH configuration."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import NOW, handle_messages
from tests.views.conftest import HOSTILE
from vulsweb import worker
from vulsweb.extensions import db
from vulsweb.models import HostSync, Role, SshConfigVersion, Trigger, User
from vulsweb.ssh import keys, versions
from vulsweb.ssh.folder import SshFolder

ONE = "Host web-1\n    HostName 192.0.2.1\n    User scanner\n"
TWO = ONE + "Host web-2\n    HostName 192.0.2.2\n"
LIVE = {"HX-Request": "true"}


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the syncs that were handed to the workers."""
    ids: list[int] = []
    handle_messages(monkeypatch, "sync_hosts", ids.append)
    return ids


Send = Callable[..., str]


@pytest.fixture
def send(signed_in: FlaskClient, synced: list[int]) -> Send:
    """Save a text and return the page that follows."""

    def sent(content: str, version: int = 0, note: str = "") -> str:
        form = {"content": content, "version": str(version), "note": note}
        return signed_in.post("/ssh-config/", data=form, follow_redirects=True).text

    return sent


def test_before_the_first_save_the_page_teaches(signed_in: FlaskClient) -> None:
    page = signed_in.get("/ssh-config/").text

    assert "Nothing saved yet" in page
    for name in ("AWS SSM", "GCP IAP", "Cloudflare Access", "Jump host", "Direct SSH"):
        assert f">{name}</button>" in page


def test_a_save_is_kept_and_the_hosts_are_sent_for(send: Send, synced: list[int], app: Flask) -> None:
    page = send(ONE, note="The first host")

    assert "Saved as version 1." in page
    assert "Syncing the hosts" in page
    assert "The first host" in page
    assert synced == [1]
    assert "web-1" in app.config["VULS_CONFIG"].read_text()


def test_the_live_part_tells_what_the_sync_did_and_falls_silent(
    send: Send, signed_in: FlaskClient, synced: list[int]
) -> None:
    address = re.search(r'id="host-sync"[^>]*?hx-get="([^"]+)"', send(TWO))
    assert address is not None

    waiting = signed_in.get(address[1], headers=LIVE)
    worker.sync_hosts(synced[0])
    done = signed_in.get(address[1], headers=LIVE)

    assert waiting.status_code == 204
    assert "2 added" in done.text
    assert "hx-get" not in done.text


def test_a_sync_that_nobody_takes_up_is_told_in_the_end(
    send: Send, signed_in: FlaskClient, synced: list[int]
) -> None:
    send(ONE)
    db.session.get_one(HostSync, synced[0]).requested_at = datetime.now(UTC) - timedelta(minutes=11)
    db.session.commit()

    page = signed_in.get("/ssh-config/").text

    assert "No worker is running the sync." in page


def test_with_redis_away_a_save_is_kept_and_says_so(signed_in: FlaskClient, app: Flask) -> None:
    answer = signed_in.post("/ssh-config/", data={"content": ONE, "version": "0"}, follow_redirects=True)

    assert "Redis is not reachable." in answer.text
    assert "web-1" in app.config["VULS_CONFIG"].read_text()


def test_what_is_refused_is_told_by_line_and_the_text_stays(send: Send, app: Flask) -> None:
    page = send(ONE + "    LocalCommand id\n", note="A try")

    assert "Not saved." in page
    assert 'data-line="4">Line 4</a>' in page
    assert "LocalCommand id" in page
    assert 'value="A try"' in page
    assert not app.config["VULS_CONFIG"].exists()


def test_refused_lines_are_removed_on_a_click_shown_and_brought_back(
    send: Send, signed_in: FlaskClient
) -> None:
    wrong = ONE + "    LocalCommand touch /x\n"
    refused = send(wrong)
    fixed = signed_in.post("/ssh-config/fix", data={"content": wrong, "note": "mine"}).text
    undone = signed_in.post("/ssh-config/fix", data={"before": wrong, "undo": "yes"}).text

    assert 'formaction="/ssh-config/fix"' in refused
    assert "1 line was removed. Nothing is saved yet." in fixed
    assert fixed.count("LocalCommand touch /x") == 2  # in the list of removed lines, and for Undo
    assert "No problems found" not in refused
    assert 'value="mine"' in fixed
    assert "was removed" not in undone
    assert "LocalCommand touch /x" in undone
    assert db.session.query(SshConfigVersion).count() == 0


def test_a_private_key_in_the_text_is_removed_without_being_shown(signed_in: FlaskClient) -> None:
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n"
    folder = SshFolder(signed_in.application.config["SSH_FOLDER"])

    fixed, removed = versions.without_refused(ONE + key + TWO, folder)

    assert [(refusal.line, refusal.text) for refusal in removed] == [(n, "(not shown)") for n in (4, 5, 6)]
    assert versions.check(fixed, folder) == []
    assert "web-2" in fixed


def test_a_jump_host_is_not_scanned_and_the_page_says_how_to(send: Send) -> None:
    page = send("Host bastion\nHost inner\n    ProxyJump bastion\n")

    assert page.count("Jump host, not scanned") == 1
    assert "<code># vulsweb: scan</code>" in page


def test_line_ends_outside_of_our_lines_stay(send: Send, app: Flask) -> None:
    theirs = b'[default]\r\nuser = "vuls"\r\n'
    app.config["VULS_CONFIG"].write_bytes(theirs)

    send(ONE)

    assert app.config["VULS_CONFIG"].read_bytes().startswith(theirs)


def test_the_check_answers_as_one_types(signed_in: FlaskClient) -> None:
    wrong = signed_in.post("/ssh-config/check", data={"content": "Host a\n    Include x\n"})
    right = signed_in.post("/ssh-config/check", data={"content": ""})

    assert 'data-line="2"' in wrong.text
    assert "No problems found." in right.text
    assert right.text.lstrip().startswith('<div id="problems"')


def test_a_host_without_identity_file_is_told_at_save_and_in_the_table(
    send: Send, signed_in: FlaskClient, app: Flask
) -> None:
    keys.generate(SshFolder(app.config["SSH_FOLDER"]), "scanner")
    behind = "    ProxyJump bastion.example.com\n"

    page = send(ONE + behind)
    checked = signed_in.post(
        "/ssh-config/check", data={"content": f"{ONE}{behind}Host *\n  IdentityFile scanner\n"}
    )

    assert "No key is named for web-1, bastion.example.com, so ssh cannot sign in." in page
    assert "None: add IdentityFile" in page
    assert "No problems found." in checked.text


def test_the_preview_tells_the_difference_and_does_nothing(
    send: Send, signed_in: FlaskClient, app: Flask
) -> None:
    send(TWO)
    before = app.config["VULS_CONFIG"].read_text()
    text = "Host web-1\n    HostName 192.0.2.1\n    User other\nHost web-3\n    HostName 192.0.2.3\n"

    part = signed_in.post("/ssh-config/preview", data={"content": text}, headers=LIVE).text
    page = signed_in.post("/ssh-config/preview", data={"content": text}).text

    for shown in (part, page):
        words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", shown))
        assert "1 added web-3" in words
        assert "1 changed web-1" in words
        assert "1 removed web-2" in words
        assert "+[servers.web-3]" in words
    assert part.lstrip().startswith('<section id="preview"')
    assert "    User other" in page
    assert app.config["VULS_CONFIG"].read_text() == before


def test_who_saves_second_loses_nothing_and_sees_the_difference(send: Send, signed_in: FlaskClient) -> None:
    send(ONE, version=0)

    answer = signed_in.post("/ssh-config/", data={"content": TWO, "version": "0"})

    assert answer.status_code == 409
    assert "admin has saved version 1 in the meantime" in answer.text
    assert "Host web-2" in answer.text.split("<textarea", 1)[1].split("</textarea>")[0]
    assert "+Host web-2" in answer.text
    assert 'value="1"' in re.findall(r'<input[^>]*name="version"[^>]*>', answer.text)[0]


def test_an_old_version_is_shown_and_restored_as_a_new_one(send: Send, signed_in: FlaskClient) -> None:
    send(ONE)
    send(TWO, version=1)

    shown = signed_in.get("/ssh-config/versions/1").text
    page = signed_in.post("/ssh-config/versions/1/restore", data={"version": "2"}, follow_redirects=True).text

    assert "-Host web-2" in shown
    assert "Saved as version 3." in page
    assert "Restored from version 1." in page
    latest = versions.latest()
    assert latest is not None
    assert latest.content == ONE


def test_a_version_that_our_rules_refuse_today_is_not_restored(
    send: Send, signed_in: FlaskClient, admin: User
) -> None:
    send(ONE)
    db.session.add(SshConfigVersion(number=2, content="Include x\n", note="", created_at=NOW))
    db.session.commit()
    send(ONE, version=2)

    answer = signed_in.post("/ssh-config/versions/2/restore", data={"version": "3"})

    assert answer.status_code == 422
    assert "Other files are not read" in answer.text


def test_a_config_toml_that_does_not_parse_is_a_sentence(send: Send, app: Flask) -> None:
    app.config["VULS_CONFIG"].write_text("[servers.a\n")

    page = send(ONE)

    assert "Not saved." in page
    assert "config.toml, line 1" in page


def test_files_that_are_not_those_of_the_version_are_noticed(
    send: Send, signed_in: FlaskClient, app: Flask
) -> None:
    send(ONE)
    (app.config["SSH_FOLDER"] / "config").write_text("changed by hand")

    assert "Save again to rewrite them." in signed_in.get("/ssh-config/").text


def test_hosts_show_whether_their_key_is_accepted(send: Send) -> None:
    page = send(ONE)

    assert re.search(r'href="/known-hosts/\?hostname=192.0.2.1&amp;port=22">', page)
    assert "Not accepted yet" in page


def test_nothing_that_is_typed_becomes_script(signed_in: FlaskClient, send: Send) -> None:
    answer = signed_in.post("/ssh-config/check", data={"content": f"Host {HOSTILE}\n"})
    page = send(f"# {HOSTILE}\n{ONE}", note=HOSTILE)

    assert HOSTILE not in answer.text
    assert HOSTILE not in page
    assert HOSTILE not in signed_in.get("/ssh-config/versions/1").text


@pytest.mark.parametrize("path", ["/ssh-config/", "/keys/", "/known-hosts/", "/api/ssh-config", "/api/keys"])
@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_only_admins_see_any_of_it(signed_in: FlaskClient, admin: User, role: Role, path: str) -> None:
    admin.role = role
    db.session.commit()

    assert signed_in.get(path).status_code == 403
    assert "SSH config" not in signed_in.get("/tasks/").text


@pytest.mark.parametrize(
    "path", ["/ssh-config/versions/9", "/keys/none-such/delete", "/known-hosts/offers/9"]
)
def test_what_is_not_there_is_a_404(signed_in: FlaskClient, path: str) -> None:
    assert signed_in.get(path).status_code == 404


def test_the_trigger_of_a_sync_is_kept(send: Send, synced: list[int]) -> None:
    send(ONE)

    sync = db.session.get_one(HostSync, synced[0])
    assert (sync.trigger, sync.version_number) == (Trigger.PERSON, 1)
