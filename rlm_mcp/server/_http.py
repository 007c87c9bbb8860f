"""The server over HTTP: any number of clients on one address, each with the token."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ..errors import BadRequestError, StoreError
from ..settings import Settings
from ._garbage import spare_what_stays
from ._serve import make_server, only_ours

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/mcp"
"""Where the SDK answers."""
TOKEN_VARIABLE = "RLM_MCP_HTTP_TOKEN"
TOKEN_FILE = "http-token"
_MIN_TOKEN = 16
"""Characters of a token that is given (a guess: what nobody finds by trying)."""
_MAX_BODY = 32 << 20
"""Bytes of a request. What is larger belongs into a file, which `load_variable` reads."""
_MAX_SESSIONS = 100
"""Clients at a time (a guess; each costs little, the spaces have limits of their own)."""
_PATIENCE_S = 3
"""For connections that stay open when the server ends."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen.

    Args:
        host: a name or a number.
        port: 0 for any that is free.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `HOST:PORT`, an IPv6 address in brackets.

        Raises:
            BadRequestError: it is not of that form.
        """
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise BadRequestError(
                f"--http wants HOST:PORT, such as 127.0.0.1:8765 or [::1]:8765, not {text!r}"
            )
        return cls(host, int(port))

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def url(self, port: int) -> str:
        """Of the server, as a client is told it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{port}{PATH}"


def token_of(home: Path, environ: Mapping[str, str]) -> tuple[str, str]:
    """The token that clients must send, and where it is from, in words.

    Left out of the environment it is made once and kept in the home folder, for its owner alone.

    Raises:
        BadRequestError: the one that is given is too short.
        StoreError: the one in the home cannot be read or written.
    """
    given = environ.get(TOKEN_VARIABLE, "").strip()
    if given:
        if len(given) < _MIN_TOKEN or not given.isascii():
            raise BadRequestError(
                f"{TOKEN_VARIABLE} must have at least {_MIN_TOKEN} ASCII characters; "
                "leave it out to have one made"
            )
        return given, TOKEN_VARIABLE
    path = home / TOKEN_FILE
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(made, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32))
        kept = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise StoreError(f"the token {path} cannot be used ({error})") from error
    if len(kept) < _MIN_TOKEN:
        raise StoreError(f"{path} holds no token; remove the file to have one made")
    return kept, f"in {path}"


class _Guarded:
    """Lets only requests through that carry the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = b"".join(sent[:1]).partition(b" ")
        right = hmac.compare_digest(token.strip(), self._expected)
        # With two of them, a proxy before this may have looked at the other.
        if len(sent) == 1 and scheme.lower() == b"bearer" and right:
            await self._answer(scope, receive, send)
        else:
            await _say(send, 401, _NO_TOKEN, (b"www-authenticate", b"Bearer"))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            # uvicorn ends what is under way when it is told to end, and logs that as a fault.
            if begun:
                await send({"type": "http.response.body", "body": b""})
            else:
                await _say(send, 503, _ENDING)


_NO_TOKEN = b"send the header `Authorization: Bearer TOKEN`; the server says where its token is\n"
_ENDING = b"the server was ended; what code had not come to an end is lost, commits are kept\n"


async def _say(send: Send, status: int, text: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(text)),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


async def serve_http(
    settings: Settings,
    address: str,
    say: Callable[[str], None],
    environ: Mapping[str, str] | None = None,
) -> None:
    """Serve clients over MCP's streamable HTTP, until the process is told to end.

    All clients share the spaces and the default space; a space does one thing at a time.

    Args:
        settings: of the server.
        address: `HOST:PORT` to listen on. The connection is not encrypted.
        say: is told where clients find it, and where the token is.
        environ: where the token is looked for; `os.environ` if left out.

    Raises:
        RlmError: the address, the token, the home folder or an allowed folder cannot be used.
    """
    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    where = Address.parse(address)
    token, source = token_of(settings.home, os.environ if environ is None else environ)
    server = make_server(settings)
    spare_what_stays()
    app = server.streamable_http_app(
        host=where.host,
        max_request_body_size=_MAX_BODY,
        max_sessions=_MAX_SESSIONS,
        # Elsewhere nothing is known of the names that clients use; the token stands in the way.
        transport_security=None
        if where.is_local
        else TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    config = uvicorn.Config(
        _Guarded(app, token),
        log_level="warning",
        access_log=False,
        lifespan="off",  # ours is around it, so that its errors reach the caller
        timeout_graceful_shutdown=_PATIENCE_S,
    )
    with _listen(where) as listener, only_ours():
        async with server.session_manager.run():
            say(f"rlm-mcp: {where.url(listener.getsockname()[1])}, token {source}")
            for number in (signal.SIGINT, signal.SIGTERM):
                # uvicorn ends by these, and then raises them again: the spaces are still open.
                signal.signal(number, _ignore)
            await uvicorn.Server(config).serve(sockets=[listener])


def _ignore(_number: int, _frame: object) -> None:
    pass


def _listen(where: Address) -> socket.socket:
    try:
        family = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((where.host, where.port), family=family)
    except OSError as error:
        raise BadRequestError(
            f"cannot listen on {where.host}:{where.port} ({error.strerror or error}); "
            "name another address, port 0 for any that is free"
        ) from error
