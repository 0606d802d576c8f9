"""Networks in config.toml: the addresses that Vuls scans for `host = "192.0.2.0/30"`.

These are the rules of Vuls v0.26.0 (config/tomlloader.go and iplib). In an IPv4 network of more than two
addresses, the first and the last are skipped. An IPv6 network is scanned whole.
"""

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# Vuls has no limit, but a mistyped mask must not fill the hosts table.
LARGEST = 65_536
# Vuls counts the addresses of a network in 63 bits.
MOST_IGNORED = 2**63

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class NetworkError(ValueError):
    """An address or network that cannot be used; the message says why."""


def is_network(host: str) -> bool:
    """Return whether Vuls reads `host` as a network."""
    # An address, a slash and anything; `addresses` rejects what is not a mask.
    address, slash, _ = host.partition("/")
    return bool(slash) and _is_address(address)


def addresses(host: str, ignored: Sequence[str]) -> list[str]:
    """Return the addresses of the network `host`, except the `ignored` ones."""
    network = _network(host)
    if network.num_addresses > LARGEST:
        raise NetworkError(f"{host} has {network.num_addresses:,} addresses; the limit is {LARGEST:,}.")
    excludes = _excludes(ignored)
    # Not hosts() for IPv6: it skips an address that Vuls scans.
    every = network.hosts() if isinstance(network, IPv4Network) else network
    found = [str(address) for address in every if not excludes(str(address), address)]
    if not found:
        raise NetworkError(f"ignoreIPAddresses excludes every address of {host}.")
    return found


def check_ignored(host: str, ignored: Sequence[str]) -> None:
    """Raise NetworkError if Vuls rejects what a single `host` ignores."""
    # Vuls compares text, and writes addresses in one way only.
    address = ip_address(host) if _is_address(host) else None
    if _excludes(ignored)(host, address if str(address) == host else None):
        raise NetworkError(f"ignoreIPAddresses excludes the host itself, {host}; it is for networks.")


def _excludes(ignored: Sequence[str]) -> Callable[[str, Address | None], bool]:
    """Return a function that says whether Vuls ignores an address.

    The address is given as text and, if it is one in the usual form, parsed.
    """
    for each in ignored:
        if not is_network(each) and not _is_address(each):
            raise NetworkError(f"{each!r} in ignoreIPAddresses is neither an address nor a network.")
    networks = [_network(each) for each in ignored if is_network(each)]
    if any(each.num_addresses >= MOST_IGNORED for each in networks):
        raise NetworkError("a network in ignoreIPAddresses is too large for Vuls.")
    # The ends of an IPv4 network are not part of it, even when it is ignored.
    ends = [
        (each[0], each[-1]) if isinstance(each, IPv4Network) and each.num_addresses > 2 else ()
        for each in networks
    ]
    # Vuls compares text: 2001:db8:0::1 does not ignore 2001:db8::1.
    single = set(ignored)

    def excludes(text: str, address: Address | None) -> bool:
        return text in single or (
            address is not None
            and any(
                address in each and address not in skip for each, skip in zip(networks, ends, strict=True)
            )
        )

    return excludes


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


def _is_address(text: str) -> bool:
    try:
        # Go does not accept zones such as fe80::1%eth0.
        return "%" not in text and bool(ip_address(text))
    except ValueError:
        return False
