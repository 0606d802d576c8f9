"""Saving the SSH configuration: the version, both files and the sync, or nothing."""

import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from tests.conftest import NOW
from vulsweb import worker
from vulsweb.extensions import db
from vulsweb.hosts import sync_requests
from vulsweb.models import Host, HostSync, Trigger, User
from vulsweb.ssh import keys, versions
from vulsweb.ssh.folder import SshFolder
from vulsweb.ssh.versions import NotWritten, Outdated, Paths, Saved
from vulsweb.vuls.config_toml import ConfigTomlError
from vulsweb.vuls.ssh.config import SshConfigError

ONE = "Host web-1\n    HostName 192.0.2.1\n    User scanner\n"
TWO = ONE + "Host web-2\n    HostName 192.0.2.2\n"
OURS = '# Mine.\n[servers.by-hand]\nhost = "192.0.2.9"\n'

Save = Callable[..., Saved]


@pytest.fixture
def paths(app: Flask) -> Paths:
    return versions.paths_from(app.config)


@pytest.fixture
def save(paths: Paths, admin: User) -> Save:
    def saved(content: str, expected: int | None = None, note: str = "") -> Saved:
        done = versions.save(
            content,
            paths,
            expected=expected,
            note=note,
            now=NOW,
            saved_by=admin,
            trigger=Trigger.PERSON,
        )
        db.session.commit()
        return done

    return saved


def follow(saved: Saved) -> None:
    """Do what the worker does after a save."""
    worker.sync_hosts(saved.sync.id)
    db.session.expire_all()


def servers(paths: Paths) -> set[str]:
    return set(tomllib.loads(paths.vuls_config.read_text()).get("servers", {}))


def test_the_first_save_adds_version_one_and_writes_both_files(save: Save, paths: Paths, admin: User) -> None:
    saved = save(ONE, expected=0, note="The first\n host\x00.")

    version = saved.version
    assert (version.number, version.content, version.created_by) == (1, ONE, admin)
    assert version.note == "The first host."
    assert (saved.plan.added, saved.plan.changed, saved.plan.retired) == (("web-1",), (), ())
    assert servers(paths) == {"web-1"}
    assert "HostName 192.0.2.1" in paths.folder.config.read_text()
    assert str(paths.folder.config) in paths.vuls_config.read_text()


def test_unmanaged_text_in_config_toml_is_unchanged(save: Save, paths: Paths) -> None:
    paths.vuls_config.write_text(OURS)
    paths.vuls_config.chmod(0o640)

    save(ONE)

    assert paths.vuls_config.read_text().startswith(OURS)
    assert paths.vuls_config.stat().st_mode & 0o777 == 0o640


def test_line_ends_of_browsers_are_normalized(save: Save) -> None:
    assert save(ONE.replace("\n", "\r\n") + "\r\n\r\n").version.content == ONE


def test_saving_the_same_text_adds_no_version_but_writes_the_files(save: Save, paths: Paths) -> None:
    save(ONE)
    paths.folder.config.write_text("Host *\n    ProxyCommand evil\n")

    again = save(ONE)

    assert again.version.number == 1
    assert "evil" not in paths.folder.config.read_text()


def test_two_people_do_not_overwrite_each_other(save: Save, paths: Paths) -> None:
    save(ONE, expected=0)

    with pytest.raises(Outdated) as refusal:
        save(TWO, expected=0)

    assert refusal.value.latest is not None
    assert refusal.value.latest.number == 1
    assert servers(paths) == {"web-1"}


def test_a_refused_save_changes_nothing(save: Save, paths: Paths) -> None:
    save(ONE)

    with pytest.raises(SshConfigError) as refusal:
        save(TWO + "    LocalCommand id\n")

    assert [each.line for each in refusal.value.refusals] == [6]
    db.session.rollback()
    assert [version.number for version in versions.history(9)] == [1]
    assert servers(paths) == {"web-1"}


@pytest.mark.parametrize("text", ["-----BEGIN RSA PRIVATE KEY-----", "# -----BEGIN OPENSSH PRIVATE KEY-----"])
def test_a_private_key_is_refused_even_in_a_comment(save: Save, text: str) -> None:
    with pytest.raises(SshConfigError) as refusal:
        save(f"{ONE}{text}\n# b3BlbnNzaC1rZXktdjEAAAAA\n")

    (only,) = refusal.value.refusals
    assert (only.line, only.text) == (4, "(not shown)")
    assert "Keys" in only.reason


@pytest.mark.parametrize("content", ["Host a\x00b\n", "Host \ud800\n", "# \x00\n"])
def test_text_that_cannot_be_stored_is_refused(save: Save, content: str) -> None:
    with pytest.raises(SshConfigError):
        save(content)


def test_a_config_toml_that_does_not_parse_is_unchanged(save: Save, paths: Paths) -> None:
    paths.vuls_config.write_text("[servers.a\n")

    with pytest.raises(ConfigTomlError, match="line 1"):
        save(ONE)

    assert paths.vuls_config.read_text() == "[servers.a\n"
    assert not paths.folder.config.exists()


