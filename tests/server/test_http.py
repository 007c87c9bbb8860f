"""`rlm-mcp serve --http` as a process: several clients, the token, and the end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import anyio
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from rlm_mcp.settings import Settings

pytestmark = pytest.mark.anyio

TOKEN = "a-token-for-the-tests"


@dataclass
class Served:
    process: subprocess.Popen[str]
    url: str
    line: str


@contextlib.contextmanager
def serving(
    settings: Settings, token: str | None = TOKEN, http: str = "127.0.0.1:0"
) -> Iterator[Served]:
    environ = {name: value for name, value in os.environ.items() if name != "RLM_MCP_HTTP_TOKEN"}
    if token is not None:
        environ["RLM_MCP_HTTP_TOKEN"] = token
    process = subprocess.Popen(
        [
            sys.executable, "-c", "from rlm_mcp.cli import main; main()", "serve", "--http", http,
            "--home", str(settings.home), "--cache", str(settings.cache),
            "--allow", str(settings.allow[0]), "--space", "main",
        ],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environ,
        cwd=settings.allow[0],
    )  # fmt: skip
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.match(r"rlm-mcp: (\S+), token (.+)", line)
        yield Served(process, found[1] if found else "", line)
    finally:
        process.kill()
        process.communicate()


@contextlib.asynccontextmanager
async def client(served: Served, token: str = TOKEN, mode: str = "auto") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(served.url, http_client=http), mode=mode) as found,
    ):
        yield found


async def run(agent: Client, code: str) -> str:
    result = await agent.call_tool("exec_code", {"code": code})
    (content,) = result.content
    assert content.type == "text"
    assert not result.is_error, content.text
    return content.text


async def test_clients_share_the_spaces_of_one_server(settings: Settings) -> None:
    with serving(settings) as served:
        async with client(served) as first, client(served, mode="legacy") as second:
            assert len((await first.list_tools()).tools) >= 6
            await run(first, "shared = 6 * 7")
            assert "=> 42" in await run(second, "shared")


async def test_without_the_token_nothing_is_answered(settings: Settings) -> None:
    with serving(settings) as served:
        async with httpx2.AsyncClient(timeout=30) as http:
            for headers in ({}, {"Authorization": "Bearer no"}, {"Authorization": TOKEN}):
                reply = await http.post(served.url, json={"jsonrpc": "2.0"}, headers=headers)
                assert reply.status_code == 401
                assert reply.headers["www-authenticate"] == "Bearer"
                assert "Authorization: Bearer TOKEN" in reply.text
            # Of two, another program on the way may have looked at the other.
            right, wrong = ("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer no")
            for both in ([right, wrong], [wrong, right], [right, right]):
                reply = await http.post(served.url, json={"jsonrpc": "2.0"}, headers=both)
                assert reply.status_code == 401
            reply = await http.post(f"{served.url}?token={TOKEN}", json={"jsonrpc": "2.0"})
            assert reply.status_code == 401
            # The name of the scheme is written in any case.
            lower = {"Authorization": f"bearer {TOKEN}"}
            reply = await http.post(served.url, json={"jsonrpc": "2.0"}, headers=lower)
            assert reply.status_code != 401
            # A page in a browser, which a name that was bound anew leads here.
            headers = {"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"}
            reply = await http.post(served.url, json={"jsonrpc": "2.0"}, headers=headers)
            assert reply.status_code == 421
        async with client(served) as agent:
            assert "=> 1" in await run(agent, "1")


async def test_a_token_is_made_once_for_its_owner_and_never_shown(settings: Settings) -> None:
    tokens = []
    for _ in range(2):
        with serving(settings, token=None) as served:
            path = settings.home / "http-token"
            assert f"token in {path}" in served.line
            tokens.append(path.read_text())
            assert tokens[-1] not in served.line
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            async with client(served, tokens[-1]) as agent:
                assert "=> 1" in await run(agent, "1")
    assert tokens[0] == tokens[1]
    assert len(tokens[0]) >= 32


async def test_it_ends_with_its_spaces_closed_when_it_is_told_to(settings: Settings) -> None:
    with serving(settings) as served:
        async with client(served) as agent:
            await run(agent, "kept = 'still here'")
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(30) == 0
    with serving(settings) as again:
        async with client(again) as agent:
            assert "still here" in await run(agent, "kept")


async def test_told_to_end_while_code_runs_it_says_so_and_keeps_what_was_committed(
    settings: Settings,
) -> None:
    with serving(settings) as served:
        async with client(served) as agent:
            await run(agent, "kept = 'still here'")
            begun = anyio.Event()

            async def told(progress: float, total: float | None, message: str | None) -> None:
                begun.set()

            async def loop() -> None:
                code = "kept = 'lost'\nwhile True: pass"
                with pytest.raises(MCPError):
                    await agent.call_tool("exec_code", {"code": code}, progress_callback=told)

            async with anyio.create_task_group() as group:
                group.start_soon(loop)
                await begun.wait()
                served.process.send_signal(signal.SIGTERM)
        assert await anyio.to_thread.run_sync(served.process.wait, 30) == 0
        assert served.process.stderr is not None
        assert "Traceback" not in served.process.stderr.read()
    with serving(settings) as again:
        async with client(again) as agent:
            assert "still here" in await run(agent, "kept")


@pytest.mark.parametrize(
    ("http", "token", "why"),
    [
        ("8765", TOKEN, "--http wants HOST:PORT, such as 127.0.0.1:8765"),
        ("127.0.0.1:99999", TOKEN, "--http wants HOST:PORT"),
        ("192.0.2.1:0", TOKEN, "cannot listen on 192.0.2.1:0"),
        ("no-such-host.invalid:0", TOKEN, "cannot listen on no-such-host.invalid:0"),
        ("127.0.0.1:0", "short", "RLM_MCP_HTTP_TOKEN must have at least 16"),
    ],
)
async def test_what_cannot_be_served_is_said_in_a_line(
    settings: Settings, http: str, token: str, why: str
) -> None:
    with serving(settings, token, http) as served:
        assert served.process.wait(30) == 1
        assert why in served.line
        assert "Traceback" not in served.line
