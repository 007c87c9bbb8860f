"""Code that has to be stopped: softly, with its variables kept, or hard, back at the commit."""

from __future__ import annotations

import anyio
import pytest

from rlm_mcp.lm import Answer, Request
from rlm_mcp.space import Limits

from ..conftest import Agent, Connect

pytestmark = pytest.mark.anyio


async def test_what_runs_python_code_stops_softly_and_keeps_what_it_did(agent: Agent) -> None:
    for index, body in enumerate(
        (
            "while True: pass",
            "for _ in range(10**12): pass",
            "while True:\n    try: 1 / 0\n    except Exception: pass",
            "import time; time.sleep(1000)",
            "def g():\n    while True: yield 1\nfor _ in g(): pass",
            "import re; re.match('(a+)+$', 'a' * 40 + 'b')",
            "while True: print('flood')",
            "class W:\n    def __repr__(self):\n        while True: pass\nW()",
            "sorted(range(10**6), key=lambda x: sum(range(x)))",
            "while True: sub_llm_map([])",
        )
    ):
        text = await agent.stopped(f"n = {index}\n{body}")
        assert "STOPPED" in text, (body, text)
        assert "timeout_s" in text
        assert "begun" in text
        assert f"=> {index}" in await agent.run("n"), body


async def test_a_finally_block_still_runs(agent: Agent) -> None:
    text = await agent.stopped("try:\n    while True: pass\nfinally:\n    done = 1")
    assert "STOPPED" in text
    assert "+ done: int 1" in text


async def test_what_swallows_the_exception_is_ended_and_the_space_is_as_before(
    agent: Agent,
) -> None:
    await agent.run("keep = [1]")
    swallow = (
        "keep.append(2)\n"
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    )
    text = await agent.stopped(swallow)
    assert "LOST" in text
    assert "as it was before" in text
    assert "=> [1]" in await agent.run("keep")
    assert "+ after" in await agent.run("after = 1")
    assert "=> ([1], 1)" in await agent.run("keep, after")


async def test_one_long_call_into_c_is_ended(agent: Agent) -> None:
    await agent.run("keep = 1")
    text = await agent.stopped("lost = 1\nsum(range(10**12))")
    assert "LOST" in text
    assert "timeout_s" in text
    assert "=> (1, False)" in await agent.run("keep, 'lost' in globals()")


async def test_an_exit_of_the_interpreter_gives_the_last_commit_and_says_so(agent: Agent) -> None:
    await agent.run("keep = 1")
    for code, cause in (
        ("import os; os._exit(3)", "exit 3"),
        ("import os; os.abort()", "crashed"),
    ):
        text = await agent.fails("exec_code", code="keep = 2\n" + code)
        assert "LOST" in text
        assert cause in text, text
        assert "=> 1" in await agent.run("keep")


async def test_recursion_without_a_limit_ends_in_an_error_or_the_last_commit(
    connect: Connect,
) -> None:
    async with connect(limits=Limits(memory_mb=256)) as agent:
        await agent.run("keep = 1")
        code = "import sys; sys.setrecursionlimit(10**9)\ndef f(): f()\nf()"
        text = await agent.fails("exec_code", code=code, timeout_s=20)
        assert "LOST" in text or "Error" in text
        assert "=> 1" in await agent.run("keep")


async def test_a_late_stop_never_hits_the_next_turn(agent: Agent) -> None:
    await agent.run("import time")
    for index in range(20):
        # It ends about when its time is over: sometimes before, sometimes after.
        await agent.call("exec_code", code="time.sleep(0.1)", timeout_s=0.1 + (index - 10) / 2000)
        assert f"=> {index}" in await agent.run(f"sum(1 for _ in range({index}))")
        if index % 5 == 0:
            assert "STOPPED" in await agent.stopped("while True: pass", 0.05)
            assert not (await agent.call("peek", target="index")).text.startswith("STOPPED")


async def test_waiting_for_a_sub_llm_does_not_count_as_time_of_the_code(
    connect: Connect,
) -> None:
    async with connect(_Slow()) as agent:
        reply = await agent.run("sub_llm('x')", timeout_s=1)
        assert "=> 'slow'" in reply
        assert "STOPPED" in await agent.stopped("sub_llm('x')\nwhile True: pass", 0.3)


class _Slow:
    """A model that takes longer than the code may."""

    async def ask(self, request: Request) -> Answer:
        await anyio.sleep(1.2)
        return Answer("slow")

    async def aclose(self) -> None: ...


async def test_the_longest_time_that_may_be_asked_for_is_limited(connect: Connect) -> None:
    async with connect(limits=Limits(timeout_s=0.3)) as agent:
        assert "STOPPED" in await agent.stopped("while True: pass", timeout_s=3600)


async def test_one_space_that_runs_away_does_not_hold_up_another(connect: Connect) -> None:
    async with connect() as agent:
        await agent.call("spaces", action="open", space="other")
        await agent.run("1", space="other")
        ended = anyio.Event()

        async def run_away() -> None:
            code = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
            await agent.call("exec_code", code=code)
            ended.set()

        async with anyio.create_task_group() as group:
            group.start_soon(run_away)
            for index in range(10):
                assert f"=> {index}" in await agent.run(str(index), space="other")
            assert not ended.is_set()
            group.cancel_scope.cancel()
        assert "=> 1" in await agent.run("1")
