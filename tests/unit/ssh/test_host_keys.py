"""Host keys, fetched from real servers and read from pasted lines."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sshd import Server, make_key, silent, sshd
from vulsweb.ssh import host_keys
from vulsweb.ssh.host_keys import HostRefused, ScanFailed
from vulsweb.ssh.public_keys import KeyRefused


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with sshd(tmp_path / "sshd") as running:
        yield running


def line_of(path: Path) -> str:
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def test_a_servers_key_is_fetched(server: Server) -> None:
    (key,) = host_keys.scan(server.address, server.port)

    assert f"{key.type} {key.base64}" == server.host_key
    assert key.fingerprint == server.fingerprint


def test_an_absent_server_is_an_error_with_a_sentence() -> None:
    with pytest.raises(ScanFailed, match="No SSH server answered there"):
        host_keys.scan("127.0.0.1", 1)


def test_a_silent_server_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_keys, "CONNECT_SECONDS", 1)

    with silent("127.0.0.12") as port, pytest.raises(ScanFailed, match="No SSH server answered"):
        host_keys.scan("127.0.0.12", port)


def test_a_missing_ssh_keyscan_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(ScanFailed, match="not installed where the worker runs"):
        host_keys.scan("127.0.0.1", 22)


@pytest.mark.parametrize(
    "hostname",
    [
        "",
        "-oProxyCommand=x",
        "a b",
        "a;b",
        "a\nb",
        "$(x)",
        "a/b",
        "user@host",
        "*",
        "a,b",
        "ho\x00st",
        "x" * 254,
        "fe80::1%",
        "fe80::1%-x",
        "fe80::1%$(id)",
        "192.0.2.1%eth0",
        "..",
        "a..b",
        "-a.example",
        "\ud800",
    ],
)
def test_a_wrong_host_never_reaches_ssh_keyscan(monkeypatch: pytest.MonkeyPatch, hostname: str) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a program was started"))

    with pytest.raises(HostRefused):
        host_keys.scan(hostname, 22)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_must_be_a_tcp_port(port: int) -> None:
    with pytest.raises(HostRefused, match="65535"):
        host_keys.check_host("host", port)


@pytest.mark.parametrize(
    ("hostname", "port", "place"),
    [("web", 22, "web"), ("web", 2222, "[web]:2222"), ("::1", 22, "::1"), ("2001:db8::1", 22, "2001:db8::1")],
)
def test_a_host_is_named_as_ssh_looks_it_up(hostname: str, port: int, place: str) -> None:
    assert host_keys.known_hosts_name(*host_keys.check_host(hostname.upper(), port)) == place


def test_lines_of_known_hosts_and_pub_files_are_read(tmp_path: Path) -> None:
    one, two = line_of(make_key(tmp_path / "a")), line_of(make_key(tmp_path / "b", "-t", "rsa", "-b", "2048"))
    text = f"# from the console\n\nweb-1,[web-1]:2222 {one}\r\n{two} root@web-1\n{one}\n"

    keys = host_keys.read_lines(text, "web-1", 2222)

    assert [f"{key.type} {key.base64}" for key in keys] == [one, two]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "at least one line"),
        ("# only a remark", "at least one line"),
        ("other {key}", "Line 1: The line names another host than web-1"),
        ("* {key}", "names another host"),
        ("|1|abc=|def= {key}", "hashed"),
        ("@cert-authority web-1 {key}", "Certificate authorities"),
        ("ssh-ed25519", "not a host key"),
        ("ssh-ed25519 AAAA", "incomplete or damaged"),
        ("ssh-rsa {base64}", "incomplete or damaged"),
        ("ssh-dss {base64}", "not accepted"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "Line 1:"),
    ],
)
def test_a_line_without_a_key_of_this_host_is_refused(tmp_path: Path, line: str, expected: str) -> None:
    key = line_of(make_key(tmp_path / "a"))

    with pytest.raises(KeyRefused, match=expected) as refusal:
        host_keys.read_lines(line.format(key=key, base64=key.split()[1]), "web-1", 22)

    assert key.split()[1] not in str(refusal.value)


def test_a_weak_host_key_is_refused(tmp_path: Path) -> None:
    weak = line_of(make_key(tmp_path / "weak", "-t", "rsa", "-b", "1024"))

    with pytest.raises(KeyRefused, match="Line 1: An RSA key has"):
        host_keys.read_lines(weak, "web-1", 22)


@pytest.mark.parametrize("zone", ["eth0", "eth0.1", "3"])
def test_an_address_can_have_a_zone(zone: str) -> None:
    assert host_keys.check_host(f"FE80::1%{zone}", 22) == (f"fe80::1%{zone}", 22)
