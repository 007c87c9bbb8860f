"""One space and another: nothing crosses but what is asked for."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import anyio
import pytest

from rlm_mcp.space import Limits, Spaces

from ..conftest import LATE, PATIENCE, Connect
from .conftest import SLOW, Arena

pytestmark = pytest.mark.anyio


async def test_a_worker_killed_at_work_costs_its_execution_only(
    opened: list[Spaces], arena: Arena
) -> None:
    for _ in range(2):
        running = asyncio.ensure_future(
            arena.agent.call("exec_code", code="kept = 0\nwhile True: pass")
        )
        os.kill(await at_work(opened), signal.SIGKILL)
        text = (await running).text
        assert "LOST" in text
        assert "process died" in text
        assert "=> 41" in await arena.agent.run("kept")


async def test_a_worker_that_is_halted_is_ended_at_the_deadline(
    opened: list[Spaces], arena: Arena
) -> None:
    running = asyncio.ensure_future(
        arena.agent.call("exec_code", code="kept = 0\nwhile True: pass", timeout_s=3)
    )
    os.kill(await at_work(opened), signal.SIGSTOP)
    begin = time.monotonic()
    assert "LOST" in (await running).text
    assert time.monotonic() - begin < LATE
    assert "=> 41" in await arena.agent.run("kept")


async def test_spaces_that_all_misbehave_leave_one_that_answers(connect: Connect) -> None:
    async with connect(limits=Limits(memory_mb=256, running=4)) as agent:
        for name in ("neighbour", "a", "b"):
            await agent.call("spaces", action="open", space=name)
        await agent.run("mine = [1, 2, 3]", space="neighbour")
        arena = Arena(agent)
        watching = asyncio.ensure_future(arena.watch())
        bombs = (
            "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
            "a = []\nwhile True: a.append(bytes(10 ** 6))",
        )
        await asyncio.gather(
            *(
                agent.call("exec_code", code=code, space=name, timeout_s=0.5)
                for name, code in zip(("a", "b"), bombs, strict=True)
            )
        )
        watching.cancel()
        assert arena.slowest < SLOW


async def test_handles_are_no_paths_and_names_of_others_do_not_help(arena: Arena) -> None:
    for handle in (
        "../x",
        "/etc",
        "a/b",
        "",
        ".",
        "x\0y",
        "a" * 100,
        "neighbour ",
        "..",
        "-x",
        "é",
    ):
        for tool, given in (
            ("exec_code", {"code": "1"}),
            ("spaces", {"action": "open"}),
            ("spaces", {"action": "delete"}),
            ("peek", {"target": "kept"}),
        ):
            reply = await arena.agent.call(tool, space=handle, **given)
            if handle:  # the empty one is the session's own
                assert reply.failed, (handle, tool)
                assert "the server failed" not in reply.text
    assert "NameError" in await arena.agent.fails("exec_code", code="mine")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Spaces]:
    """The spaces of servers that the test makes after this."""
    found: list[Spaces] = []
    make = Spaces.__init__

    def note(self: Spaces, *arguments: Any) -> None:
        found.append(self)
        make(self, *arguments)

    monkeypatch.setattr(Spaces, "__init__", note)
    return found


async def at_work(opened: list[Spaces]) -> int:
    """The worker of the space `main`, once it runs code."""
    space = opened[0].find("main")
    assert space is not None
    assert space.pid
    begun = cpu_of(space.pid)
    with anyio.fail_after(PATIENCE):
        while cpu_of(space.pid) < begun + 10:
            await anyio.lowlevel.checkpoint()
    return space.pid


def cpu_of(pid: int) -> int:
    """Hundredths of a second that a process has run."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
