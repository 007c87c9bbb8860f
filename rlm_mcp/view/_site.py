"""The pages over HTTP: to those who know the address, and to nobody else."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from ..errors import RlmError, SpaceError
from ._home import Home
from ._pages import Pages, templates

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost")
"""The names by which a browser of this machine may ask. A page whose own name was bound to this
address asks by that name."""
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_TYPES = {"view.css": "text/css", "view.js": "text/javascript"}
_OTHER_ADDRESS = "This is not the address that `rlm-mcp view` has printed; each run has its own.\n"
_OTHER_NAME = "Ask by 127.0.0.1 or localhost.\n"
_DIGITS = 12
"""Of numbers in addresses."""


def site(home: Home, token: str, *, texts: bool) -> ASGIApp:
    """The application.

    Args:
        home: whose store is shown.
        token: that addresses begin with.
        texts: whether to show texts, or only how long they were.
    """
    base = f"/{token}/"

    def page(name: str, given: dict[str, Any], stamp: str | None = None) -> Response:
        given = {"base": base, "stamp": stamp, "home": str(home.folder), **given}
        return HTMLResponse(templates().get_template(name).render(given))

    def message(code: int, heading: str, text: str) -> Response:
        answer = page("message.html", {"heading": heading, "message": text})
        answer.status_code = code
        return answer

    def looking(
        name: str, make: Callable[[Pages, Request], dict[str, Any]], *, live: bool = True
    ) -> Callable[[Request], Response]:
        """A page of the store; a live one asks again and is made anew when that has changed."""

        def answer(request: Request) -> Response:
            # Before the page is made: what changes meanwhile makes it old.
            stamp = home.stamp()
            if request.headers.get("if-none-match") == stamp:
                return Response(status_code=304)
            reader = home.reader()
            if reader is not None:
                given = make(Pages(reader, texts=texts), request)
            elif name == "spaces.html":
                given = _NO_SPACES
            else:
                raise SpaceError(f"there are no spaces in {home.folder}")
            return page(name, given, stamp if live else None)

        return answer

    def failed(_request: Request, error: Exception) -> Response:
        if isinstance(error, SpaceError):
            return message(404, "Not here", str(error))
        return message(503, "The store cannot be read", str(error))

    def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return message(error.status_code, "Not here", error.detail)

    routes = [
        Route("/", looking("spaces.html", _spaces), methods=["GET"]),
        Route("/space/{handle}", looking("space.html", _space), methods=["GET"]),
        Route("/space/{handle}/commits", looking("commits.html", _commits), methods=["GET"]),
        Route("/span/{span}", looking("span.html", _span), methods=["GET"]),
        Route("/text/{span}/{name}", looking("text.html", _text, live=False), methods=["GET"]),
        Route("/static/{name}", _static, methods=["GET"]),
    ]
    handlers: dict[Any, Any] = {RlmError: failed, HTTPException: refused}
    return _Guarded(Starlette(routes=routes, exception_handlers=handlers), token)


_NO_SPACES: dict[str, Any] = {
    "spaces": [],
    "total": 0,
    "listed": 0,
    "runs": False,
    "offset": 0,
    "next": None,
}


def _spaces(pages: Pages, request: Request) -> dict[str, Any]:
    return pages.spaces(runs="runs" in request.query_params, offset=_number(request, "offset"))


def _space(pages: Pages, request: Request) -> dict[str, Any]:
    return pages.space(
        request.path_params["handle"],
        beyond=request.query_params.get("beyond"),
        oldest_first=request.query_params.get("order") == "oldest",
    )


def _commits(pages: Pages, request: Request) -> dict[str, Any]:
    return pages.commits(request.path_params["handle"], offset=_number(request, "offset"))


def _span(pages: Pages, request: Request) -> dict[str, Any]:
    params = request.query_params
    return pages.span(
        request.path_params["span"],
        after=params.get("after", ""),
        status=params.get("status") or None,
    )


def _text(pages: Pages, request: Request) -> dict[str, Any]:
    params = request.path_params
    return pages.text(params["span"], params["name"], begin=_number(request, "begin"))


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _TYPES:
        raise HTTPException(404)
    return Response(static(name), media_type=_TYPES[name])


def static(name: str) -> str:
    """A file that pages refer to."""
    return (Path(__file__).parent / "static" / name).read_text(encoding="utf-8")


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        raise HTTPException(400, f"`{name}` is a number")
    return int(text)


class _Guarded:
    """Lets only requests through that are meant for this, and says how to treat the answers."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        app: ASGIApp = self._app
        begin, _, rest = scope["path"].removeprefix("/").partition("/")
        if not _asks_this_machine(Headers(scope=scope)):
            app = PlainTextResponse(_OTHER_NAME, 421)
        elif not hmac.compare_digest(begin.encode("utf-8", "replace"), self._token):
            app = PlainTextResponse(_OTHER_ADDRESS, 403)
        inner = {**scope, "path": f"/{rest}", "root_path": ""}
        await app(inner, receive, send_guarded)


def _asks_this_machine(headers: Headers) -> bool:
    names = headers.getlist("host")
    return len(names) == 1 and names[0].partition(":")[0].lower() in HOSTS
