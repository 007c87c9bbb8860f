"""`load_variable(source="space:OTHER/NAME")` copies a value from one space to another."""

from __future__ import annotations

import pytest

from ..conftest import Agent

pytestmark = pytest.mark.anyio


async def copy(agent: Agent, name: str, target: str) -> str:
    reply = await agent.call("load_variable", name=name, source=f"space:other/{target}")
    assert not reply.failed, reply.text
    return reply.text


async def test_values_of_own_classes_and_functions_are_copied(agent: Agent) -> None:
    await agent.call("spaces", action="open", space="other")
    await agent.run(
        "import pandas as pd\n"
        "class Point:\n    def __init__(self, x): self.x = x\n"
        "    def twice(self): return 2 * self.x\n"
        "point = Point(21)\nrate = 3\ndef scale(n): return n * rate\n"
        "data = {'rows': [1, 2, 3]}\nframe = pd.DataFrame({'a': [1, 2]})",
        space="other",
    )
    await copy(agent, "p", "point")
    assert "=> (42, 'Point')" in await agent.run("p.twice(), type(p).__name__")
    await copy(agent, "f", "scale")
    assert "=> 30" in await agent.run("f(10)")
    assert "list 3 items" in await copy(agent, "rows", 'data["rows"]')
    assert "DataFrame 2 rows" in await copy(agent, "frame", "frame")
    await agent.run("rows.append(4)")
    assert "=> [1, 2, 3]" in await agent.run("data['rows']", space="other")


async def test_what_cannot_be_copied_is_an_error_that_says_why(agent: Agent) -> None:
    await agent.call("spaces", action="open", space="other")
    await agent.run("g = (i for i in range(3)); keep = 1", space="other")
    text = await agent.fails("load_variable", name="g", source="space:other/g")
    assert "generator cannot be copied" in text
    assert "fork" in text
    text = await agent.fails("load_variable", name="x", source="space:other/kep")
    assert "'keep'" in text
    assert "space `nowhere` does not exist" in await agent.fails(
        "load_variable", name="x", source="space:nowhere/keep"
    )
    for source in ("space:", "space:other", "space:other/"):
        text = await agent.fails("load_variable", name="x", source=source)
        assert "space:NAME/VARIABLE" in text
    assert "=> [0, 1, 2]" in await agent.run("list(g)", space="other")


async def test_a_hostile_pickle_runs_in_the_sandbox_of_the_target_only(agent: Agent) -> None:
    await agent.call("spaces", action="open", space="other")
    await agent.run(
        "class Bomb:\n    def __reduce__(self): return (exec, ('import os; os._exit(3)',))\n"
        "bomb = Bomb(); keep = 1",
        space="other",
    )
    await agent.run("mine = 1")
    text = await agent.fails("load_variable", name="b", source="space:other/bomb")
    assert "last commit" in text
    assert "=> (1, False)" in await agent.run("mine, 'b' in globals()")
    assert "=> 1" in await agent.run("keep", space="other")
