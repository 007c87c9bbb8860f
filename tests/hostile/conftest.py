"""An arena: hostile code in one space, with another space beside it that must not notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from rlm_mcp.lm import ScriptedModel
from rlm_mcp.space import Limits

from ..conftest import LATE, PATIENCE, Agent, Connect

SLOW = 3.0
"""Seconds in which this process, the server, may be busy while a neighbour waits for one reply. A
server that is held up shows as many times that; a machine that does other things too does not."""


class Arena:
    """Runs hostile code in the space `main`, where `kept` is 41, and looks what it did."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.slowest = 0.0

    async def attack(self, code: str, *, timeout_s: float = 60, keeps: bool = True) -> str:
        """Run code, then check that the space, the server and the neighbour are as before.

        Args:
            code: Python.
            timeout_s: its deadline; a reply that does not come soon after it is a failure.
            keeps: whether `kept` is looked at afterwards.
        """
        begin = time.monotonic()
        reply = await self.agent.call("exec_code", code=code, timeout_s=timeout_s)
        late = time.monotonic() - begin - timeout_s
        assert late < LATE, f"{late:.1f} s after the deadline: {code}"
        assert len(reply.text) <= 20_000
        assert "the server failed" not in reply.text, reply.text
        if keeps:
            text = await self.agent.run("kept")
            assert "=> 41" in text, f"{code}\n{reply.text}\n{text}"
        assert self.slowest < SLOW, f"the neighbour waited {self.slowest:.1f} s: {code}"
        return reply.text

    async def stop(self, code: str, timeout_s: float = 0.25) -> str:
        """Attack with code that is ended at its deadline, and not before it has begun."""
        for more in (1, 5, 25):
            text = await self.attack(f"print('begun')\n{code}", timeout_s=timeout_s * more)
            if "begun" in text or "LOST" in text:
                return text
        raise AssertionError(f"the code never began: {text}")

    async def watch(self) -> None:
        """Use the neighbour without end."""
        while True:
            begin = time.monotonic(), time.process_time()
            reply = await self.agent.call("exec_code", code="len(mine)", space="neighbour")
            waited, worked = time.monotonic() - begin[0], time.process_time() - begin[1]
            assert waited < PATIENCE, f"the neighbour waited {waited:.1f} s"
            self.slowest = max(self.slowest, min(waited, worked))
            assert "=> 3" in reply.text, reply.text
            await asyncio.sleep(0.05)


@pytest.fixture
async def arena(connect: Connect) -> AsyncIterator[Arena]:
    """A server with little memory for each space."""
    model = ScriptedModel(lambda request: "ok")
    async with connect(model, limits=Limits(memory_mb=256)) as agent:
        await agent.call("spaces", action="open", space="neighbour")
        await agent.run("mine = [1, 2, 3]", space="neighbour")
        await agent.run("kept = 41")
        arena = Arena(agent)
        watching = asyncio.ensure_future(arena.watch())
        yield arena
        if watching.done():
            watching.result()
        watching.cancel()
        await asyncio.wait([watching])
        assert "=> [1, 2, 3]" in await agent.run("mine", space="neighbour")
