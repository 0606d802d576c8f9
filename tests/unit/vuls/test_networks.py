"""Networks in config.toml have the addresses that Vuls scans."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.needs import tool
from vulsweb.vuls import servers
from vulsweb.vuls.networks import NetworkError, addresses, is_network

# On loopback, at a port where nobody listens: Vuls names each address and is refused at once.
CONFIG = """
[default]
port = "1"
[servers.a]
host = "127.0.0.0/29"
ignoreIPAddresses = ["127.0.0.2", "127.0.0.4/31"]
[servers.b]
host = "127.0.0.8/31"
[servers.c]
host = "::1/126"
ignoreIPAddresses = ["::2", "0::3"]
[servers.d]
host = "127.0.0.9/32"
[servers.e]
host = "127.0.0.16/28"
ignoreIPAddresses = ["127.0.0.20/30"]
[servers.f]
host = "::ffff:127.0.0.32/30"
"""


def test_addresses_are_those_of_the_real_vuls(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    command = [str(tool("vuls")), "configtest", f"-config={tmp_path}/config.toml", f"-log-dir={tmp_path}"]

    done = subprocess.run(command, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True)

    output = done.stdout.decode() + done.stderr.decode()
    assert set(re.findall(r"\b[a-f]\([0-9a-f:.]+\)", output)) == {
        server.name for server in servers.read(CONFIG).servers
    }


@pytest.mark.parametrize(
    ("host", "ignored", "expected"),
    [
        ("192.0.2.0/30", [], ["192.0.2.1", "192.0.2.2"]),
        ("192.0.2.7/30", [], ["192.0.2.5", "192.0.2.6"]),
        ("192.0.2.0/31", [], ["192.0.2.0", "192.0.2.1"]),
        ("192.0.2.1/32", [], ["192.0.2.1"]),
        ("2001:db8::/127", [], ["2001:db8::", "2001:db8::1"]),
        # The first and the last of an ignored network are not enumerated, so they stay.
        ("192.0.2.0/29", ["192.0.2.0/30"], ["192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"]),
        # Vuls compares text.
        ("2001:db8::/127", ["2001:db8:0::1"], ["2001:db8::", "2001:db8::1"]),
    ],
)
def test_a_network_has_its_addresses_except_the_ignored_ones(
    host: str, ignored: list[str], expected: list[str]
) -> None:
    assert addresses(host, ignored) == expected


@pytest.mark.parametrize(
    ("host", "ignored", "expected"),
    [
        ("192.0.2.0/33", [], "is not a network"),
        ("192.0.2.0/255.255.255.0", [], "is not a network"),
        ("192.0.2.0/", [], "is not a network"),
        ("192.0.2.0/-1", [], "is not a network"),
        ("10.0.0.0/8", [], "16,777,216 addresses"),
        ("2001:db8::/64", [], "addresses; the limit is 65,536"),
        ("192.0.2.0/30", ["web-1"], "neither an address nor a network"),
        ("192.0.2.0/30", ["192.0.2.0/99"], "is not a network"),
        ("192.0.2.1/32", ["192.0.2.1"], "excludes every address"),
    ],
)
def test_networks_that_vuls_rejects_are_errors_with_the_reason(
    host: str, ignored: list[str], expected: str
) -> None:
    with pytest.raises(NetworkError, match=re.escape(expected)):
        addresses(host, ignored)


@pytest.mark.parametrize("host", ["web-1", "192.0.2.1", "web/24", "fe80::1%eth0/64", "", "1.2.3/8"])
def test_other_hosts_are_not_networks(host: str) -> None:
    assert not is_network(host)
