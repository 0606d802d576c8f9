"""Networks in config.toml: the addresses that Vuls makes of `host = "192.0.2.0/30"`.

As Vuls v0.26.0 does it (config/tomlloader.go and iplib): of an IPv4 network of more than two addresses the
first and the last are left out, of an IPv6 network none.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# Vuls itself has no limit; a mistyped mask must not fill the table of hosts.
LARGEST = 65_536

Network = IPv4Network | IPv6Network


class NetworkError(ValueError):
    """An address or network cannot be used; the message says why."""


def is_network(host: str) -> bool:
    """Say whether Vuls takes `host` for a network: an address, a slash and whatever follows."""
    address, slash, _ = host.partition("/")
    return bool(slash) and _is_address(address)


def addresses(host: str, ignored: Sequence[str]) -> list[str]:
    """Return the addresses of the network `host` without those that are `ignored`, in order."""
    network = _network(host)
    if network.num_addresses > LARGEST:
        raise NetworkError(f"{host} has {network.num_addresses:,} addresses; an entry may have {LARGEST:,}.")
    for each in ignored:
        if not is_network(each) and not _is_address(each):
            raise NetworkError(f"ignoreIPAddresses holds {each!r}: neither an address nor a network.")
    networks = [_network(each) for each in ignored if is_network(each)]
    # Vuls compares what is written: 2001:db8:0::1 does not ignore 2001:db8::1.
    single = set(ignored)
    # Not hosts() for IPv6: of those networks it leaves out an address that Vuls keeps.
    every = network.hosts() if isinstance(network, IPv4Network) else network
    found = [
        str(each)
        for each in every
        if str(each) not in single and not any(_names(skip, each) for skip in networks)
    ]
    if not found:
        raise NetworkError(f"ignoreIPAddresses leaves nothing of {host}.")
    return found


def _network(text: str) -> Network:
    address, _, mask = text.partition("/")
    if not (mask.isascii() and mask.isdecimal() and len(mask) < 4):
        raise NetworkError(f"{text!r} is not a network; write one like 192.0.2.0/28.")
    base, length = ip_address(address), int(mask)
    mapped = base.ipv4_mapped if isinstance(base, IPv6Address) else None
    try:
        if isinstance(base, IPv6Address) and mapped is None:
            return IPv6Network((base, length), strict=False)
        # Vuls reads the mask of ::ffff:192.0.2.0/28 as that of an IPv4 network.
        return IPv4Network((mapped or base, length), strict=False)
    except ValueError as error:
        raise NetworkError(f"{text!r} is not a network: {error}.") from error


def _names(skip: Network, address: IPv4Address | IPv6Address) -> bool:
    """Say whether Vuls would enumerate `address` for the ignored network."""
    if not isinstance(skip, IPv4Network) or skip.num_addresses <= 2:
        return address in skip
    return address in skip and address not in (skip.network_address, skip.broadcast_address)


def _is_address(text: str) -> bool:
    try:
        # Go knows no zones such as fe80::1%eth0.
        return "%" not in text and bool(ip_address(text))
    except ValueError:
        return False
