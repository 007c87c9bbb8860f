"""Sources beyond files: addresses and declared commands, through the server."""

from __future__ import annotations

import gzip
import sys
import zlib
from pathlib import Path

import pytest
from aiohttp import web

from rlm_mcp.loaders import UrlRules, read_commands
from rlm_mcp.settings import Settings

from .. import documents as docs
from ..conftest import Agent, Connect
from ..loaders.test_url import address, serving

pytestmark = pytest.mark.anyio


async def test_an_address_becomes_the_value_of_its_type(connect: Connect) -> None:
    answers = {
        "/page": (
            "text/html; charset=iso-8859-2",
            "<title>Łódź</title><p>Łódź".encode("iso-8859-2"),
        ),
        # A charset means nothing for what is no text.
        "/report": ("application/pdf; charset=iso-8859-1", docs.pdf("From the web")),
        "/conf.yaml": ("text/yaml; charset=iso-8859-1", "name: é".encode("latin-1")),
        "/rows": ("application/json", b'[{"a": 1}]'),
        "/text.txt": ("text/plain; charset=utf-16-le", "wide é".encode("utf-16-le")),
        "/a.zip": ("application/zip", docs.zipped({"a.py": "x = 1", "b.md": "#"})),
    }

    async def answer(request: web.Request) -> web.Response:
        kind, body = answers[request.path]
        if request.path == "/rows":
            headers = {"Content-Type": kind, "Content-Encoding": "gzip"}
            return web.Response(body=gzip.compress(body), headers=headers)
        return web.Response(body=body, headers={"Content-Type": kind})

    async with serving(answer) as place, connect(urls=UrlRules(allow_private=True)) as agent:
        for path, code, expected, options in (
            ("/page", "(str(v), v.title)", "('Łódź', 'Łódź')", {}),
            ("/report", "v", "['From the web']", {}),
            ("/conf.yaml", "v", "{'name': 'é'}", {}),
            ("/rows", "v", "[{'a': 1}]", {}),
            ("/text.txt", "v", "'wide é'", {}),
            ("/a.zip", "v", "{'a.py': 'x = 1'}", {"pattern": "*.py"}),
        ):
            reply = await agent.call(
                "load_variable", name="v", source=address(place, path), **options
            )
            assert not reply.failed, reply.text
            assert f"=> {expected}" in await agent.run(code), path


async def test_a_local_address_is_refused_unless_allowed(agent: Agent) -> None:
    await agent.run("v = 'before'")
    for url in ("http://127.0.0.1:9/", "http://localhost:9/", "https://[::1]:9/"):
        text = await agent.fails("load_variable", name="v", source=url)
        assert "private or local network" in text, text
    assert "=> 'before'" in await agent.run("v")


async def test_a_declared_command_is_loaded_in_its_format(connect: Connect, work: Path) -> None:
    code = "import json, sys; print(json.dumps({'at': sys.argv[1]}))"
    table = {"rows": {"run": [sys.executable, "-c", code, "{at}"], "format": "jsonl"}}
    async with connect(commands=read_commands(table, "test.toml")) as agent:
        reply = await agent.call("load_variable", name="v", source="command:rows?at=a%20b")
        assert not reply.failed, reply.text
        assert "=> [{'at': 'a b'}]" in await agent.run("v")
        await agent.call("load_variable", name="v", source="command:rows?at=x", format="text")
        assert '=> \'{"at": "x"}\\n\'' in await agent.run("v")
        text = await agent.fails("load_variable", name="v", source="command:other")
        assert "command:rows?at=..." in text


async def test_an_answer_that_unpacks_to_far_more_is_refused(connect: Connect) -> None:
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 20)
    bomb = b"".join([packer.compress(zeros) for _ in range(80)]) + packer.flush()

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with serving(answer) as place, connect(urls=UrlRules(allow_private=True)) as agent:
        await agent.run("v = 'before'")
        text = await agent.fails("load_variable", name="v", source=address(place, "/a.txt"))
        assert "archive bomb" in text
        assert "=> 'before'" in await agent.run("v")


async def test_no_secret_of_an_address_is_said_or_kept(
    connect: Connect, settings: Settings
) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/missing":
            raise web.HTTPNotFound
        return web.Response(text="needle")

    said = []
    async with serving(answer) as place, connect(urls=UrlRules(allow_private=True)) as agent:
        there = address(place, "/a?token=SECRET1&n=1#SECRET2")
        for source in (
            there,
            there.replace("/a", "/missing"),
            there.replace("//", "//me:SECRET3@"),
            there.replace("//", "//me:SEC/RET3@"),
            "ftp://me:SECRET3@example.org/",
        ):
            reply = await agent.call("load_variable", name="v", source=source)
            said.append(reply.text)
        said.append(await agent.run("cite(grep('needle', v)[0]), source_of('v'), evidence()"))
        assert "/a?token=***&n=1:1 (sha256" in said[-1]
    kept = [path.read_bytes() for path in sorted(settings.home.rglob("*")) if path.is_file()]
    for secret in ("SECRET1", "SECRET2", "SECRET3", "SEC/RET3"):
        assert not [text for text in said if secret in text], secret
        assert not [data for data in kept if secret.encode() in data], secret
