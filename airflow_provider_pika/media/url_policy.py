"""Where a video may be fetched from: a URL comes from a server's answer, and is not trusted for that."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit, urlunsplit

from airflow_provider_pika.exceptions import DownloadInterrupted, InvalidInput, UntrustedUrl

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

#: IPv4 as networks without it write it (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
#: IPv6 addresses that lead to one machine of the internet.
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
    """Return whether an address is one machine's on the internet."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not address.is_multicast


def is_metadata(address: Address) -> bool:
    """Return whether an address is a cloud's own inside, also wherever in an IPv6 address the IPv4 one stands."""
    if any(address in network for network in _METADATA):
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return False
    packed = address.packed
    spellings = (packed, packed[:8] + packed[9:])  # RFC 6052 leaves out the ninth byte
    carried = {spelling[at : at + 4] for spelling in spellings for at in range(len(spelling) - 3)}
    carried.update(found.packed for found in address.teredo or ())
    return not carried.isdisjoint(_METADATA_IPV4)


#: Where fal keeps what its models make (fal-protocol.md, 1.1 and 7.2); Google's host is everybody's, but for this path.
FAL_MEDIA = ("fal.media", "*.fal.media", "storage.googleapis.com/falserverless/")

#: The port of each scheme that is fetched from.
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class MediaHost:
    """A host that files may come from.

    :param name: in lower case; ``*.`` in front stands for every host below it.
    :param port: None: the one that the URL's scheme has by itself.
    :param path: what the URL's path begins with.
    """

    name: str
    port: int | None = None
    path: str = "/"

    @classmethod
    def read(cls, text: str) -> MediaHost:
        """Read ``host``, ``*.host``, ``host:port`` or ``host/path/``; an IPv6 address with or without brackets.

        :raises InvalidInput: it is none of them.
        """
        text = text.strip()
        with suppress(ValueError):
            return cls(str(ipaddress.IPv6Address(text)))
        try:
            parts = urlsplit(f"//{text}")
            name, port = parts.hostname or "", parts.port
        except ValueError:
            name, port = "", None
        bare = name.removeprefix("*.")
        is_wild = name != bare
        strange = any(sign in text for sign in ("@", "://", "?", "#")) or "*" in bare
        if not bare or strange or (is_wild and "." not in bare):
            raise InvalidInput(
                f"The media host {text[:300]!r} is not allowed: it takes host, *.host or host:port, without a scheme, "
                "or a network such as 10.20.0.0/16."
            )
        return cls(plain(name), port, parts.path or "/")

    def covers(self, scheme: str, name: str, port: int, path: str) -> bool:
        """Return whether a URL of these parts is at this host."""
        below = self.name.startswith("*.") and name.endswith(self.name[1:])
        if not (below or name == self.name) or port != (self.port or _PORTS[scheme]):
            return False
        return (path or "/").startswith(self.path)


#: ``FAL_MEDIA``, read.
_FAL_MEDIA = tuple(map(MediaHost.read, FAL_MEDIA))


