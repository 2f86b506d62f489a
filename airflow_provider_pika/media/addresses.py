"""A host's name and its address: what they are the same as, and whether an address is public, or a cloud's inside."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

#: IPv4 as networks without it write it (RFC 6052), and the IPv6 addresses that lead to one machine of the internet.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST = ipaddress.IPv6Network("2000::/3")

#: Where clouds keep what a machine may know and do. Most are link-local, where they add to them; some are no private
#: address at all (168.63.129.16 is Azure's). No store is there, so no entry of ``media_hosts`` lets them in.
_METADATA = tuple(
    map(
        ipaddress.ip_network,
        (
            "169.254.0.0/16",
            "fe80::/10",
            "168.63.129.16",  # Azure
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
            "fd00:ec2::/32",  # AWS
            "fd20:ce::254",  # Google
            "fd00:42::42",  # Scaleway
        ),
    )
)

#: Those of them that an IPv6 address may carry inside; the rest of the link-local ones only where it is seen through.
_METADATA_IPV4 = frozenset(
    ipaddress.IPv4Address(text).packed
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.0.23",
        "169.254.42.42",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
    )
)


def plain(name: str) -> str:
    """Return a host's name as it is looked up: in ASCII, without a dot at its end; an address in its short form."""
    with suppress(ValueError):
        return str(ipaddress.ip_address(name))
    with suppress(UnicodeError):
        name = name.encode("idna").decode() if not name.isascii() else name
    return name.rstrip(".").lower()


def address_of(text: str) -> Address:
    """Read an address, and see through those of IPv6 that only lead to one of IPv4."""
    found = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(found, ipaddress.IPv4Address):
        return found
    translated = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF) if found in _NAT64 else None
    return found.ipv4_mapped or found.sixtofour or translated or found


def literal(name: str) -> Address | None:
    """Return the address that a host's name is; None: it is a name."""
    try:
        return address_of(name)
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Tell whether an address is one machine's on the internet."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not address.is_multicast


def is_metadata(address: Address) -> bool:
    """Tell whether an address is a cloud's own inside, also wherever in an IPv6 address the IPv4 one stands."""
    if any(address in network for network in _METADATA):
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return False
    packed = address.packed
    spellings = (packed, packed[:8] + packed[9:])  # RFC 6052 leaves out the ninth byte
    carried = {spelling[at : at + 4] for spelling in spellings for at in range(len(spelling) - 3)}
    carried.update(found.packed for found in address.teredo or ())
    return not carried.isdisjoint(_METADATA_IPV4)
