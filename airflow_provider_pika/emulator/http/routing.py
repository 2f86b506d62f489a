"""Which app answers: the app of the host that a request names, or else of the port that it came to.

And what is answered where fal has more than the emulator: one sentence that says what is not served.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_pika.emulator.http.hosts import SERVED_OF_FAL, host_of, is_of_fal, refusal

#: The answer to every WebSocket.
NO_WEBSOCKET = "The emulator serves no WebSocket, and so none of fal's realtime API: use HTTP."

#: The methods that a path which is not served answers to.
ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Router:
    """Hands each request to its app. fal's hosts have the same paths, and a client may use one port for all of them.

    :param local: for the emulator's own names and addresses, and for the lifespan.
    :param by_port: for those names on a port where another app than ``local`` answers.
    :param by_name: for fal's own host names, on any port.
    """

    def __init__(self, local: ASGIApp, by_port: Mapping[int, ASGIApp], by_name: Mapping[str, ASGIApp]) -> None:
        self._local = local
        self._by_port = by_port
        self._by_name = by_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Call the app. It gets no trailing slash, since fal takes both forms (fal-protocol.md 1.3).

        A client that goes away while it sends its body is nobody's error.
        """
        app = self._local
        if scope["type"] == "http":
            scope["path"] = scope["path"].rstrip("/") or "/"
            app = self._app(Headers(scope=scope), scope["server"][1])
        with contextlib.suppress(ClientDisconnect):
            await app(scope, receive, send)

    def _app(self, headers: Headers, port: int) -> ASGIApp:
        if headers.get("upgrade", "").lower() == "websocket":
            return refusal(501, NO_WEBSOCKET)
        host = host_of(headers.get("host", "")) or ""
        if not is_of_fal(host):
            return self._by_port.get(port, self._local)
        if host not in self._by_name:
            return refusal(421, f"The emulator does not serve {host}: of fal's hosts it has {SERVED_OF_FAL}.")
        return self._by_name[host]


def not_served(served: str, prefix: str = "") -> APIRouter:
    """Return a router that answers 404 to every path below ``prefix``, and says what is ``served`` instead."""
    router = APIRouter(prefix=prefix)

    async def refuse(request: Request) -> JSONResponse:
        asked = f"{request.method} {request.url.path[:100]}"
        return refusal(404, f"The emulator does not serve {asked}: {served}.")

    for path in ("", "/{path:path}") if prefix else ("/{path:path}",):
        router.add_api_route(path, refuse, methods=ANY_METHOD)
    return router
