"""`pmap`: a function over many items on forks of the space."""

import threading
from typing import Any

import pytest
from anyio import to_thread

from rlm_mcp.lm import ScriptedModel
from rlm_mcp.server._call import Call
from rlm_mcp.server._operations import OPERATIONS
from rlm_mcp.space import Space

from ..conftest import Agent, Connect

pytestmark = pytest.mark.anyio


async def test_results_come_in_order_and_forks_see_what_the_space_holds(agent: Agent) -> None:
    await agent.run("big = 'x' * 5_000_000\nbase = 10")
    code = (
        "K = 5\ndef g(x): return x * K + base\ndef f(x): return g(x) + len(big)\npmap(f, range(4))"
    )
    assert "=> [5000010, 5000015, 5000020, 5000025]" in await agent.run(code)
    assert "=> [4, 5]" in await agent.run(
        "def with_closure():\n    z = 3\n    return pmap(lambda x: x + z, [1, 2])\nwith_closure()"
    )
    assert "=> []" in await agent.run("pmap(f, [])")


async def test_objects_keep_their_class_on_the_way_there_and_back(agent: Agent) -> None:
    await agent.run("class Old:\n    def __init__(self, v): self.v = v")
    code = (
        "class New(Old): pass\n"
        "made = pmap(lambda o: New(o.v + 1), [Old(1), New(2)])\n"
        "[type(o) is New for o in made], [o.v for o in made]"
    )
    assert "=> ([True, True], [2, 3])" in await agent.run(code)


async def test_what_forks_change_stays_in_them(agent: Agent) -> None:
    await agent.run("seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)")
    await agent.run("pmap(f, range(4))")
    assert "=> []" in await agent.run("seen")


async def test_an_exception_is_raised_or_returned_with_its_own_type(agent: Agent) -> None:
    text = await agent.fails("exec_code", code="pmap(lambda x: 1 / x, [1, 0])")
    assert "ZeroDivisionError" in text
    assert "in pmap, item 1" in text
    reply = await agent.run("pmap(lambda x: 1 / x, [1, 0], on_error='return')")
    assert "=> [1.0, ZeroDivisionError('division by zero')]" in reply
    assert "cannot be pickled" in await agent.fails(
        "exec_code", code="pmap(lambda x: x, [(n for n in 'ab')])"
    )
    assert "pmap inside pmap" in await agent.fails(
        "exec_code", code="pmap(lambda x: pmap(str, [x]), [1])"
    )


async def test_a_fork_that_is_lost_costs_its_items_and_not_the_space(agent: Agent) -> None:
    await agent.run("import os\nkept = 1\ndef f(x):\n    if x == 1: os._exit(3)\n    return x")
    reply = await agent.run("[str(r)[:20] for r in pmap(f, [0, 1], on_error='return')]")
    assert "the fork was lost" in reply
    assert "=> 1" in await agent.run("kept")


async def test_the_deadline_reaches_the_forks(agent: Agent) -> None:
    await agent.run("def slow(n):\n    while True: pass")
    text = await agent.fails("exec_code", code="kept = 1\npmap(slow, range(4))", timeout_s=1)
    assert "STOPPED" in text
    assert "=> 1" in await agent.run("kept")


async def test_forks_draw_different_random_numbers(agent: Agent) -> None:
    code = "import random\nlen(set(pmap(lambda _: random.random(), range(2), workers=2)))"
    await agent.run("import random; random.random()")
    assert "=> 2" in await agent.run(code)


async def test_what_a_helper_made_in_the_same_execution_goes_along(agent: Agent) -> None:
    code = "hits = grep('b', 'a\\nb\\nb')\npmap(lambda at: hits[at].line, range(2))"
    assert "=> [2, 3]" in await agent.run(code)


async def test_calls_that_forks_await_at_once_are_all_counted(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)
    wait = OPERATIONS["sub_llm_wait"]

    async def come(call: Call, space: Space, fields: dict[str, Any]) -> dict[str, Any]:
        if fields["new"]:
            await to_thread.run_sync(both.wait, 30)
        return await wait(call, space, fields)

    monkeypatch.setitem(OPERATIONS, "sub_llm_wait", come)
    code = (
        "async def ask(n): return await asub_llm(n)\n"
        "pmap(lambda n: asyncio.run(ask(n)), 'ab', workers=2)"
    )
    async with connect(ScriptedModel(lambda request: request.prompt.text.upper())) as agent:
        reply = await agent.run(f"import asyncio\n{code}")
    assert "=> ['A', 'B']" in reply
    assert "2 sub-LLM calls" in reply
