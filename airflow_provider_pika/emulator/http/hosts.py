"""The host names that the emulator answers to, and fal's own among them.

A web page can have its own name resolve to 127.0.0.1 (DNS rebinding). To the browser, the emulator's answers then come
from the page's own server. The page cannot change the name in ``Host``, nor the ``Origin`` of what it sends to other
hosts.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

#: fal's queue and its backup (fal-protocol.md 1.1). A client with its hosts built in uses these and those below.
QUEUE_HOSTS = ("queue.fal.run", "queue.falrun.com")
#: fal's hosts for calls without the queue.
RUN_HOSTS = ("fal.run", "falrun.com")
#: fal's Platform API.
PLATFORM_HOST = "api.fal.ai"
#: fal's REST API, which has the keys that sign webhooks.
REST_HOST = "rest.fal.ai"
#: The first has today's results, the others are older.
MEDIA_HOSTS = ("v3b.fal.media", "v3.fal.media", "fal.media")

#: fal's hosts that are served, for the answer to a call of another.
SERVED_OF_FAL = "queue.fal.run, fal.run, api.fal.ai, rest.fal.ai and v3b.fal.media"

#: Only fal and the user's own hosts file decide where these lead, so no web page can misuse them.
OF_FAL = ("fal.run", "falrun.com", "fal.ai", "fal.media")

#: A certificate covers all of fal's names, so that a host which is not served can say so.
CERTIFIED_OF_FAL = (*(name for domain in OF_FAL for name in (domain, f"*.{domain}")), "*.alpha.fal.ai")

#: A host's name.
_NAME = re.compile(r"[a-z0-9._-]+", re.IGNORECASE)

#: The port is ignored: a container's may be published as another.
_AUTHORITY = re.compile(r"(\[[^]]*\]|[^:]*)(:[0-9]*)?")

#: Characters of a wrong name that an answer repeats.
_SHOWN = 100


class ServedHosts:
    """A gate that lets a request through if it was sent to a name or an address of the emulator.

    :param names: names besides the loopback ones, fal's, and the address that a connection came in on.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(map(normal, names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 421 for the wrong ``Host``, or none, and 403 for a request from a page of another host."""
        refused = self._refuse(scope) if scope["type"] == "http" else None
        await (refused or self._app)(scope, receive, send)

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        headers, here = Headers(scope=scope), str(scope["server"][0])
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._serves(host_of(hosts[0]), here):
            told = ", ".join(hosts)[:_SHOWN]
            return refusal(421, f"This emulator does not answer to Host {told!r}: start it with --allow-host NAME.")
        # Without a check of Origin, any page could POST a fault to /_emulator: a browser sends that without asking.
        origin = headers.get("origin")
        if origin is not None and not self._serves(host_of(origin.partition("://")[2]), here):
            return refusal(403, f"A page of {origin[:_SHOWN]!r} may not call this emulator.")
        return None

    def _serves(self, host: str | None, here: str) -> bool:
        return host is not None and (host in self._names or host == normal(here) or is_always_served(host))


@lru_cache(maxsize=256)
def host_of(authority: str) -> str | None:
    """Return the name or the address of ``name:port``, or None if it is neither."""
    match = _AUTHORITY.fullmatch(authority)
    return normal(match[1]) if match and is_host(match[1]) else None


def is_host(text: str) -> bool:
    """Tell whether this is a name or an address, in brackets or not, and nothing else."""
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
    """Return the origin of the files of a request that came to ``origin``: the same, or fal's host for files."""
    scheme, _, authority = origin.partition("://")
    host = host_of(authority)
    if host is None or not is_of_fal(host):
        return origin
    port = authority.rpartition(":")[2] if ":" in authority else ""
    return f"{scheme}://{MEDIA_HOSTS[0]}" + (f":{port}" if port else "")


def normal(host: str) -> str:
    """Return the form in which names and addresses are compared."""
    return str(address_of(host) or host.lower().rstrip("."))


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address, as IPv4 if IPv6 only wraps it, or None if this is a name."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def refusal(status: int, detail: str) -> JSONResponse:
    """Return an answer that says why the request is refused."""
    return JSONResponse({"detail": detail}, status)
