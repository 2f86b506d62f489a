"""A forward proxy on loopback: CONNECT for https, and plain requests for http."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import socketserver
import ssl
from urllib.parse import urlsplit

from tests.support.loopback import LoopbackServer


class LoopbackProxy(LoopbackServer):
    """``asked`` has each request's first line, ``heads`` its whole head.

    :param answer: what it answers instead of doing what it is asked for.
    :param tls: what it speaks TLS with.
    """

    def __init__(self, answer: bytes = b"", tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.logins: list[str] = []
        self.heads: list[bytes] = []

        class Server(socketserver.ThreadingTCPServer):
            def get_request(self) -> tuple[socket.socket, object]:
                connection, address = super().get_request()
                return (tls.wrap_socket(connection, server_side=True) if tls else connection), address

        self._tcp = Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))


class _Handler(socketserver.StreamRequestHandler):
    """One connection of a client's; ``proxy`` is set in a subclass."""

    proxy: LoopbackProxy

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            lines = list(iter(self.rfile.readline, b"\r\n"))
            method, target, _ = lines[0].decode().split(" ")
            self.proxy.asked.append(f"{method} {target}")
            self.proxy.heads.append(b"".join(lines))
            self.proxy.logins += [_login(line) for line in lines if line.lower().startswith(b"proxy-auth")]
            if self.proxy.answer:
                self.wfile.write(self.proxy.answer)
            elif method == "CONNECT":
                self.tunnel(target)
            else:
                self.forward(method, target, lines[1:])

    def tunnel(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5) as there:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            while _pumped(self.connection, there):
                pass

    def forward(self, method: str, target: str, fields: list[bytes]) -> None:
        url = urlsplit(target)
        length = sum(int(line.split(b":")[1]) for line in fields if line.lower().startswith(b"content-length"))
        kept = [line for line in fields if not line.lower().startswith((b"proxy-", b"connection"))]
        path = url.path + (f"?{url.query}" if url.query else "")
        with socket.create_connection((str(url.hostname), url.port or 80), timeout=5) as there:
            head = [f"{method} {path} HTTP/1.1\r\n".encode(), *kept, b"Connection: close\r\n\r\n"]
            there.sendall(b"".join(head) + self.rfile.read(length))
            while piece := there.recv(65536):
                self.wfile.write(piece)


def _login(line: bytes) -> str:
    scheme, value = line.split()[1:]
    assert scheme == b"Basic"
    return base64.b64decode(value).decode()


def _pumped(here: socket.socket, there: socket.socket) -> bool:
    """Pass on what one side has sent; False once one of them has ended."""
    if isinstance(here, ssl.SSLSocket) and here.pending():
        ready: list[socket.socket] = [here]
    else:
        ready = select.select([here, there], [], [], 10)[0]
    for one in ready:
        piece = one.recv(65536)
        if not piece:
            return False
        (there if one is here else here).sendall(piece)
    return bool(ready)
