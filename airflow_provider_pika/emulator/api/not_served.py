"""The answer where fal has more than the emulator: one sentence that says what is not served."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

#: The methods that a path which is not served answers to.
ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def not_served(served: str, prefix: str = "") -> APIRouter:
    """Return a router that answers 404 to every path below ``prefix``, and says what is ``served`` instead."""
    router = APIRouter(prefix=prefix)

    async def refuse(request: Request) -> JSONResponse:
        asked = f"{request.method} {request.url.path[:100]}"
        return JSONResponse({"detail": f"The emulator does not serve {asked}: {served}."}, 404)

    for path in ("", "/{path:path}") if prefix else ("/{path:path}",):
        router.add_api_route(path, refuse, methods=ANY_METHOD)
    return router
