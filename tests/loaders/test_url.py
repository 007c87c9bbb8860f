"""Fetching addresses: what is refused before anything is sent, and what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
from collections.abc import AsyncIterator, Sequence

import pytest
from aiohttp import web

from rlm_mcp.errors import BadRequestError, SourceError
from rlm_mcp.loaders import UrlRules, fetch
from rlm_mcp.loaders._address import is_public, public_form

pytestmark = pytest.mark.anyio

PRIVATE = UrlRules(allow_private=True)


@contextlib.asynccontextmanager
async def serving(handler: web.RequestHandler | object) -> AsyncIterator[str]:
    """A web server on this machine; gives its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0]
    finally:
        await runner.cleanup()


def address(place: object, path: str = "/") -> str:
    return f"http://127.0.0.1:{place[1]}{path}"  # type: ignore[index]


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.0.8", "::1", "::",
        "fe80::1", "fc00::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "::127.0.0.1", "fe80::1%eth0", "fec0::1", "no address",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_known(text: str) -> None:
    assert not is_public(text)


@pytest.mark.parametrize("text", ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_an_address_that_is_public_is_known(text: str) -> None:
    assert is_public(text)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "0x7f.1", "2130706433", "017700000001", "localhost", "[::1]",
     "[::ffff:127.0.0.1]", "127.1"],
)  # fmt: skip
async def test_every_notation_of_a_local_address_is_refused(host: str) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(text="secret")

    async with serving(answer) as place:
        with pytest.raises(SourceError, match=r"private or local|not found"):
            await fetch(f"http://{host}:{place[1]}/", UrlRules(), max_bytes=1000)
    assert asked == []


async def test_a_name_that_resolves_to_a_private_address_is_refused() -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["93.184.215.14", "10.0.0.1"]

    with pytest.raises(SourceError, match="private or local network"):
        await fetch("http://example.org/", UrlRules(), max_bytes=1000, resolve=resolve)


async def test_the_connection_goes_to_what_was_checked() -> None:
    hosts = []

    async def answer(request: web.Request) -> web.Response:
        hosts.append(request.headers["Host"])
        return web.Response(text="here")

    resolved = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        resolved.append(host)
        return ["127.0.0.1"]

    async with serving(answer) as place:
        url = f"http://no-such-name.invalid:{place[1]}/a.txt"
        with await fetch(url, PRIVATE, max_bytes=1000, resolve=resolve) as bundle:
            assert os.pread(bundle.fd, 100, 0) == b"here"
    assert resolved == ["no-such-name.invalid"], "asked once, so there is nothing to rebind"
    assert hosts == [f"no-such-name.invalid:{place[1]}"]


async def test_each_hop_of_a_redirect_is_checked() -> None:
    async def resolve(host: str, _port: int) -> Sequence[str]:
        # The first hop passes for public; the test's server answers it all the same.
        return {"start.invalid": ["127.0.0.1"]}.get(host, ["169.254.169.254"])

    async def answer(_request: web.Request) -> web.Response:
        raise web.HTTPFound("http://metadata.invalid/latest")

    seen = []

    async def check(host: str, port: int) -> Sequence[str]:
        seen.append(host)
        return await resolve(host, port)

    async with serving(answer) as place:
        url = f"http://start.invalid:{place[1]}/"
        with pytest.raises(SourceError):
            await asyncio.wait_for(
                fetch(url, UrlRules(allow_private=True, seconds=50), max_bytes=1000, resolve=check),
                60,
            )
    assert seen == ["start.invalid", "metadata.invalid"]


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://example.org/", "gopher://x/", "http://u:p@127.0.0.1/"]
)
async def test_a_redirect_to_another_scheme_is_refused(target: str) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": target})

    async with serving(answer) as place:
        with pytest.raises((SourceError, BadRequestError)) as found:
            await fetch(address(place), PRIVATE, max_bytes=1000)
    assert "u:p" not in str(found.value)


async def test_redirects_end() -> None:
    async def answer(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.path + "x")

    async with serving(answer) as place:
        with pytest.raises(SourceError, match="redirects"):
            await fetch(address(place), PRIVATE, max_bytes=1000)


