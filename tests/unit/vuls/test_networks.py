"""Networks in config.toml become the addresses that Vuls makes of them."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.needs import tool
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


def test_they_are_those_of_the_real_vuls(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    command = [str(tool("vuls")), "configtest", f"-config={tmp_path}/config.toml", f"-log-dir={tmp_path}"]

    said = subprocess.run(command, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True)

    told = said.stdout.decode() + said.stderr.decode()
    assert set(re.findall(r"\b[a-f]\([0-9a-f:.]+\)", told)) == {
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
        # Vuls compares what is written.
        ("2001:db8::/127", ["2001:db8:0::1"], ["2001:db8::", "2001:db8::1"]),
    ],
)
def test_a_network_is_its_addresses_without_those_ignored(
    host: str, ignored: list[str], expected: list[str]
) -> None:
    assert addresses(host, ignored) == expected


@pytest.mark.parametrize(
    ("host", "ignored", "said"),
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
def test_what_vuls_would_refuse_is_refused_with_the_reason(host: str, ignored: list[str], said: str) -> None:
    with pytest.raises(NetworkError, match=re.escape(said)):
        addresses(host, ignored)


@pytest.mark.parametrize("host", ["web-1", "192.0.2.1", "web/24", "fe80::1%eth0/64", "", "1.2.3/8"])
def test_other_hosts_are_no_networks(host: str) -> None:
    assert not is_network(host)
