"""What every answer of the pages has: its headers, and how trouble is said, to a person or to a script."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader
from starlette.exceptions import HTTPException

from airflow_provider_pika.plugins.pages import words
from airflow_provider_pika.plugins.pages.files import NotShown

#: Where the templates and the browser's files are.
_HERE = Path(__file__).parent

#: Every text that a template shows is escaped: prompts come from strangers.
_TEMPLATES = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=True, trim_blocks=True)
_TEMPLATES.filters |= {"size": words.size, "at": words.at, "seconds": words.seconds, "query": words.query}

#: What the browser may load: this server's own files, and nothing that stands in a page.
_POLICY = (
    "default-src 'none'; img-src 'self'; media-src 'self'{media}; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)

#: What a browser may do with what is no page, where somebody opens it by itself.
NOTHING_ELSE = {"Content-Security-Policy": "default-src 'none'"}

#: What every answer has.
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

#: The browser's own files, and what they are.
_STATIC = {
    "clips.css": "text/css; charset=utf-8",
    "clips.js": "text/javascript; charset=utf-8",
    "review.js": "text/javascript; charset=utf-8",
    "theme.js": "text/javascript; charset=utf-8",
    "clips.svg": "image/svg+xml",
    "clips-dark.svg": "image/svg+xml",
}

#: What somebody may come back to after the sign-in; what is no page comes back to the first.
_PAGES = ("clips", "clip", "batch", "request", "review", "video", "poster")

#: What a page says of an answer that is none.
_TITLES = {401: "Sign in", 403: "Not shown", 404: "Not here", 409: "Not what was saved", 502: "Storage trouble"}


def page(template: str, status: int = 200, media: str = "", **values: Any) -> Response:
    """Return a page.

    :param media: an origin that clips may be fetched from, besides this server's.
    """
    text = _TEMPLATES.get_template(template).render(**values)
    policy = _POLICY.format(media=f" {media}" if media else "")
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    return HTMLResponse(text, status, headers=headers)


def static(name: str) -> Response:
    """Return one of the browser's own files."""
    kind = _STATIC.get(name)
    if kind is None:
        raise HTTPException(404, "There is no such file.")
    content = (_HERE / "static" / name).read_bytes()
    return Response(content, media_type=kind, headers={"Cache-Control": "max-age=300", **NOTHING_ELSE})


def trouble(request: Request, status: int, said: str) -> Response:
    """Return why there is no page: as a page to a person, as JSON to a script or a player."""
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": said}, status, headers={"Cache-Control": "no-store"})
    sign_in = _sign_in(request) if status == 401 else None
    return page("trouble.html", status, title=_TITLES.get(status, "Trouble"), said=said, sign_in=sign_in)


def _sign_in(request: Request) -> str:
    """Return where to sign in, and to come back from. Airflow 3.1 forgets an address from its first ``&`` on."""
    root = request.scope.get("root_path", "")
    name = request.url.path.removeprefix(f"{root}/")
    asked = f"{name}?{request.url.query}" if name in _PAGES else _PAGES[0]
    back_to = f"{root}/back/{base64.urlsafe_b64encode(asked.encode()).decode().rstrip('=')}"
    return f"../api/v2/auth/login?next={quote(back_to, safe='')}"


def back(where: str) -> Response:
    """Lead whoever has signed in to the page that was asked for: to one of ours, and nowhere else."""
    try:
        name, _, query = base64.urlsafe_b64decode(where + "=" * (-len(where) % 4)).decode().partition("?")
    except ValueError:
        name = query = ""
    if name not in _PAGES:
        raise HTTPException(404, "That address leads to no page.")
    names = urlencode(parse_qsl(query, keep_blank_values=True))
    return RedirectResponse(f"../{name}?{names}" if names else f"../{name}", 307)


class _Headers:
    """Adds what every answer has, as an ASGI middleware: it keeps nothing of a clip that passes through."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                more = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def install(app: FastAPI) -> None:
    """Have the application answer so."""
    app.add_middleware(_Headers)

    @app.exception_handler(NotShown)
    def _not_shown(request: Request, error: NotShown) -> Response:
        return trouble(request, error.status, error.words)

    @app.exception_handler(HTTPException)
    def _refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == 401 or error.detail == "Invalid JWT token":
            return trouble(request, 401, "Sign in to Airflow to see clips.")
        return trouble(request, error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    def _no_request(request: Request, error: RequestValidationError) -> Response:
        return trouble(request, 404, "That address names no task instance.")

    @app.exception_handler(Exception)
    def _broken(request: Request, error: Exception) -> Response:
        return trouble(request, 500, "That went wrong. The API server's log says what.")