async def test_nothing_is_sent_that_could_be_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        response = web.HTTPFound("/b") if request.path == "/" else web.Response(text="x")
        response.set_cookie("session", "1")
        if isinstance(response, web.HTTPFound):
            raise response
        return response

    async with serving(answer) as place:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        (await fetch(address(place), PRIVATE, max_bytes=1000)).close()
    assert len(seen) == 2
    for headers in seen:
        assert not {"Cookie", "Authorization", "Referer"} & headers.keys()
    with pytest.raises(BadRequestError, match="Credentials"):
        await fetch("http://user:pw@example.org/", PRIVATE, max_bytes=1000)


async def test_what_is_too_large_or_too_slow_is_given_up() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(bytes(1 << 16))
        return response

    async with serving(endless) as place:
        with pytest.raises(SourceError, match="over 1,000,000 bytes"):
            await fetch(address(place), PRIVATE, max_bytes=1_000_000)
    forever = asyncio.Event()

    async def silent(_request: web.Request) -> web.Response:
        await forever.wait()
        return web.Response()

    async with serving(silent) as place:
        rules = UrlRules(allow_private=True, seconds=0.2)
        with pytest.raises(SourceError, match="within"):
            await fetch(address(place), rules, max_bytes=1000)
        forever.set()


async def test_failures_say_why() -> None:
    async def missing(_request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    async with serving(missing) as place:
        with pytest.raises(SourceError, match="status 404"):
            await fetch(address(place), PRIVATE, max_bytes=1000)
    with pytest.raises(SourceError, match="cannot be fetched"):
        await fetch("http://127.0.0.1:1/", PRIVATE, max_bytes=1000)
    with pytest.raises(SourceError, match="switched off"):
        await fetch("http://example.org/", UrlRules(enabled=False), max_bytes=1000)
    for url in ("http://", "http://a b/", "http://[::1/", "https://x:99999/"):
        with pytest.raises((BadRequestError, SourceError)):
            await fetch(url, PRIVATE, max_bytes=1000)


async def test_the_type_and_the_path_tell_the_format() -> None:
    async def answer(request: web.Request) -> web.Response:
        kind = request.query["type"]
        headers = {"Content-Type": kind}
        body = b"body"
        if request.query.get("gzip"):
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body)
        return web.Response(body=body, headers=headers)

    async with serving(answer) as place:
        for path, expected in (
            ("/data?type=text/csv", ("data.csv", None)),
            ("/page.php?type=text/html;charset=iso-8859-2", ("page.php.html", "iso-8859-2")),
            ("/a.json?type=text/html", ("a.json.html", None)),
            ("/a.jsonl?type=application/json", ("a.jsonl", None)),
            ("/a.csv?type=text/plain", ("a.csv", None)),
            ("/feed?type=application/rss%2Bxml", ("feed.xml", None)),
            ("/?type=application/octet-stream", ("index", None)),
            ("/t.txt?type=text/plain&gzip=1", ("t.txt.gz", None)),
        ):
            with await fetch(address(place, path), PRIVATE, max_bytes=1000) as bundle:
                assert (bundle.hint, bundle.charset) == expected, path


