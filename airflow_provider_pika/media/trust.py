"""Where a video may be fetched from: a URL comes from a server's answer, and is not trusted for that."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

from airflow_provider_pika.exceptions import InvalidInput, UntrustedUrl

#: Where fal keeps what its models make (fal-protocol.md, 1.1 and 7.2); Google's host is everybody's, but for this path.
FAL_MEDIA = ("fal.media", "*.fal.media", "storage.googleapis.com/falserverless/")

_PORTS = {"http": 80, "https": 443}

#: IPv4 as networks without it write it (RFC 6052), and the IPv6 addresses that lead to one machine of the internet.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST = ipaddress.IPv6Network("2000::/3")

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


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
        """Read ``host``, ``*.host``, ``host:port`` or ``host/path/``.

        :raises InvalidInput: it is none of them.
        """
        try:
            parts = urlsplit(f"//{text.strip()}")
            name, port = parts.hostname or "", parts.port
        except ValueError:
            name, port = "", None
        bare = name.removeprefix("*.")
        is_wild = name != bare
        strange = any(sign in text for sign in ("@", "://", "?", "#")) or "*" in bare
        if not bare or strange or (is_wild and "." not in bare):
            raise InvalidInput(
                f"The media host {text!r} is not allowed: it takes host, *.host or host:port, without a scheme."
            )
        return cls(_plain(name), port, parts.path or "/")

    def covers(self, scheme: str, name: str, port: int, path: str) -> bool:
        """Tell whether a URL of these parts is at this host."""
        below = self.name.startswith("*.") and name.endswith(self.name[1:])
        if not (below or name == self.name) or port != (self.port or _PORTS[scheme]):
            return False
        return (path or "/").startswith(self.path)


@dataclass(frozen=True)
class Trust:
    """The hosts that a connection allows, and which of their addresses.

    :param hosts: the media hosts, fal's and the connection's.
    :param own: the host of the connection itself, if it is not fal's: whatever address it has is its own affair.
    """

    hosts: tuple[MediaHost, ...]
    own: MediaHost | None = None

    @classmethod
    def of(cls, queue_url: str | None, more: Iterable[str] = ()) -> Trust:
        """Give what a connection allows.

        :param queue_url: its own queue, a gateway or the emulator; None: fal's.
        :param more: further hosts, as :meth:`MediaHost.read` takes them.
        :raises InvalidInput: one of them is none.
        """
        parts = urlsplit(queue_url or "")
        own = MediaHost(_plain(parts.hostname), parts.port or _PORTS[parts.scheme]) if parts.hostname else None
        return cls(tuple(map(MediaHost.read, (*FAL_MEDIA, *more))), own)

    def check(self, url: str) -> None:
        """Let a URL pass that leads to an allowed host.

        :param url: as the HTTP client sends it, so without ``..`` in its path.
        :raises UntrustedUrl: it does not.
        """
        try:
            parts = urlsplit(url)
            name, port = _plain(parts.hostname or ""), parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            raise UntrustedUrl(f"{url[:500]!r} is no URL.") from None
        if parts.scheme not in _PORTS or not name or "@" in parts.netloc or "\\" in url:
            raise UntrustedUrl(f"{url[:500]!r} is no http(s) URL of a host.")
        if not any(host.covers(parts.scheme, name, port, parts.path) for host in self._all()):
            allowed = ", ".join(sorted({host.name for host in self._all()}))
            raise UntrustedUrl(f"{parts.scheme}://{parts.netloc} is no media host of this connection ({allowed}).")

    def check_address(self, url: str, address: str) -> None:
        """Let an address pass that a URL's host may have: a public one, or one like the connection's own host.

        Names are not enough: a name of an allowed host may be made to lead to a machine inside.

        :raises UntrustedUrl: it may not.
        """
        parts = urlsplit(url)
        at_own = self.own is not None and (_plain(parts.hostname or ""), parts.port or _PORTS[parts.scheme]) == (
            self.own.name,
            self.own.port,
        )
        found = _address(address)
        if not at_own and not _is_public(found) and not self._is_inside_as_the_connection_is(found):
            raise UntrustedUrl(f"{parts.hostname} has the address {found}, which is not public.")

    def _all(self) -> tuple[MediaHost, ...]:
        return (*self.hosts, self.own) if self.own else self.hosts

    def _is_inside_as_the_connection_is(self, found: _Address) -> bool:
        """Tell whether the connection's own host is of the same kind: private, or even link-local."""
        if self.own is None:
            return False
        try:
            own = {_address(str(entry[4][0])) for entry in socket.getaddrinfo(self.own.name, None)}
        except OSError:
            return False
        return any(not _is_public(other) and other.is_link_local == found.is_link_local for other in own)


def _plain(name: str) -> str:
    """Give a host's name as it is looked up: in ASCII, without a dot at its end; an address in its short form."""
    with suppress(ValueError):
        return str(ipaddress.ip_address(name))
    with suppress(UnicodeError):
        name = name.encode("idna").decode() if not name.isascii() else name
    return name.rstrip(".").lower()


def _address(text: str) -> _Address:
    """Read an address, and see through those of IPv6 that only lead to one of IPv4."""
    found = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(found, ipaddress.IPv4Address):
        return found
    translated = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF) if found in _NAT64 else None
    return found.ipv4_mapped or found.sixtofour or translated or found


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not address.is_multicast
