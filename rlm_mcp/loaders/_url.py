"""Fetching an http(s) address: bounded, and never into a private network by accident.

The name is resolved here, every address that it has is checked, and the connection goes to what
was checked: a name that resolves to something else a moment later reaches nothing. Redirects are
followed by hand, each hop checked in the same way. There are no cookies, no credentials, and no
proxies of the environment, since a proxy would resolve the name itself.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from email.message import Message
from ipaddress import ip_address
from posixpath import basename
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from .. import __version__
from ..errors import BadRequestError, SourceError
from ._address import is_public, public_form
from ._bundle import Bundle, Origin, scratch, write_all

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

SECONDS = 120.0
"""For the whole of a fetch (a guess: what an agent's client waits for at most)."""
_CONNECT_SECONDS = 15.0
_REDIRECTS = 5
_READ = 1 << 18
_REDIRECT = (301, 302, 303, 307, 308)
_URL = re.compile(r"https?://", re.IGNORECASE)

_BY_TYPE = {
    "text/html": "html", "application/xhtml+xml": "html", "application/json": "json",
    "application/x-ndjson": "jsonl", "application/jsonl": "jsonl", "text/csv": "csv",
    "text/tab-separated-values": "tsv", "application/xml": "xml", "text/xml": "xml",
    "application/yaml": "yaml", "text/yaml": "yaml", "application/x-yaml": "yaml",
    "application/toml": "toml", "message/rfc822": "eml",
}  # fmt: skip
"""The ending that a media type stands for; binary formats are told by their content."""


@dataclass(frozen=True)
class UrlRules:
    """Which addresses may be fetched.

    Args:
        enabled: whether any may.
        allow_private: whether private, loopback and link-local ones may, too.
        seconds: for a whole fetch.
    """

    enabled: bool = True
    allow_private: bool = False
    seconds: float = SECONDS


def is_url(source: str) -> bool:
    """Whether a source is an address for `fetch`."""
    return _URL.match(source) is not None


async def fetch(
    url: str, rules: UrlRules, *, max_bytes: int, resolve: Resolve | None = None
) -> Bundle:
    """Fetch an address.

    Args:
        url: the address.
        rules: what may be fetched.
        max_bytes: the longest answer that is taken.
        resolve: gives the addresses of a name and port; the system's resolver if left out.

    Raises:
        BadRequestError: it is no address that can be fetched.
        SourceError: it may not be fetched, or the other side does not give it.
    """
    if not rules.enabled:
        raise SourceError(
            'Addresses are switched off in this server. Set urls = "on" in its settings (or '
            "RLM_MCP_URLS=on), or save the page to a file and load that."
        )
    try:
        async with asyncio.timeout(rules.seconds):
            return await _follow(url, rules, max_bytes, resolve or _resolve)
    except TimeoutError:
        raise SourceError(
            f"{_shown(url)} did not give everything within {rules.seconds:.0f} s. Try again, or "
            "load a smaller part of it."
        ) from None


async def _follow(url: str, rules: UrlRules, max_bytes: int, resolve: Resolve) -> Bundle:
    import aiohttp

    first = url
    for _ in range(_REDIRECTS + 1):
        target = _checked(url)
        addresses = await _allowed(target.raw_host or "", target.port or 80, rules, resolve)
        connector = aiohttp.TCPConnector(
            resolver=_pinned(addresses),
            use_dns_cache=False,
            socket_factory=_sockets_to(addresses),
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            # Compressed answers would have to be unpacked beside the server's secrets.
            headers={"User-Agent": f"rlm-mcp/{__version__}", "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        ) as session:
            try:
                async with session.get(target, allow_redirects=False) as response:
                    if response.status in _REDIRECT and "Location" in response.headers:
                        url = urljoin(url, response.headers["Location"])
                        continue
                    return await _read(response, first, url, max_bytes)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                if isinstance(error, TimeoutError):
                    raise SourceError(f"{_shown(url)} does not answer.") from None
                cause = str(error)[:200].replace(url, "it") or type(error).__name__
                raise SourceError(f"{_shown(url)} cannot be fetched: {cause}.") from None
    raise SourceError(f"{_shown(first)} leads on and on: over {_REDIRECTS} redirects.")


def _checked(url: str) -> URL:
    """An address as the one who connects reads it: two parsers may see two hosts in it."""
    from yarl import URL

    shown = _shown(url)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        if parts.scheme.lower() not in ("http", "https"):
            raise SourceError(
                f"{shown} leads to {parts.scheme}:, and only http and https are fetched."
            )
        target = URL(url)
        named = "@" in parts.netloc or target.raw_user or target.raw_password
    except ValueError:
        raise BadRequestError(f"{shown} is no address that can be fetched.") from None
    if named:
        raise BadRequestError(
            f"{shown} holds a name or a password. Credentials are not sent; name the address "
            "without them."
        )
    strange = not host or "%" in host or "\\" in url or any(c.isspace() or c < " " for c in url)
    if strange or not target.raw_host or "%" in target.raw_host:
        raise BadRequestError(f"{shown} is no address that can be fetched.")
    return target


def _shown(url: str) -> str:
    """An address as it may be repeated."""
    return repr(public_form(url)[:200])


async def _allowed(host: str, port: int, rules: UrlRules, resolve: Resolve) -> list[str]:
    """The addresses of a host, all of which may be reached."""
    try:
        # Numbers of every notation (0x7f.1, 2130706433) are names for the resolver too.
        addresses = list(dict.fromkeys(await resolve(host, port)))
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or "it is no valid name"
        raise SourceError(f"The host {host[:100]!r} is not found: {cause}.") from None
    if not addresses:
        raise SourceError(f"The host {host[:100]!r} has no address.")
    if not rules.allow_private and not all(map(is_public, addresses)):
        raise SourceError(
            f"The host {host[:100]!r} is in a private or local network, which is not fetched from. "
            "Whoever runs the server can allow it: allow_private_urls = true in the settings, or "
            "RLM_MCP_ALLOW_PRIVATE_URLS=true."
        )
    return addresses


async def _resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


def _pinned(addresses: list[str]) -> Any:
    """A resolver that knows only what was checked."""
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Pinned(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            return [
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                    proto=0,
                    flags=socket.AI_NUMERICHOST,
                )
                for address in addresses
            ]

        async def close(self) -> None:
            pass

    return Pinned()


def _sockets_to(addresses: list[str]) -> Callable[[Any], socket.socket]:
    """Makes sockets for connections to what was checked, and to nothing else.

    The resolver alone is not enough: a host that is written as a number is connected to unasked.
    """
    known = {ip_address(address.partition("%")[0]) for address in addresses}

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, place = info
        if ip_address(str(place[0]).partition("%")[0]) not in known:
            raise OSError(errno.EPERM, "its address is not the one that was checked")
        return socket.socket(family, kind, protocol)

    return make


async def _read(response: aiohttp.ClientResponse, asked: str, url: str, max_bytes: int) -> Bundle:
    if response.status != 200:
        reason = f" {response.reason}" if response.reason else ""
        raise SourceError(f"{_shown(url)} answered with status {response.status}{reason[:80]}.")
    too_large = SourceError(
        f"{_shown(url)} is over {max_bytes:,} bytes, which is what fits into this space. Fetch a "
        "part of it into a file and load that."
    )
    length = response.content_length
    if length is not None and length > max_bytes:
        raise too_large
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip", "x-gzip", ""):
        raise SourceError(
            f"{_shown(url)} came compressed as {coding[:40]!r}, which was not asked for."
        )
    kind, charset = _media_type(response.headers.get("Content-Type", ""))
    fd, size = scratch(), 0
    try:
        async for data in response.content.iter_chunked(_READ):
            size += len(data)
            if size > max_bytes:
                raise too_large
            write_all(fd, memoryview(data))
    except BaseException:
        os.close(fd)
        raise
    name = _name(urlsplit(url), kind)
    if "gzip" in coding:
        name += ".gz"  # unpacked where everything is, inside the sandbox
    led = "" if url == asked else f"redirected to {public_form(url)[:500]}"
    return Bundle(
        fd,
        [(name, 0, size)],
        "file",
        Origin(public_form(asked), size, time.time(), led),
        notes=[f"R{led[1:]}."] if led else [],
        hint=name,
        charset=charset,
    )


def _media_type(header: str) -> tuple[str, str | None]:
    message = Message()
    message["Content-Type"] = header[:500] or "application/octet-stream"
    charset = message.get_content_charset()
    return message.get_content_type(), charset if isinstance(charset, str) else None


def _name(parts: SplitResult, kind: str) -> str:
    """A name whose ending tells the format: that of the path, unless the type says otherwise."""
    name = basename(unquote(parts.path)) or "index"
    ending = _BY_TYPE.get(kind) or ("xml" if kind.endswith("+xml") and "svg" not in kind else None)
    ending = ending or ("json" if kind.endswith("+json") else None)
    known = name.rpartition(".")[2].lower() if "." in name else ""
    if ending is None or known == ending:
        return name
    # A page that answers for a file is a page; other types are often too general.
    if ending == "html" or known not in (*_BY_TYPE.values(), "ndjson", "yml", "geojson", "ipynb"):
        return f"{name}.{ending}"
    return name