@contextlib.asynccontextmanager
async def saying(*pieces: bytes, forever: bytes = b"") -> AsyncIterator[tuple[str, int]]:
    """A server that says these bytes to whoever connects, and one of them again and again."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
            while forever:
                writer.write(forever)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()


async def test_a_resolver_that_lies_leads_nowhere() -> None:
    """A host that is a number is connected to without asking a resolver."""
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(text="secret")

    async def public(_host: str, _port: int) -> Sequence[str]:
        return ["93.184.215.14"]

    async with serving(answer) as place:
        with pytest.raises(SourceError, match="not the one that was checked"):
            await fetch(address(place), UrlRules(), max_bytes=1000, resolve=public)
    assert asked == []


async def test_what_is_checked_is_what_is_connected_to_at_each_hop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rlm_mcp.loaders._url.is_public", lambda text: text == "127.0.0.1")
    asked = []
    answers = iter([["127.0.0.1"], ["127.0.0.2"], ["127.0.0.1", "127.0.0.2"]])

    async def rebinding(_host: str, _port: int) -> Sequence[str]:
        return next(answers)

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound("/again")

    async with serving(answer) as place:
        # The name is public when it is asked for first, and local for the redirect to itself.
        url = f"http://rebinds.invalid:{place[1]}/first"
        with pytest.raises(SourceError, match="private or local network"):
            await fetch(url, UrlRules(), max_bytes=1000, resolve=rebinding)
        with pytest.raises(SourceError, match="private or local network"):
            await fetch(url, UrlRules(), max_bytes=1000, resolve=rebinding)
    assert asked == ["/first"]


@pytest.mark.parametrize(
    "host",
    ["[0:0:0:0:0:0:0:1]", "[0:0::1]", "[::ffff:7f00:1]", "[fe80::1%25lo]", "[::127.0.0.1]",
     "0177.0.0.1", "0x7f000001", "127.0.0.1.", "①②⑦.0.0.1", "127。0。0。1", "LOCALHOST",
     "example.org\\@127.0.0.1", "127.0.0.1\\.example.org"],
)  # fmt: skip
async def test_no_spelling_of_a_local_host_is_reached(host: str) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(text="secret")

    async with serving(answer) as place:
        with pytest.raises((SourceError, BadRequestError)):
            await fetch(f"http://{host}:{place[1]}/", UrlRules(), max_bytes=1000)
    assert asked == []


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://user:pw@example.org/a?n=1#top", "https://example.org/a?n=1"),
        ("https://example.org/?access_token=abc&q=x", "https://example.org/?access_token=***&q=x"),
        ("https://s3/x?X-Amz-Signature=abc", "https://s3/x?X-Amz-Signature=***"),
        ("https://example.org/?apiKey=&sig=", "https://example.org/?apiKey=&sig="),
        ("https://user:p/w@example.org/", "https://..."),
        ("http://[::1/?token=abc", "http://..."),
        ("ftp://user:pw@example.org/x", "ftp://example.org/x"),
        ("logs/a?token=abc", "logs/a?token=abc"),
    ],
)
def test_of_an_address_no_secret_is_kept(url: str, kept: str) -> None:
    assert public_form(url) == kept


async def test_a_length_that_is_a_lie_gives_no_half_of_a_page() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    async with saying(head + b"Content-Length: 500\r\n\r\n", b"only this") as place:
        with pytest.raises(SourceError, match="cannot be fetched"):
            await fetch(address(place), PRIVATE, max_bytes=1000)
    async with saying(head + b"Content-Length: 999999999999\r\n\r\n") as place:
        with pytest.raises(SourceError, match="over 1,000 bytes"):
            await fetch(address(place), PRIVATE, max_bytes=1000)
    for length in (b"-5", b"many", b"5, 6"):
        async with saying(head + b"Content-Length: " + length + b"\r\n\r\nhello") as place:
            with pytest.raises(SourceError, match="cannot be fetched"):
                await fetch(address(place), PRIVATE, max_bytes=1000)


@pytest.mark.parametrize(
    "forever",
    [b"X-More: and more\r\n", b"X", b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["headers", "one header", "continue"],
)
async def test_a_head_that_never_ends_is_given_up(forever: bytes) -> None:
    rules = UrlRules(allow_private=True, seconds=1)
    begin = b"" if forever.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n"
    async with saying(begin, forever=forever) as place:
        with pytest.raises(SourceError, match=r"within|cannot be fetched"):
            await fetch(address(place), rules, max_bytes=1000)


async def test_a_redirect_whose_body_never_ends_is_followed_all_the_same() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/end":
            return web.Response(text="here")
        response = web.StreamResponse(status=302, headers={"Location": "/end"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(bytes(1 << 16))
        return response

    async with serving(answer) as place:
        with await fetch(address(place), PRIVATE, max_bytes=1000) as bundle:
            assert os.pread(bundle.fd, 100, 0) == b"here"
            assert bundle.origin.note == f"redirected to {address(place, '/end')}"
