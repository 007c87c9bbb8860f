"""Fixtures: the real sandbox, prepared once for the machine, and clients of a real server."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client

from rlm_mcp.lm import SubModel
from rlm_mcp.sandbox import Cache, Preparation
from rlm_mcp.server import make_server
from rlm_mcp.settings import Settings, load_settings
from rlm_mcp.space import Limits, Spaces
from rlm_mcp.store import Store

PATIENCE = 60.0
"""Seconds in which what comes soon has come, also on a machine that is slow and does other things
at the same time. What hangs takes longer."""
LATE = 20.0
"""Seconds after a deadline in which there must be a reply: it takes one of grace, and the opening
of the space in another worker."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Prepare the sandbox before there are processes of tests (`-n`), which cannot show it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what runs in the background so, and commands that are tested inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    distributed = session.config.getoption("numprocesses", default=None)
    if distributed and not hasattr(session.config, "workerinput"):
        prepare_sandbox(load_settings({}).cache)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Prepare the sandbox before the first test, so that no test's time limit counts it."""
    if any("sandbox_cache" in getattr(item, "fixturenames", ()) for item in session.items):
        prepare_sandbox(load_settings({}).cache)


def prepare_sandbox(folder: Path) -> None:
    """Make what the user's cache lacks; on a new machine this compiles the guest, once."""
    command = [sys.executable, "-P", "-m", "rlm_mcp.sandbox.prepare", str(folder)]
    said = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            text = told.get("error") or f"{told['text']} {told['part']:.0%}"
            if text != said:
                print(f"\r{text}   ", end="", file=sys.__stderr__, flush=True)
                said = text
    if process.returncode != 0:
        raise pytest.UsageError(said)


@pytest.fixture(scope="session")
def sandbox_cache() -> Cache:
    """The user's own cache, complete."""
    return Cache(load_settings({}).cache)


@pytest.fixture
def settings(tmp_path: Path, sandbox_cache: Cache) -> Settings:
    """Settings with a home of their own, and one allowed folder, `work`, for sources."""
    work = tmp_path / "work"
    work.mkdir()
    return Settings(home=tmp_path / "home", cache=sandbox_cache.folder, allow=(work,), space="main")


@pytest.fixture
def work(settings: Settings) -> Path:
    """The folder that sources are read from and targets written to."""
    return settings.allow[0]


@dataclass(frozen=True)
class Reply:
    """What the client of a tool sees."""

    text: str
    failed: bool


class Agent:
    """A client of the server, as an agent's harness is one."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, tool: str, /, **arguments: Any) -> Reply:
        """Call a tool."""
        result = await self.client.call_tool(tool, arguments)
        assert result.structured_content is None
        (content,) = result.content
        assert content.type == "text"
        return Reply(content.text, bool(result.is_error))

    async def run(self, code: str, /, **arguments: Any) -> str:
        """Run code that must work; returns the reply."""
        reply = await self.call("exec_code", code=code, **arguments)
        assert not reply.failed, reply.text
        return reply.text

    async def load(self, source: str, /, **arguments: Any) -> str:
        """Load a source that must load into the variable `v`; returns the reply."""
        reply = await self.call("load_variable", name="v", source=source, **arguments)
        assert not reply.failed, reply.text
        return reply.text

    async def stopped(self, code: str, /, timeout_s: float = 0.2) -> str:
        """Run code that must be ended at its deadline, and not before it has begun.

        A machine that is busy may not come to the code so soon; then it has more time.
        """
        for more in (1, 5, 25):
            begin = time.monotonic()
            text = await self.fails(
                "exec_code", code=f"print('begun')\n{code}", timeout_s=timeout_s * more
            )
            assert time.monotonic() - begin < timeout_s * more + LATE
            if "begun" in text or "LOST" in text:
                return text
        raise AssertionError(f"the code never began: {text}")

    async def fails(self, tool: str, /, **arguments: Any) -> str:
        """Call a tool in a way that must fail; returns the error."""
        reply = await self.call(tool, **arguments)
        assert reply.failed, reply.text
        return reply.text


Connect = Callable[..., AbstractAsyncContextManager[Agent]]


@pytest.fixture
def connect(settings: Settings) -> Connect:
    """Makes a server and a client of it, in this process, over the real protocol.

    Its arguments: `model` answers sub-LLM calls, `mode` is the era of the protocol, `limits`
    replace the space's, all others replace settings.
    """

    @contextlib.asynccontextmanager
    async def connect(
        model: SubModel | None = None,
        mode: str = "auto",
        limits: Limits | None = None,
        **changes: Any,
    ) -> AsyncIterator[Agent]:
        chosen = replace(settings, **changes)
        if limits is not None:
            chosen = replace(chosen, limits=limits)
        async with Client(make_server(chosen, model), mode=mode) as client:
            yield Agent(client)

    return connect


@pytest.fixture
async def agent(connect: Connect) -> AsyncIterator[Agent]:
    """A client of a server with the test's settings."""
    async with connect() as agent:
        yield agent


@pytest.fixture
async def spaces(settings: Settings) -> AsyncIterator[Spaces]:
    """The domain without a server above it."""
    store = Store(settings.home)
    preparation = Preparation(Cache(settings.cache))
    spaces = Spaces(store, preparation, settings.limits)
    yield spaces
    await spaces.close_all()
    await preparation.close()
