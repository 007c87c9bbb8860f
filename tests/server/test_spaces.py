"""Spaces: separate interpreters with histories that can be gone back in, forked and named."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

import anyio
import pytest

from rlm_mcp.lm import Answer, Request
from rlm_mcp.space import Limits, Spaces

from ..conftest import PATIENCE, Agent, Connect

pytestmark = pytest.mark.anyio


async def act(agent: Agent, action: str, **arguments: Any) -> str:
    reply = await agent.call("spaces", action=action, **arguments)
    assert not reply.failed, reply.text
    return reply.text


async def test_spaces_are_listed_opened_and_told_apart(agent: Agent) -> None:
    assert "no spaces yet" in await act(agent, "list")
    await agent.run("x = 'of main'")
    assert "new and empty" in await act(agent, "open", space="other")
    made = re.search(r"space (s-\w+) is new", await act(agent, "open"))
    assert made
    await agent.run("x = 'of other'", space="other")
    assert "=> 'of main'" in await agent.run("x")
    assert "=> 'of other'" in await agent.run("x", space="other")
    assert "NameError" in await agent.fails("exec_code", code="x", space=made[1])
    listed = await act(agent, "list")
    assert "main (this session's): open, 2 executions" in listed
    assert "other: open" in listed
    assert made[1] in listed
    assert "with all it held" in await act(agent, "open", space="other")


async def test_info_tells_variables_memory_and_history(agent: Agent) -> None:
    await agent.run("rows = [1, 2]; import json; _private = 1")
    await agent.call("load_variable", name="t", value="text")
    info = await act(agent, "info")
    assert "space main: 1 execution, memory" in info
    assert "variables (2):" in info
    assert "rows: list 2 items: [1, 2]" in info
    assert "load t" in info
    assert "rows = [1, 2]" in info
    assert "_private:" not in info
    for index in range(15):
        await agent.run(f"n = {index}")
    info = await act(agent, "info")
    assert "older commits" in info
    assert len(info) < 3000


async def test_a_space_that_is_unknown_or_closed_says_how_to_go_on(agent: Agent) -> None:
    await agent.run("x = 1")
    for tool, arguments in (
        ("exec_code", {"code": "1"}),
        ("peek", {"target": "x"}),
        ("load_variable", {"name": "v", "value": 1}),
        ("save_variable", {"name": "x", "path": "x.txt"}),
        ("spaces", {"action": "info"}),
        ("spaces", {"action": "undo"}),
        ("spaces", {"action": "close"}),
        ("spaces", {"action": "delete"}),
        ("spaces", {"action": "fork"}),
    ):
        text = await agent.fails(tool, space="nowhere", **arguments)
        assert "space `nowhere` does not exist. Open now: `main`" in text, tool
        assert 'action="open"' in text
    assert "closed and kept" in await act(agent, "close")
    text = await agent.fails("exec_code", code="x")
    assert "space `main` is closed" in text
    assert "closed" in await act(agent, "list")
    await act(agent, "open", space="main")
    assert "=> 1" in await agent.run("x")
    assert "cannot be the name" in await agent.fails("spaces", action="open", space="../etc")
    assert "cannot be the name" in await agent.fails("exec_code", code="1", space="a b")


async def test_undo_takes_back_each_step_and_can_be_taken_back(agent: Agent) -> None:
    await agent.run("rows = [1]")
    await agent.run("rows.append(2)")
    await agent.fails("exec_code", code="rows.append(3); 1 / 0")
    assert "=> [1, 2, 3]" in await agent.run("rows")
    await act(agent, "undo")
    text = await act(agent, "undo")
    assert "rows.append(3)" in text
    assert "=> [1, 2]" in await agent.run("rows")
    commit = re.search(r'commit=(\d+), space="main"', text)
    assert commit
    await act(agent, "restore", commit=int(commit[1]))
    assert "=> [1, 2, 3]" in await agent.run("rows")
    for _ in range(3):
        await act(agent, "undo")
    while True:
        reply = await agent.call("spaces", action="undo")
        if reply.failed:
            break
    assert "nothing to undo" in reply.text
    assert "NameError" in await agent.fails("exec_code", code="rows")


async def test_a_named_state_can_be_come_back_to(agent: Agent) -> None:
    await agent.run("x = 'good'")
    assert "checkpoint 'before' of space main" in await act(agent, "checkpoint", name="before")
    await agent.run("x = 'bad'")
    await agent.run("x = 'worse'")
    assert "before = " in await act(agent, "info")
    await act(agent, "restore", name="before")
    assert "=> 'good'" in await agent.run("x")
    assert "there are: before" in await agent.fails("spaces", action="restore", name="after")
    assert "no longer kept" in await agent.fails("spaces", action="restore", commit=999_999)
    assert "wants a name" in await agent.fails("spaces", action="checkpoint")
    assert "restore wants" in await agent.fails("spaces", action="restore")
    assert "=> 'good'" in await agent.run("x")


async def test_a_fork_has_everything_and_goes_its_own_way(agent: Agent) -> None:
    await agent.run("big = 'x' * 20_000_000; rows = [1]; gen = iter(range(5)); next(gen)")
    first = re.search(r"  (\d+): execution 1", await act(agent, "info"))
    assert first
    await agent.run("rows.append(2)")
    assert "fork of main" in await act(agent, "fork", name="try")
    await agent.run("rows.append('fork'); next(gen)", space="try")
    await agent.run("rows.append('main')")
    assert "=> ([1, 2, 'fork'], 2, 20000000)" in await agent.run(
        "rows, next(gen), len(big)", space="try"
    )
    assert "=> ([1, 2, 'main'], 1)" in await agent.run("rows, next(gen)")
    assert "exists already" in await agent.fails("spaces", action="fork", name="try")
    await act(agent, "fork", name="old", commit=int(first[1]))
    assert "=> [1]" in await agent.run("rows", space="old")
    assert "try: open, 4 executions" in await act(agent, "list")
    assert "deleted" in await act(agent, "delete", space="main")
    assert "=> 20000000" in await agent.run("len(big)", space="try")


async def test_forks_draw_different_random_numbers(agent: Agent) -> None:
    await agent.run("import random, numpy as np; random.seed(1); np.random.seed(1)")
    await act(agent, "fork", name="a")
    await act(agent, "fork", name="b")
    code = "random.random(), np.random.rand()"
    replies = [await agent.run(code, space=space) for space in ("a", "b", "main")]
    shown = [reply.partition("\n")[0] for reply in replies]
    assert len(set(shown)) == 3


async def test_delete_is_for_good_and_wants_a_name(agent: Agent) -> None:
    await agent.run("x = 1")
    assert "by name" in await agent.fails("spaces", action="delete")
    assert "=> 1" in await agent.run("x")
    await act(agent, "delete", space="main")
    assert "no spaces" in await act(agent, "list")
    assert "NameError" in await agent.fails("exec_code", code="x")


async def test_a_space_is_still_there_for_the_next_server(connect: Connect) -> None:
    async with connect() as agent:
        await agent.run(
            "class Kept:\n    def twice(self): return 2 * self.n\n"
            "k = Kept(); k.n = 21; add = (lambda y: lambda x: x + y)(5)\n"
            "import re; p = re.compile('a+')"
        )
        await act(agent, "checkpoint", name="here")
        await agent.run("k.n = 0")
    async with connect() as agent:
        assert "main (this session's): closed" in await act(agent, "list")
        assert "=> (0, 6, 'aa')" in await agent.run("k.twice(), add(1), p.match('aab')[0]")
        await act(agent, "restore", name="here")
        assert "=> 42" in await agent.run("k.twice()")


async def test_a_second_server_gets_an_error_that_offers_a_fork_and_the_fork_works(
    connect: Connect,
) -> None:
    async with connect() as first:
        await first.run("x = 'held'")
        await act(first, "info")
        async with connect() as second:
            text = await second.fails("exec_code", code="x")
            assert "in use by another server" in text
            offered = re.search(r'spaces\(action="fork", space="(\w+)"\)', text)
            assert offered
            text = await act(second, "fork", space=offered[1])
            fork = re.search(r'space="([^"]+)"', text)
            assert fork
            assert "=> 'held'" in await second.run("x", space=fork[1])
            assert "in use" in await second.fails("spaces", action="delete", space="main")
        assert "=> 'held'" in await first.run("x")
    async with connect() as second:
        assert "=> 'held'" in await second.run("x")


class _Meeting:
    """A model that answers when so many calls wait for it at once."""

    def __init__(self, parties: int) -> None:
        self.left, self.all_here = parties, anyio.Event()

    async def ask(self, request: Request) -> Answer:
        self.left -= 1
        if self.left <= 0:
            self.all_here.set()
        await self.all_here.wait()
        return Answer("met")

    async def aclose(self) -> None: ...


async def test_two_spaces_run_at_the_same_time(connect: Connect) -> None:
    async with connect(_Meeting(2)) as agent:
        await act(agent, "open", space="other")
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                # Neither ends before the other has begun.
                group.start_soon(agent.run, "x = sub_llm('main')")
                group.start_soon(lambda: agent.run("x = sub_llm('other')", space="other"))
        assert "=> 'met'" in await agent.run("x")


async def test_calls_to_one_space_are_carried_out_in_order(connect: Connect) -> None:
    async with connect() as agent:
        await agent.run("seen = []")
        async with anyio.create_task_group() as group:
            for index in range(10):
                group.start_soon(agent.run, f"import time; time.sleep(0.01); seen.append({index})")
                await agent.call("spaces")
        assert "=> [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" in await agent.run("seen")


async def test_more_spaces_than_workers_take_turns(connect: Connect) -> None:
    async with connect(limits=Limits(running=2)) as agent:
        for index in range(5):
            await act(agent, "open", space=f"s{index}")
            await agent.run(f"x = {index}", space=f"s{index}")
        for index in range(5):
            assert f"=> {index}" in await agent.run("x", space=f"s{index}")


async def test_the_number_of_spaces_is_limited(connect: Connect) -> None:
    async with connect(limits=Limits(spaces=2)) as agent:
        await act(agent, "open", space="a")
        await act(agent, "open", space="b")
        text = await agent.fails("spaces", action="open", space="c")
        assert "the limit is 2" in text
        assert "delete" in text
        await act(agent, "delete", space="a")
        await act(agent, "open", space="c")


async def test_an_execution_is_not_lost_when_the_worker_is_killed_after_it(spaces: Spaces) -> None:
    await spaces.open("main")
    space = await spaces.use("main")
    await space.execute("x = 1", timeout_s=5, keep_chars=100)
    await space.settled()
    for _ in range(3):
        assert space.pid
        os.kill(space.pid, signal.SIGKILL)
        # The next call may be the one that finds out; the one after that finds the space whole.
        await space.execute("x", timeout_s=5, keep_chars=100)
        execution = await space.execute("x", timeout_s=5, keep_chars=100)
        assert execution.value == "1"
