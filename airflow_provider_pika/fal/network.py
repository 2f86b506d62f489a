"""The way to a host, for every client that we have: its proxy, whom it trusts, and why there was no answer.

The blocking client, the event loop's and the download all ask here, so what one of them can reach, the others can. The
HTTP libraries read the environment each in its own way: httpx 0.28 raises ``InvalidURL`` for an IPv6 range in NO_PROXY,
and aiohttp takes no proxy without a scheme.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from airflow_provider_pika.exceptions import UnusableCertificates, UnusableProxy

if TYPE_CHECKING:
    import httpx

#: What a transport raises before it sends anything, by the names of its classes, so that neither library is imported
#: for the other's sake; subclasses count. All else may come after the host has the request: a reused connection that
#: the server has closed (aiohttp's ServerDisconnectedError), or a URL in a redirect that is none (httpx's InvalidURL).
NEVER_SENT = {
    "httpx.ConnectError": "no TCP connection, or no TLS",
    "httpx.ConnectTimeout": "neither of them in time",
    "httpx.PoolTimeout": "no connection was free in time",
    "httpx.ProxyError": "the proxy refused CONNECT; a plain request's refusal is an answer",
    "aiohttp.ClientConnectorError": "no TCP connection, or no TLS, to the host or to the proxy",
    "aiohttp.ConnectionTimeoutError": "neither of them in time, or no connection was free",
    "aiohttp.ClientHttpProxyError": "the proxy refused CONNECT",
}

#: Ports that a URL need not name.
_PORTS = {"http": 80, "https": 443}

#: What a transport's errors mean, by a part of their class's name: httpx's and aiohttp's own words quote what the
#: server sent, which may be the key, and aiohttp's those of a proxy with its password.
_MEANINGS = {
    "Proxy": "the proxy did not let it through",
    "Certificate": "the server's certificate is not trusted",
    "SSL": "there is no secure connection",
    "DNS": "the host's name was not found",
    "ConnectTimeout": "no connection in time",
    "ConnectionTimeout": "no connection in time",
    "Connector": "no connection",
    "Connect": "no connection",
    "Timeout": "no answer in time",
    "Disconnected": "the server closed the connection",
    "Payload": "the answer broke off, or is not what its headers say",
    "Protocol": "the answer is not HTTP",
    "ResponseError": "the answer is not HTTP",
    "BadStatusLine": "the answer is not HTTP",
    "LineTooLong": "the answer's headers are too large",
    "URL": "the address is not one",
    "Read": "the connection broke",
    "OSError": "the connection broke",
}


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy.

    :param url: ``http://host:port`` or ``https://host:port``.
    :param login: a user and a password, both decoded, if it wants them.
    """

    url: str
    login: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Return what the proxy itself wants to be sent; httpx makes it of ``login``."""
        if self.login is None:
            return {}
        return {"Proxy-Authorization": f"Basic {base64.b64encode(':'.join(self.login).encode()).decode()}"}


def proxy_to(url: str) -> Proxy | None:
    """Return the proxy that the environment names for a URL; None: go there directly.

    It reads ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``. A name in small letters comes before one
    in capitals, also where it is empty, as in curl.

    :raises UnusableProxy: not every client of ours can use it.
    """
    parts = urlsplit(url)
    if _goes_directly(parts, _variable("no_proxy")[1]):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        found, value = _variable(name)
        if value:
            return _proxy(found, value)
    return None


def _variable(name: str) -> tuple[str, str]:
    found = name if name in os.environ else name.upper()
    return found, os.environ.get(found, "").strip()


def _proxy(variable: str, value: str) -> Proxy:
    """Read a proxy's address.

    :raises UnusableProxy: it is none, or not one of HTTP; the message has no user and no password.
    """
    try:
        parts = urlsplit(value if "://" in value else f"http://{value.lstrip('/')}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UnusableProxy(f"{variable} holds no address of a proxy.") from None
    if parts.scheme not in _PORTS:
        raise UnusableProxy(f"{variable} names a proxy of the kind {parts.scheme!r}.")
    if not host or re.search(r"[\s\\^`{|}<>\"%]", host):
        raise UnusableProxy(f"{variable} holds no address of a proxy.")
    address = f"[{host}]" if ":" in host else host
    login = (unquote(parts.username or ""), unquote(parts.password or ""))
    if ":" in login[0]:  # it would be taken for the end of the name (RFC 7617, 2)
        raise UnusableProxy(f"{variable} names a user of the proxy with a colon in its name.")
    return Proxy(f"{parts.scheme}://{address}:{port or _PORTS[parts.scheme]}", login if any(login) else None)


def _goes_directly(parts: SplitResult, no_proxy: str) -> bool:
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or _PORTS.get(parts.scheme)
    return any(_covers(entry.lower(), parts.scheme, host, port) for entry in re.split(r"[,\s]+", no_proxy) if entry)


def _covers(entry: str, scheme: str, host: str, port: int | None) -> bool:
    """Return whether one entry of NO_PROXY covers a host; one that cannot be read covers none.

    It may be ``*``, a domain with all below it (with or without a dot before it), an address, or a range of addresses.
    It may begin with a scheme and end with a port.
    """
    only, found, rest = entry.rpartition("://")
    if found and only not in ("all", scheme):
        return False
    name, only_port = _name_and_port(rest)
    if only_port and only_port != str(port):
        return False
    if name == "*":
        return True
    network, address = _network(name), _address(host)
    if network or address:
        return bool(network and address and address in network)
    name = name.lstrip("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _name_and_port(entry: str) -> tuple[str, str]:
    if bracketed := re.fullmatch(r"\[(.*)](?::(\d+))?", entry):
        return bracketed[1], bracketed[2] or ""
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, ""  # an IPv6 address has more colons


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    with suppress(ValueError):
        return ipaddress.ip_network(text.replace("[", "").replace("]", ""), strict=False)
    return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with suppress(ValueError):
        return ipaddress.ip_address(text)
    return None


def trusted() -> ssl.SSLContext:
    """Return whom every client of ours trusts: ``SSL_CERT_FILE``, else ``SSL_CERT_DIR``, else certifi, as httpx does.

    Reading them costs 20 to 50 ms of CPU, so it is done once in a process, and again if they change.

    :raises UnusableCertificates: what the environment names holds no certificates.
    """
    if file := os.environ.get("SSL_CERT_FILE"):
        return _checked("SSL_CERT_FILE", file, file, None)
    if folders := os.environ.get("SSL_CERT_DIR"):
        return _checked("SSL_CERT_DIR", folders, None, folders)
    import certifi

    return _context(certifi.where(), None, ())


def _checked(variable: str, value: str, file: str | None, folders: str | None) -> ssl.SSLContext:
    try:
        stamps = tuple(_stamp(path) for path in ([file] if file else _folders(value)))
        with _READING:
            return _context(file, folders, stamps)
    except (OSError, ssl.SSLError, ValueError) as error:
        reason = _system_reason(error) or "it is no such file"
        raise UnusableCertificates(f"{variable}={value!r} holds no certificates that can be read: {reason}.") from None


def _folders(value: str) -> list[str]:
    """Return the folders that have certificates under the names that OpenSSL looks for: it is silent about any other.

    :raises FileNotFoundError: there is none.
    """
    folders = [path for path in value.split(os.pathsep) if os.path.isdir(path) and any(map(_HASHED, os.listdir(path)))]
    if not folders:
        raise FileNotFoundError(2, os.strerror(2))
    return folders


def _stamp(path: str) -> tuple[int, ...]:
    stat = os.stat(path)
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


#: Whether a file's name is the hash of a certificate's subject, as OpenSSL's folders have them.
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+").fullmatch
#: Held while certificates are read, so that threads which start together read them once.
_READING = threading.Lock()


@lru_cache(maxsize=4)
def _context(file: str | None, folders: str | None, stamps: tuple[tuple[int, ...], ...]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=file, capath=folders)


def httpx_transport(url: str) -> httpx.HTTPTransport:
    """Return what sends the blocking calls to a URL's host.

    :raises UnusableProxy, UnusableCertificates: see :func:`proxy_to` and :func:`trusted`.
    """
    import httpx

    way = proxy_to(url)
    proxy = httpx.Proxy(way.url, auth=way.login, ssl_context=_for_a_proxy(way)) if way else None
    return httpx.HTTPTransport(trust_env=False, verify=trusted(), proxy=proxy)


def _for_a_proxy(proxy: Proxy) -> ssl.SSLContext | None:
    return trusted() if proxy.url.startswith("https:") else None


class Watchdog:
    """Cuts a blocking client's connections when its time is up: httpx bounds each wait for a byte, not all of them.

    :meth:`trace` goes into the ``trace`` extension of each of its requests.
    """

    def __init__(self) -> None:
        #: Whether it was cut off before anything of a request was sent: to connect may take all of its time.
        self.cut_while_connecting = False
        self._is_connecting = False
        self._has_cut = False
        self._streams: deque[Any] = deque(maxlen=4)  # a client that makes one call at a time has one for each host

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Take note of a connection when it opens, and of a request when it is sent."""
        if event.endswith(("connect_tcp.started", "send_request_headers.started")):
            self._is_connecting = event.endswith("connect_tcp.started")
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._streams.append(info["return_value"])

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Allow so many seconds for what happens inside.

        :raises TimeoutError: it took longer, whatever came of it: a body of no known length just seems to end.
        """
        self._has_cut = self._is_connecting = self.cut_while_connecting = False
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception:
            self._check()
            raise
        finally:
            timer.cancel()
        self._check()

    def _check(self) -> None:
        if self._has_cut:
            raise TimeoutError from None

    def _cut(self) -> None:
        self._has_cut, self.cut_while_connecting = True, self._is_connecting
        for stream in list(self._streams):
            with suppress(Exception):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def never_sent(error: BaseException) -> bool:
    """Return whether a transport's error proves that the host was sent nothing."""
    return any(f"{kind.__module__.partition('.')[0]}.{kind.__name__}" in NEVER_SENT for kind in type(error).__mro__)


def transport_trouble(error: BaseException) -> str:
    """Return in our own words why there was no answer: the error's kind, and the system's reason if there is one."""
    name = type(error).__name__
    meaning = next((words for part, words in _MEANINGS.items() if part in name), "no answer that can be read")
    reason = next(filter(None, map(_system_reason, _causes(error))), "")
    return f"{meaning}{reason and f', {reason}'} ({name})"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _system_reason(error: BaseException) -> str:
    """Return the reason of the system, the resolver or OpenSSL: texts of their own tables, none of the server's."""
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", None) or getattr(error, "reason", None) or ""
        return str(reason).replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return str(error.strerror or "").lower()
    if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno > 0:
        with suppress(ValueError, OverflowError):
            return os.strerror(error.errno).lower()
    return ""
