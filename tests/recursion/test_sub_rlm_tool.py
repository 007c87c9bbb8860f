"""The tool `sub_rlm`: its arguments, its reply, what it leaves behind."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import Answer, Request, ScriptedModel

from ..conftest import Agent, Connect
from ._roots import RootModel, code, is_root

pytestmark = pytest.mark.anyio


async def ask(agent: Agent, question: str = "How many?", **arguments: object) -> str:
    reply = await agent.call("sub_rlm", question=question, **arguments)
    assert not reply.failed, reply.text
    return reply.text


def fork_in(reply: str) -> str:
    return str(re.findall(r"run in space (main\.rlm-\w+)", reply)[0])


async def test_the_answer_is_shown_or_stored_and_the_fork_is_kept(connect: Connect) -> None:
    model = RootModel(code("n = len(rows)"), code("SUBMIT(f'There are {n}.')"))
    async with connect(model) as agent:
        await agent.run("rows = [1, 2, 3]; other = 'x' * 900")
        reply = await ask(agent, variables=["rows"])
        assert reply.startswith("There are 3.")
        assert re.search(r"submitted, 2 iterations, .*2 sub-LLM calls", reply)
        first = model.asked[0].prompt
        assert first.system is not None
        assert "SUBMIT" in first.system
        assert "rows: list 3 items" in first.text
        assert "Also there:\nother: str 900" in first.text
        assert "=> 3" in await agent.run("n", space=fork_in(reply))
        info = (await agent.call("spaces", action="info", space=fork_in(reply))).text
        assert "execution 2" in info
        assert "n = len(rows)" in info
        listed = (await agent.call("spaces")).text
        assert f"{fork_in(reply)}: open, 4 executions" in listed
        assert "fork of main" in listed

        model.say(code("SUBMIT({'n': len(rows)})"))
        reply = await ask(agent, into="answer")
        assert reply.startswith("answer: dict 1 key")
        assert "=> {'n': 3}" in await agent.run("answer")
        assert "not changed" not in reply
        history = (await agent.call("spaces", action="info")).text
        assert "load answer" in history


async def test_an_answer_that_cannot_be_handed_over_is_still_to_be_had(connect: Connect) -> None:
    class Deleting(RootModel):
        agent: Agent

        async def ask(self, request: Request) -> Answer:
            await self.agent.call("spaces", action="delete", space="main")
            return await super().ask(request)

    model = Deleting(code("SUBMIT(3)"))
    async with connect(model) as agent:
        model.agent = agent
        reply = await agent.call("sub_rlm", question="How many?", into="answer")
        assert reply.failed
        assert reply.text.startswith("space `main` was deleted\n")
        assert f"The answer is kept as `submitted` in space {fork_in(reply.text)}" in reply.text
        assert "1 sub-LLM call" in reply.text
        assert "=> 3" in await agent.run("submitted", space=fork_in(reply.text))


async def test_a_long_answer_names_the_call_that_shows_the_rest(connect: Connect) -> None:
    async with connect(RootModel(code("SUBMIT('word ' * 3000)"))) as agent:
        reply = await ask(agent)
        assert len(reply) < 7_000
        call = f'peek("submitted", start=6000, length=6000, space="{fork_in(reply)}")'
        assert f"next: {call}" in reply


async def test_a_schema_binds_the_answer_of_the_tool(connect: Connect) -> None:
    model = RootModel(code("SUBMIT('five')"), code("SUBMIT(5)"))
    async with connect(model) as agent:
        await ask(agent, into="n", schema={"type": "integer"})
        assert "=> 5" in await agent.run("n")
    assert "does not fit the schema" in model.seen


async def test_the_root_model_is_the_one_that_is_set_and_the_prompt_a_file(
    connect: Connect, tmp_path: Path
) -> None:
    model = RootModel(code("SUBMIT(sub_llm('x'))"))
    prompt = tmp_path / "prompt.md"
    prompt.write_text("Be quick about it.")
    async with connect(model, root_model="openai/big", rlm_prompt=prompt) as agent:
        await ask(agent)
        assert [request.model for request in model.requests] == ["openai/big", None]
        assert model.requests[0].prompt.system == "Be quick about it."
        await ask(agent, model="openai/other")
        assert model.asked[-1].model == "openai/other"
        prompt.unlink()
        assert "RLM_MCP_RLM_PROMPT" in await agent.fails("sub_rlm", question="x")


async def test_mistakes_are_named_and_nothing_is_asked(connect: Connect) -> None:
    model = RootModel(code("SUBMIT(1)"))
    async with connect(model) as agent:
        await agent.run("rows = [1]")
        text = await agent.fails("sub_rlm", question="x", variables=["rows", "row"])
        assert "there is no variable 'row'; there are: rows" in text
        assert "empty" in await agent.fails("sub_rlm", question=" ")
        assert "such as class_" in await agent.fails("sub_rlm", question="x", into="class")
        assert "max_iterations" in await agent.fails("sub_rlm", question="x", max_iterations=0)
        assert model.requests == []


async def test_a_failing_model_is_an_error_that_names_the_fork(connect: Connect) -> None:
    model = RootModel(code("found = 7"), SubLLMError("no credit left", kind="refused"))
    async with connect(model) as agent:
        text = await agent.fails("sub_rlm", question="x")
        assert text.startswith("NO ANSWER (failed): no credit left")
        assert "2 sub-LLM calls (1 failed)" in text
        assert "=> 7" in await agent.run("found", space=fork_in(text))


class Halting(ScriptedModel):
    """Gives its replies and then never answers; says when it has come so far."""

    def __init__(self, *replies: str) -> None:
        super().__init__(replies)
        self.halted = asyncio.Event()
        self.cancelled = asyncio.Event()
        self._replies = len(replies)

    async def ask(self, request: Request) -> Answer:
        if request.prompt.text == "begin":
            self.halted.set()
            return Answer("go on")
        if not is_root(request) or len(self.requests) >= self._replies:
            self.halted.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        return await super().ask(request)


@pytest.mark.parametrize("stop_in", ["the root model", "code", "a sub-call"])
async def test_a_cancelled_call_stops_the_run_and_keeps_its_fork(
    connect: Connect, stop_in: str
) -> None:
    then = {
        "the root model": [],
        "code": [code("sub_llm('begin')", "while True: pass")],
        "a sub-call": [code("sub_llm('x')")],
    }[stop_in]
    model = Halting(code("kept = 1"), *then)
    async with connect(model) as agent:
        call = asyncio.create_task(agent.call("sub_rlm", question="x"))
        await model.halted.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        if stop_in != "code":
            await model.cancelled.wait()
        listed = (await agent.call("spaces")).text
        (fork,) = set(re.findall(r"main\.rlm-\w+", listed))
        assert "=> 1" in await agent.run("kept", space=fork)
        assert "=> 2" in await agent.run("1 + 1")


async def test_a_cancelled_execution_stops_the_run_that_it_waits_for(connect: Connect) -> None:
    model = Halting(code("kept = 1"))
    async with connect(model) as agent:
        await agent.run("before = 1")
        call = asyncio.create_task(agent.call("exec_code", code="mine = 2\nsub_rlm('x')"))
        await model.halted.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await model.cancelled.wait()
        assert "=> (1, 2)" in await agent.run("before, mine")


async def test_only_the_last_runs_of_a_space_are_kept(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_mcp.recursion._runs.KEPT_OF_SPACE", 2)
    model = RootModel(code("SUBMIT(sub_rlm('below') if depth == 1 else 5)"))
    async with connect(model) as agent:
        await agent.run("depth = 0")
        # A space of somebody's own is no run, whatever it is called.
        own = "notes.rlm-0a1b2c3d"
        await agent.call("spaces", action="open", space=own)
        monkeypatch.setattr("rlm_mcp.recursion._runs.KEPT", 1)
        await ask(agent)
        assert own in (await agent.call("spaces")).text
        monkeypatch.setattr("rlm_mcp.recursion._runs.KEPT", 200)
        forks = [fork_in(await ask(agent)) for _ in range(2)]
        await agent.call("spaces", action="checkpoint", name="mine", space=forks[0])
        forks += [fork_in(await ask(agent)) for _ in range(3)]
        listed = (await agent.call("spaces")).text
        kept = [fork for fork in forks if fork in listed]
        assert kept == [forks[0], *forks[3:]]