@dataclass(frozen=True)
class Trust:
    """The hosts that a connection allows, and which of their addresses.

    :param hosts: the media hosts that the connection names, besides fal's.
    :param own: the host of the connection itself, if it is not fal's: whatever address it has is its own affair.
    :param networks: the private addresses that ``hosts`` may have.
    """

    hosts: tuple[MediaHost, ...]
    own: MediaHost | None = None
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, queue_url: str | None, more: Iterable[str] = ()) -> Trust:
        """Return what a connection allows.

        :param queue_url: its own queue, a gateway or the emulator; None: fal's.
        :param more: the entries of ``media_hosts``: a host, as :meth:`MediaHost.read` takes it, or a network
            (``10.20.0.0/16``), which says which private addresses the hosts may have. An address is both.
        :raises InvalidInput: one of them is none.
        """
        parts = urlsplit(queue_url or "")
        own = MediaHost(plain(parts.hostname), parts.port or _PORTS[parts.scheme]) if parts.hostname else None
        hosts: list[MediaHost] = []
        networks: list[Network] = []
        for entry in more:
            if network := _network(entry):
                networks.append(network)
            else:
                hosts.append(MediaHost.read(entry))
        addresses = [found for host in hosts if (found := literal(host.name))]
        return cls(tuple(hosts), own, (*networks, *map(ipaddress.ip_network, addresses)))

    def check(self, url: str) -> None:
        """Let a URL pass that leads to an allowed host.

        :param url: as the HTTP client sends it, so without ``..`` in its path.
        :raises UntrustedUrl: it does not.
        :raises DownloadInterrupted: as :meth:`check_address`, where its host is an address.
        """
        try:
            parts = urlsplit(url)
            name, port = plain(parts.hostname or ""), parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            raise UntrustedUrl(f"{shown(url)} is no URL.") from None
        if parts.scheme not in _PORTS or not name or "@" in parts.netloc or "\\" in url:
            raise UntrustedUrl(f"{shown(url)} is no http(s) URL of a host.")
        if not any(host.covers(parts.scheme, name, port, parts.path) for host in self._all()):
            allowed = ", ".join(sorted({host.name for host in self._all()}))
            where = f"{parts.scheme}://{parts.netloc}"[:300]
            raise UntrustedUrl(f"{where} is no media host of this connection ({allowed}).")
        if literal(name):
            self.check_address(url, name)  # a proxy, which connects in our place, has no such check

    def check_address(self, url: str, address: str) -> None:
        """Let an address pass that a URL's host may have.

        Names are not enough: a name of an allowed host may be made to lead to a machine inside. So an address is
        public, or one of the connection's own host, or in a network that the connection names for its media hosts.

        :param url: one that :meth:`check` let pass.
        :param address: what the socket is connected to.
        :raises UntrustedUrl: it may not have it.
        :raises DownloadInterrupted: whether it may is not known, since the own host cannot be looked up just now.
        """
        parts = urlsplit(url)
        if self._is_own(parts):
            return
        found = address_of(address)
        is_own_literal = self.own is not None and literal(self.own.name) == found
        if is_metadata(found) and not is_own_literal:
            raise UntrustedUrl(
                f"{parts.hostname} has the address {found}, which is not public: clouds keep secrets there."
            )
        if not (is_public(found) or self._is_named(parts, found) or found in self._own_addresses()):
            raise UntrustedUrl(
                f"{parts.hostname} has the address {found}, which is not public. If it is a store of yours, add its "
                "network to media_hosts (10.20.0.0/16, say)."
            )

    def _all(self) -> tuple[MediaHost, ...]:
        return (*_FAL_MEDIA, *self.hosts, *((self.own,) if self.own else ()))

    def _is_own(self, parts: SplitResult) -> bool:
        name, port = plain(parts.hostname or ""), parts.port or _PORTS[parts.scheme]
        return self.own is not None and (name, port) == (self.own.name, self.own.port)

    def _is_named(self, parts: SplitResult, found: Address) -> bool:
        name, port = plain(parts.hostname or ""), parts.port or _PORTS[parts.scheme]
        is_named_host = any(host.covers(parts.scheme, name, port, parts.path) for host in self.hosts)
        return is_named_host and any(found in network for network in self.networks)

    def _own_addresses(self) -> frozenset[Address]:
        if self.own is None:
            return frozenset()
        address = literal(self.own.name)
        return frozenset((address,)) if address else self._looked_up

    @cached_property
    def _looked_up(self) -> frozenset[Address]:
        """Look up the own host, only when a private address is met, and once: a later answer widens nothing.

        A failure is not kept, and is not final: the address may be good.
        """
        name = self.own.name if self.own else ""
        try:
            entries = socket.getaddrinfo(name, None)
        except (OSError, ValueError):
            raise DownloadInterrupted(
                f"The connection's own host {name} cannot be looked up, so whether a private address is its own is not "
                "known."
            ) from None
        return frozenset(address_of(str(entry[4][0])) for entry in entries)


def public_url(url: str) -> str:
    """Return a URL for people to keep: of fal's media hosts without its query.

    fal's URLs are public, and work without one; what a signed one has there is a token (fal-protocol.md, 7.2). Another
    host's URL may lead nowhere without its query, so it stays.
    """
    parts = urlsplit(url)
    at_fal = any(
        host.covers(parts.scheme, plain(parts.hostname or ""), _PORTS.get(parts.scheme, 0), parts.path)
        for host in map(MediaHost.read, FAL_MEDIA)
    )
    return urlunsplit(parts._replace(query="", fragment="")) if at_fal else url


def shown(url: str) -> str:
    """Return a URL for a message: quoted, bounded, and without what may be a secret (a user, a query)."""
    scheme, slashes, rest = url.partition("?")[0].rpartition("://")
    host, slash, path = rest.partition("/")
    return repr(f"{scheme[:20]}{slashes}{host.rpartition('@')[2]}{slash}{path}"[:300])


def _network(text: str) -> Network | None:
    """Read a network in CIDR form; None: it is none.

    :raises InvalidInput: it has an address of a machine where the network's is to be.
    """
    text = text.strip()
    if "/" not in text:
        return None
    try:
        found = ipaddress.ip_interface(text)
    except ValueError:
        return None
    if found.ip != found.network.network_address:
        raise InvalidInput(
            f"The media host {text!r} is not allowed: its network is {found.network}. Name that, or the address."
        )
    return found.network
