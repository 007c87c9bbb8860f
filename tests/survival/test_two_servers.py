"""Two servers on one home: what they share, and what neither may use up for the other."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from rlm_mcp.lm import Answer, Request, ScriptedModel
from rlm_mcp.settings import Settings
from rlm_mcp.store import Store
from rlm_mcp.trajectory import read_trees

from ..conftest import Agent, Connect
from ..recursion._roots import RootModel, code

pytestmark = pytest.mark.anyio


def echo(request: Request) -> str:
    return f"<{request.prompt.text}>"


async def spent(agent: Agent, space: str) -> str:
    """What a space has spent, as it says."""
    info = (await agent.call("spaces", action="info", space=space)).text
    return info.partition("spent: ")[2].splitlines()[0]


async def test_both_know_the_answers_and_count_their_own_calls_at_the_same_time(
    connect: Connect, settings: Settings
) -> None:
    models = ScriptedModel(echo), ScriptedModel(echo)
    ask = "r = sub_llm_map([f'{{{{name}}}} {{i}}' for i in range(150)], concurrency=50)\nlen(r)"
    async with (
        connect(models[0], max_calls=160) as one,
        connect(models[1], space="side", max_calls=160) as two,
    ):
        async with anyio.create_task_group() as group:
            for agent, name in ((one, "one"), (two, "two")):
                code = ask.replace("{{{{name}}}}", name).replace("{{i}}", "{i}")
                group.start_soon(lambda agent=agent, code=code: agent.run(code))  # type: ignore[misc]
        assert (await spent(one, "main")).startswith("150 sub-LLM calls")
        assert (await spent(two, "side")).startswith("150 sub-LLM calls")
        reply = await two.run("len(sub_llm_map([f'one {i}' for i in range(150)]))")
        assert "0 sub-LLM calls, 150 cached" in reply
        assert "left of the budget: 10 calls" in reply
        # The same question at the same time is asked by each: they only share what is known.
        async with anyio.create_task_group() as group:
            for agent in (one, two):
                group.start_soon(agent.run, "sub_llm('both')")
        assert "0 sub-LLM calls, 1 cached" in await one.run("sub_llm('both')")
    requests = len(models[0].requests) + len(models[1].requests)
    assert requests in (301, 302)
    store = Store(settings.home)
    table = store.spans()
    recorded = 0
    for space in ("main", "side"):
        tops, _ = read_trees(store, table, space, None, texts=False)
        parts = [part for top in tops for part in top.parts if part.span.kind == "sub_llm"]
        asked = [part for part in parts if not part.span.detail.get("cached")]
        assert len(asked) in (150, 151)  # whichever was the first to ask for both
        recorded += len(asked)
        assert {top.span.status for top in tops} == {"ok"}
        assert {part.span.status for part in parts} == {"ok"}
    assert recorded == requests
    table.close()
    store.close()


async def test_a_budget_is_that_of_the_space_whichever_server_has_it(connect: Connect) -> None:
    models = ScriptedModel(echo), ScriptedModel(echo)
    ask = "sub_llm_map([f'{} {{i}}' for i in range(9)], concurrency=9, on_error='return')"
    async with (
        connect(models[0], max_calls=12) as one,
        connect(models[1], space="side", max_calls=12) as two,
    ):
        await one.run(ask.format("a"))
        text = await two.fails("spaces", action="open", space="main")
        assert "another" in text and "fork" in text
        await one.call("spaces", action="close", space="main")
        await two.call("spaces", action="open", space="main")
        reply = await two.run(ask.format("b"), space="main")
        assert "3 sub-LLM calls (6 failed)" in reply
        await two.call("spaces", action="close", space="main")
        await one.call("spaces", action="open", space="main")
        assert "has made 12 of 12" in await one.fails("exec_code", code="sub_llm('c')")
    assert len(models[0].requests) + len(models[1].requests) == 12


async def test_a_run_that_outlives_its_space_here_spends_nothing_that_is_counted_there(
    connect: Connect,
) -> None:
    class Slow(RootModel):
        async def ask(self, request: Request) -> Answer:
            if request.prompt.text == "slow":
                asked.set()
                await go.wait()
            return await super().ask(request)

    asked, go = anyio.Event(), anyio.Event()
    model = Slow(code("a = sub_llm('slow')"), code("b = sub_llm('more')"), code("SUBMIT(1)"))
    texts: list[str] = []
    async with (
        connect(model, max_calls=4) as one,
        connect(ScriptedModel(echo), space="side", max_calls=4) as two,
    ):

        async def run() -> None:
            texts.append(await one.fails("sub_rlm", question="How many?"))

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await asked.wait()
            await one.call("spaces", action="close", space="main")
            await two.call("spaces", action="open", space="main")
            go.set()
        assert "space main was closed, and nothing is asked for it any more" in texts[0]
        # Two calls: the one that was under way is counted here as if it had ended.
        reply = await two.run(
            "r = sub_llm_map(list('abcdef'), on_error='return')\nsum(type(a) is str for a in r)",
            space="main",
        )
        assert "=> 2" in reply
        assert (await spent(two, "main")).startswith("4 sub-LLM calls")
    assert len(model.requests) == 2
    async with connect(ScriptedModel(echo)) as one:
        assert (await spent(one, "main")).startswith("4 sub-LLM calls")


async def test_lines_of_a_view_are_counted_by_both_at_once(connect: Connect, work: Path) -> None:
    (work / "big.log").write_text("a line of text\n" * 200_000)

    async def load(agent: Agent) -> None:
        reply = await agent.call("load_variable", name="log", source="big.log", format="view")
        assert not reply.failed, reply.text

    async with connect() as one, connect(space="side") as two:
        async with anyio.create_task_group() as group:
            for agent in (one, two):
                group.start_soon(load, agent)
        for agent in (one, two):
            assert "=> 200000" in await agent.run("log.line_count()")
            assert "=> 'a line of text'" in await agent.run("log.lines[199_999]")
        await two.call("spaces", action="fork", space="main", name="copy")
        assert "=> 200000" in await two.run("log.line_count()", space="copy")


async def test_an_index_of_a_search_is_that_of_each_fork(connect: Connect) -> None:
    async with connect() as one, connect(space="side") as two:
        await one.run("texts = [f'number {i} of the harbour' for i in range(500)]")
        assert "harbour" in await one.run("search('harbour', texts, k=1)[0].text")
        await two.call("spaces", action="fork", space="main", name="copy")
        await two.run("texts.append('a lighthouse')", space="copy")
        assert "lighthouse" in await two.run("search('lighthouse', texts, k=1)[0].text",
                                             space="copy")  # fmt: skip
        assert "=> 0" in await one.run("len(search('lighthouse', texts))")


async def test_questions_of_one_server_are_not_answered_by_another(connect: Connect) -> None:
    async with (
        connect(sub_model="agent") as one,
        connect(sub_model="agent", space="side") as two,
    ):
        assert "q1: one?" in (await one.call("exec_code", code="sub_llm('one?')")).text
        assert "q1: two?" in (await two.call("exec_code", code="sub_llm('two?')")).text
        text = await two.fails("answer_sub_llm", answers={"q1": "x"}, space="main")
        assert 'these are questions of another space: pass space="side"' in text
        reply = await two.call("answer_sub_llm", answers={"q1": "TWO"})
        assert "=> 'TWO'" in reply.text
        # What an agent answered through one server is known to the other.
        assert "=> 'ONE'" in (await one.call("answer_sub_llm", answers={"q1": "ONE"})).text
        assert "=> ['ONE', 'TWO']" in await two.run("sub_llm_map(['one?', 'two?'])")
        assert json.dumps("cached")[1:-1] in await one.run("sub_llm('two?')")
