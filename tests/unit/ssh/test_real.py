"""The real ssh on real servers, with generated configuration, keys and known hosts."""

import getpass
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from flask import Flask

from tests.conftest import NOW
from tests.support.needs import tool
from tests.support.sshd import Server, hanging, jump_host, sshd
from tests.support.waiting import patience
from vulsweb.extensions import db
from vulsweb.models import Trigger, User
from vulsweb.ssh import keys, known_hosts, versions
from vulsweb.ssh.versions import Paths

ALL = f"Host *\n    IdentityFile scanner\n    ConnectTimeout {round(patience(10))}\n"


@dataclass
class Network:
    """Servers of every kind, and a configuration saved for them."""

    paths: Paths
    servers: dict[str, Server]
    admin: User

    def ssh(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        words = ("ssh", "-F", str(self.paths.folder.config), *words)
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
        )

    def accept(self, *names: str) -> None:
        for name in names:
            server = self.servers[name]
            offer = known_hosts.offer_pasted(
                server.address, server.port, server.host_key, now=NOW, requested_by=self.admin
            )
            known_hosts.accept(offer, self.paths.folder, changed_too=True, now=NOW, accepted_by=self.admin)
        db.session.commit()


@pytest.fixture
def network(app: Flask, admin: User, tmp_path: Path) -> Iterator[Network]:
    # Connections are not shared, so that each command shows whether ssh can connect.
    paths = replace(versions.paths_from(app.config), share_connections=False)
    key = keys.generate(paths.folder, "scanner").line
    with ExitStack() as running:
        start = running.enter_context
        servers = {
            "direct": start(sshd(tmp_path / "direct", "127.0.0.11", authorized=[key])),
            "jump": start(jump_host(tmp_path / "jump", "127.0.0.12", authorized=[key])),
            "behind": start(sshd(tmp_path / "behind", "127.0.0.13", authorized=[key])),
            "refusing": start(sshd(tmp_path / "refusing", "127.0.0.14")),
            "hanging": start(hanging(tmp_path / "hanging", "127.0.0.15", authorized=[key])),
        }
        settings = {name: server.settings(name) for name, server in servers.items()}
        settings["behind"] += "    ProxyJump jump\n"
        content = "".join(settings.values()) + ALL
        versions.save(content, paths, expected=0, now=NOW, saved_by=admin, trigger=Trigger.PERSON)
        db.session.commit()
        yield Network(paths, servers, admin)


def test_a_host_is_reached_after_its_key_is_accepted(network: Network) -> None:
    before = network.ssh("direct", "id", "-un")
    network.accept("direct")
    after = network.ssh("direct", "id", "-un")

    assert "Host key verification failed" in before.stderr
    assert after.stdout.strip() == getpass.getuser()


def test_a_host_behind_a_jump_host_is_reached_through_it_and_both_are_checked(network: Network) -> None:
    network.accept("behind")
    before = network.ssh("behind", "true")
    network.accept("jump")
    after = network.ssh("behind", "echo", "through")

    assert "Host key verification failed" in before.stderr
    assert after.stdout == "through\n"
    assert "Accepted publickey" in network.servers["jump"].log


def test_a_user_of_a_domain_reaches_the_server_through_vuls(network: Network, tmp_path: Path) -> None:
    network.accept("direct")
    version = versions.latest()
    assert version is not None
    content = version.content.replace(f"User {getpass.getuser()}\n", "User EXAMPLE\\new\n")
    versions.save(content, network.paths, expected=1, now=NOW, saved_by=None, trigger=Trigger.PERSON)
    words = [str(tool("vuls")), "configtest", f"-config={network.paths.vuls_config}", f"-log-dir={tmp_path}"]

    subprocess.run([*words, "direct"], capture_output=True, timeout=patience(120), cwd=tmp_path, check=False)

    # sshd writes two for each.
    assert "Invalid user EXAMPLE\\\\new from" in network.servers["direct"].log


def test_the_own_user_at_a_jump_host_is_the_one_of_the_host_behind(network: Network) -> None:
    network.accept("behind", "jump")
    version = versions.latest()
    assert version is not None
    content = version.content.replace("ProxyJump jump", "ProxyCommand exec ssh -qW %h:%p %r@jump # own user")
    content = content.replace(f"User {getpass.getuser()}\n", "User other\n", 2)  # direct and jump
    versions.save(content, network.paths, expected=1, now=NOW, saved_by=None, trigger=Trigger.PERSON)

    assert network.ssh("behind", "echo", "through").stdout == "through\n"
    assert f"Accepted publickey for {getpass.getuser()}" in network.servers["jump"].log


def test_ssh_never_asks_for_a_password(network: Network) -> None:
    network.accept("refusing")

    assert "Permission denied (publickey)" in network.ssh("refusing", "true").stderr


def test_a_host_with_a_changed_key_is_not_used_until_it_is_accepted(network: Network) -> None:
    network.accept("direct")
    network.servers["direct"].change_host_key()

    changed = network.ssh("direct", "true")
    network.accept("direct")

    assert changed.returncode == 255
    assert "verification failed" in changed.stderr
    assert network.ssh("direct", "true").returncode == 0


def test_a_host_that_hangs_does_not_delay_others(network: Network) -> None:
    network.accept("direct", "hanging")

    with pytest.raises(subprocess.TimeoutExpired):
        network.ssh("hanging", "true", seconds=3)

    assert network.ssh("direct", "true").returncode == 0


def test_the_commands_of_a_scan_share_one_connection(network: Network) -> None:
    network.accept("direct")
    version = versions.latest()
    assert version is not None
    sharing = replace(network.paths, share_connections=True)
    versions.save(
        version.content, sharing, expected=1, now=NOW, saved_by=network.admin, trigger=Trigger.PERSON
    )
    db.session.commit()

    said = [network.ssh("direct", "echo", str(number)).stdout for number in range(3)]
    network.ssh("-O", "exit", "direct")

    assert said == ["0\n", "1\n", "2\n"]
    assert network.servers["direct"].log.count("Accepted publickey") == 1


def test_vuls_connects_with_the_files_that_a_save_wrote(network: Network, tmp_path: Path) -> None:
    network.accept("direct", "jump", "behind")
    config, log = network.paths.vuls_config, tmp_path / "log"
    words = [str(tool("vuls")), "configtest", f"-config={config}", f"-log-dir={log}", "direct", "behind"]

    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience(120),
        cwd=tmp_path,
        check=False,
    )

    said = done.stdout + done.stderr
    for name in ("direct", "behind"):
        assert f"Detected: {name}: " in said, said
