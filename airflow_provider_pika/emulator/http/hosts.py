"""The host names that the emulator answers to.

A web page can have its own name resolve to 127.0.0.1 (DNS rebinding), and would read every answer: to the browser they
come from the page's own server. It cannot change the name in ``Host``, nor the ``Origin`` of what it sends to others.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

#: fal's own hosts (fal-protocol.md 1.1), the backup ones among them: a client with its hosts built in uses these.
QUEUE_HOSTS = ("queue.fal.run", "queue.falrun.com")
RUN_HOSTS = ("fal.run", "falrun.com")
PLATFORM_HOST = "api.fal.ai"
REST_HOST = "rest.fal.ai"
#: The first is where the results of today are, the others are older.
MEDIA_HOSTS = ("v3b.fal.media", "v3.fal.media", "fal.media")

SERVED_OF_FAL = "queue.fal.run, fal.run, api.fal.ai, rest.fal.ai and v3b.fal.media"

#: Nobody but fal can have these resolve to anything, and a client may be made to take the emulator for them.
OF_FAL = ("fal.run", "falrun.com", "fal.ai", "fal.media")

#: What a certificate covers, so that a host which is not served can say so.
CERTIFIED_OF_FAL = (*(name for domain in OF_FAL for name in (domain, f"*.{domain}")), "*.alpha.fal.ai")

_NAME = re.compile(r"[a-z0-9._-]+", re.IGNORECASE)

#: The port is not looked at: a container's may be published as another.
_AUTHORITY = re.compile(r"(\[[^]]*\]|[^:]*)(:[0-9]*)?")

_SHOWN = 100
"""Characters of a wrong name that are told."""


class ServedHosts:
    """Lets those requests through that were sent to a name or address of the emulator's.

    :param names: those it has besides the loopback ones, fal's, and the address that a connection came in on.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(map(normal, names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: 421 for the wrong ``Host``, or none, and 403 for a request from a page of another host."""
        refused = self._refuse(scope) if scope["type"] == "http" else None
        await (refused or self._app)(scope, receive, send)

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        headers, here = Headers(scope=scope), str(scope["server"][0])
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._serves(host_of(hosts[0]), here):
            told = ", ".join(hosts)[:_SHOWN]
            return refusal(421, f"This emulator does not answer to Host {told!r}: start it with --allow-host NAME.")
        # Without a check of Origin, any page could POST a fault to /_emulator: a browser asks nobody before it does.
        origin = headers.get("origin")
        if origin is not None and not self._serves(host_of(origin.partition("://")[2]), here):
            return refusal(403, f"A page of {origin[:_SHOWN]!r} may not call this emulator.")
        return None

    def _serves(self, host: str | None, here: str) -> bool:
        return host is not None and (host in self._names or host == normal(here) or is_always_served(host))


@lru_cache(maxsize=256)
def host_of(authority: str) -> str | None:
    """Return the name or the address of ``name:port``; None if it is no such thing."""
    match = _AUTHORITY.fullmatch(authority)
    return normal(match[1]) if match and is_host(match[1]) else None


def is_host(text: str) -> bool:
    """Tell whether this is a name or an address, in brackets or not, and nothing besides."""
    return address_of(text) is not None or _NAME.fullmatch(text) is not None


@lru_cache(maxsize=256)
def is_always_served(host: str) -> bool:
    """Tell whether a normal name is a loopback one or fal's."""
    address = address_of(host)
    if address is not None:
        return address.is_loopback
    return host == "localhost" or host.endswith(".localhost") or is_of_fal(host)


@lru_cache(maxsize=256)
def is_of_fal(host: str) -> bool:
    """Tell whether a normal name is fal's."""
    return any(host == name or host.endswith(f".{name}") for name in OF_FAL)


def media_origin(origin: str) -> str:
    """Return where the files of a request are that came to this origin: there too, or on fal's host for them."""
    scheme, _, authority = origin.partition("://")
    host = host_of(authority)
    if host is None or not is_of_fal(host):
        return origin
    port = authority.rpartition(":")[2] if ":" in authority else ""
    return f"{scheme}://{MEDIA_HOSTS[0]}" + (f":{port}" if port else "")


def normal(host: str) -> str:
    """Return the one way in which a name or an address is compared."""
    return str(address_of(host) or host.lower().rstrip("."))


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that this is, an IPv4 one even if it is written as an IPv6 one; None if it is a name."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def refusal(status: int, detail: str) -> JSONResponse:
    """Return an answer that says why there is no other."""
    return JSONResponse({"detail": detail}, status)