def test_if_one_file_cannot_be_written_neither_is(save: Save, paths: Paths, tmp_path: Path) -> None:
    save(ONE)
    before = paths.folder.config.read_text()
    (tmp_path / "file").write_text("")
    elsewhere = replace(paths, vuls_config=tmp_path / "file" / "config.toml")

    with pytest.raises((NotWritten, ConfigTomlError)):
        versions.save(TWO, elsewhere, expected=None, now=NOW, saved_by=None, trigger=Trigger.PERSON)
    db.session.rollback()

    assert paths.folder.config.read_text() == before
    assert [version.number for version in versions.history(9)] == [1]


def test_a_folder_that_cannot_be_written_is_an_error_and_saves_nothing(
    paths: Paths, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)

    with pytest.raises(NotWritten, match="No space left on device"):
        save(ONE)
    db.session.rollback()

    assert versions.latest() is None
    assert list(paths.folder.path.glob(".*")) == []


def test_a_crash_before_the_commit_is_detected(save: Save, paths: Paths) -> None:
    version = save(ONE).version
    versions.save(TWO, paths, expected=None, now=NOW, saved_by=None, trigger=Trigger.PERSON)
    db.session.rollback()

    noticed = versions.file_differs(version, paths)
    save(ONE)

    assert noticed
    assert not versions.file_differs(version, paths)


def test_the_hosts_of_a_key_are_known_even_after_it_is_deleted(save: Save, paths: Paths) -> None:
    key = keys.generate(paths.folder, "scanner")
    save(TWO + "    IdentityFile scanner\n")

    using = versions.hosts_using_key("scanner")
    keys.delete(paths.folder, key)

    assert using == ["web-2"]
    assert versions.hosts_using_key("scanner") == ["web-2"]
    assert [each.line for each in versions.check(TWO + "    IdentityFile scanner\n", paths.folder)] == [6]


def test_connections_are_shared_only_if_configured(save: Save, paths: Paths) -> None:
    save(ONE)
    shared = paths.folder.config.read_text()
    versions.save(
        ONE,
        replace(paths, share_connections=False),
        expected=None,
        now=NOW,
        saved_by=None,
        trigger=Trigger.PERSON,
    )

    assert "ControlMaster auto" in shared
    assert "ControlMaster auto" not in paths.folder.config.read_text()


def test_a_save_updates_the_hosts(save: Save) -> None:
    first = save(TWO)
    follow(first)
    second = save(ONE)
    follow(second)

    done = sync_requests.latest()
    assert done is not None
    assert done.outcome is not None
    assert (done.version_number, done.outcome["retired"], done.outcome["unchanged"]) == (
        2,
        ["web-2"],
        ["web-1"],
    )
    assert db.session.scalars(select(Host.name).where(Host.retired_at.is_(None))).all() == ["web-1"]


def test_a_sync_is_done_once_however_often_it_is_sent(save: Save) -> None:
    saved = save(ONE)
    follow(saved)
    finished = db.session.get_one(HostSync, saved.sync.id).finished_at

    follow(saved)

    assert db.session.get_one(HostSync, saved.sync.id).finished_at == finished


def test_a_sync_of_a_broken_file_names_the_line(save: Save, paths: Paths) -> None:
    saved = save(ONE)
    paths.vuls_config.write_text("[servers.a\n")

    follow(saved)

    done = db.session.get_one(HostSync, saved.sync.id)
    assert done.outcome is None
    assert done.error is not None
    assert "line 1" in done.error


def test_a_sync_whose_message_was_lost_is_sent_again_for_a_while(save: Save) -> None:
    sync = save(ONE).sync

    moments = [timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=11)]
    assert [list(sync_requests.unclaimed(NOW + after)) for after in moments] == [[], [sync.id], []]
    assert sync_requests.abandoned(sync, NOW + timedelta(minutes=11))


def test_a_missing_folder_of_config_toml_is_created(save: Save, paths: Paths) -> None:
    assert not paths.folder.path.exists()

    save(ONE)

    assert SshFolder(paths.folder.path).sockets.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("content", "without"),
    [
        ("Host web\n", True),
        ("Host web\n    IdentityFile scanner\n", False),
        ("Host bastion\nHost web\n    ProxyJump bastion\n    IdentityFile scanner\n", True),
        ("Host other\n    IdentityFile scanner\n", False),
    ],
)
def test_a_host_is_without_key_if_none_is_named_for_it_or_its_jump_host(
    save: Save, paths: Paths, make_host: Callable[..., Host], content: str, without: bool
) -> None:
    keys.generate(paths.folder, "scanner")
    save(content)
    ours = {"host": "web", "sshConfigPath": str(paths.folder.config)}

    assert versions.is_without_key(make_host("web", vuls_config=ours)) is without
    assert versions.is_without_key(make_host("mine", vuls_config={"host": "web"})) is False


def test_files_from_another_folder_are_written_again_and_others_are_left_alone(
    save: Save, paths: Paths
) -> None:
    save("Host web\n")
    ours = paths.vuls_config.read_text()
    theirs = ours.replace(str(paths.folder.config), "/elsewhere/config")
    edited = ours.replace('port = "22"', 'port = "2222"')
    by_hand = '[servers.mine]\nhost = "mine"\nsshConfigPath = "/home/me/.ssh/config"\n'

    found = []
    for text in (ours, theirs, edited, by_hand):
        paths.vuls_config.write_text(text)
        found.append((versions.rewrite_if_moved(paths), paths.vuls_config.read_text()))

    assert found == [(False, ours), (True, ours), (False, edited), (False, by_hand)]
