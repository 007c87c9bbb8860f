"""Serving the pages on this machine until the user ends it."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from html import escape
from pathlib import Path

from ..errors import BadRequestError
from ._home import Home
from ._site import site

ADDRESS = "127.0.0.1"
_AT_ONCE = 50
"""Requests; a page that many tabs show asks every two seconds."""
_PATIENCE_S = 2


async def serve_view(
    folder: Path,
    *,
    space: str | None,
    port: int,
    show: bool,
    texts: bool,
    say: Callable[[str], None],
) -> None:
    """Show what is in a store to the browsers of this machine, until the process is told to end.

    Args:
        folder: the home folder.
        space: to begin with, else the list of all.
        port: to listen on, 0 for any that is free.
        show: whether to open a browser, if there is one.
        texts: whether to show texts, or only how long they were.
        say: is told the address.

    Raises:
        BadRequestError: the port is taken.
    """
    import uvicorn

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    token = secrets.token_urlsafe(24)
    home = Home(folder)
    config = uvicorn.Config(
        site(home, token, texts=texts),
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        limit_concurrency=_AT_ONCE,
        timeout_graceful_shutdown=_PATIENCE_S,
    )
    with contextlib.closing(home), _listen(port) as listener:
        page = f"space/{space}" if space is not None else ""
        url = f"http://{ADDRESS}:{listener.getsockname()[1]}/{token}/{page}"
        say(f"rlm-mcp: {url} shows {folder}; Ctrl-C ends it")
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn ends by these, and then raises them again.
            signal.signal(number, _ignore)
        with _opened(url) if show and has_browser(os.environ) else contextlib.nullcontext():
            await uvicorn.Server(config).serve(sockets=[listener])


def has_browser(environ: Mapping[str, str]) -> bool:
    """Whether there is a browser with windows: one in a terminal would be in the way."""
    named = "BROWSER" in environ or "DISPLAY" in environ or "WAYLAND_DISPLAY" in environ
    return named or sys.platform == "darwin"


@contextlib.contextmanager
def _opened(url: str) -> Iterator[None]:
    """Show an address in a browser for as long as the block is.

    By a file that only the user can read: arguments of programs are seen by everyone.
    """
    with tempfile.TemporaryDirectory(prefix="rlm-mcp-view-") as folder:
        path = Path(folder) / "open.html"
        path.write_text(
            f'<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
            f'<meta http-equiv="refresh" content="0; url={escape(url)}"><title>rlm-mcp</title>'
            f'<a href="{escape(url)}">what happened in the spaces of rlm-mcp</a>\n',
            encoding="utf-8",
        )
        # Some browsers are waited for until they end, so nobody waits for this thread.
        threading.Thread(target=_open, args=(path.as_uri(),), daemon=True).start()
        yield


def _open(uri: str) -> None:
    with contextlib.suppress(webbrowser.Error):
        webbrowser.open(uri)


def _ignore(_number: int, _frame: object) -> None:
    pass


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((ADDRESS, port))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise BadRequestError(
            f"cannot listen on {ADDRESS}:{port} ({reason}); leave --port out for one that is free"
        ) from error
