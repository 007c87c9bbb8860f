"""What a killed server was doing is in the record."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.lm import Answer, Request, ScriptedModel
from rlm_mcp.settings import Settings

from ..conftest import Connect
from .conftest import Recorded

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]

KILLED = """
import asyncio, os, signal, sqlite3, sys, threading
from dataclasses import replace
from pathlib import Path
from mcp.client.client import Client
from rlm_mcp.lm import ScriptedModel
from rlm_mcp.server import make_server
from rlm_mcp.settings import load_settings
from rlm_mcp.store import SpanTable

home = Path(sys.argv[1])
settings = replace(load_settings({"home": sys.argv[1], "cache": sys.argv[2], "space": "main"}))

written = threading.Event()
write = SpanTable.write

def write_and_tell(*arguments):
    write(*arguments)
    written.set()

SpanTable.write = write_and_tell

def die(request):
    if request.prompt.text == "first":
        return "fine"
    database = sqlite3.connect(home / "store.sqlite")
    states = "SELECT status FROM spans WHERE kind = 'sub_llm' ORDER BY started"
    while database.execute(states).fetchall() != [("ok",), ("running",)]:
        written.wait()
        written.clear()
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with Client(make_server(settings, ScriptedModel(die))) as client:
        await client.call_tool("exec_code", {"code": "x = 1"})
        await client.call_tool("exec_code", {"code": "sub_llm('first')\\nsub_llm('second')"})

asyncio.run(main())
"""


async def test_what_kill_9_ended_is_interrupted(
    settings: Settings, connect: Connect, recorded: Recorded
) -> None:
    command = [sys.executable, "-c", KILLED, str(settings.home), str(settings.cache)]
    killed = subprocess.run(command, cwd=ROOT, timeout=80)
    assert killed.returncode == -signal.SIGKILL
    before = recorded()
    assert [(span["kind"], span["status"]) for span in before] == [
        ("execution", "ok"), ("execution", "interrupted"), ("sub_llm", "ok"),
        ("sub_llm", "interrupted"),
    ]  # fmt: skip
    assert before[1]["seconds"] is None
    assert before[1]["detail"]["code"].startswith("sub_llm('first')")
    assert before[3]["parent"] == before[1]["id"]
    # The next server takes over, and what it does is not confused with that.
    async with connect() as agent:
        await agent.run("x = 2")
        assert [span["status"] for span in recorded()][:4] == [s["status"] for s in before]
    assert recorded()[:4] == before
    assert recorded()[4]["status"] == "ok"


class Waiting(ScriptedModel):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__(["done"])
        self.go = asyncio.Event()

    async def ask(self, request: Request) -> Answer:
        await self.go.wait()
        return await super().ask(request)


async def test_what_a_server_is_doing_is_running(connect: Connect, recorded: Recorded) -> None:
    model = Waiting()
    async with connect(model) as agent, asyncio.TaskGroup() as group:
        group.create_task(agent.run("sub_llm('x')"))
        while len(spans := await asyncio.to_thread(recorded)) < 2:
            pass  # it is written a moment after it began
        assert [(span["kind"], span["status"]) for span in spans] == [
            ("execution", "running"), ("sub_llm", "running"),
        ]  # fmt: skip
        model.go.set()
    assert [span["status"] for span in recorded()] == ["ok", "ok"]


async def test_a_call_that_its_client_gave_up_is_cancelled(
    connect: Connect, recorded: Recorded
) -> None:
    async with connect(Waiting()) as agent:
        call = asyncio.create_task(agent.run("sub_llm('x')"))
        while len(await asyncio.to_thread(recorded)) < 2:
            pass
        call.cancel()
        await asyncio.wait([call])
        while any(s["status"] == "running" for s in await asyncio.to_thread(recorded)):
            pass
    assert [span["status"] for span in recorded()] == ["cancelled", "cancelled"]
