"""A model, or a part of the server, that fails in a way that nobody foresaw."""

from __future__ import annotations

import pytest

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import Request

from ..conftest import Connect
from ._roots import RootModel, code

pytestmark = pytest.mark.anyio


def broken(_request: Request) -> str | SubLLMError:
    raise KeyError("secret-of-the-provider")


async def test_a_root_model_that_raises_anything_makes_a_failed_run_with_its_cause(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    model = RootModel(code("found = sub_llm('what is it?')"), broken)
    async with connect(model) as agent:
        text = await agent.fails("sub_rlm", question="How many?")
        assert text.startswith("NO ANSWER (failed): the call failed inside rlm-mcp (KeyError)")
        assert "failed, 2 iterations, " in text
        assert "2 sub-LLM calls" in text
        assert "secret-of" not in text
        fork = text.partition("reached is in space ")[2].partition(":")[0]
        assert "=> '<what is it?>'" in await agent.run("found", space=fork)
        info = (await agent.call("spaces", action="info")).text
        assert "spent: 2 sub-LLM calls" in info
        model.say(code("found = sub_llm('what is it?')"), broken)
        reply = await agent.run(
            "try: sub_rlm('How many?')\nexcept SubLLMError as error: print(error.kind, error)"
        )
        assert "failed sub_rlm came to no answer after" in reply
        assert "(KeyError)" in reply
        # What was paid for before is known.
        model.say(code("SUBMIT(41)"))
        assert "=> 41" in await agent.run("sub_rlm('How many are there?')")
    assert "KeyError" in caplog.text


async def test_a_run_that_is_repeated_goes_on_where_it_broke_off_and_pays_for_nothing_again(
    connect: Connect,
) -> None:
    look = code("kinds = sub_llm_map(['a', 'b'])", "print(kinds)")
    model = RootModel(look, code("1 / 0"), SubLLMError("no credit", kind="refused"))
    async with connect(model) as agent:
        text = await agent.fails("sub_rlm", question="How many?")
        assert "NO ANSWER (failed): no credit" in text
        asked = len(model.requests)
        model.say(code("SUBMIT(kinds)"))
        reply = await agent.call("sub_rlm", question="How many?")
        assert "submitted, 3 iterations" in reply.text
        assert "1 sub-LLM call, 4 cached" in reply.text
        assert len(model.requests) == asked + 1
        assert "47 LLM calls left" not in model.requests[-1].prompt.text
        assert "50 LLM calls left" in model.requests[-1].prompt.text
        again = await agent.call("sub_rlm", question="How many?")
        assert not again.failed
        assert len(model.requests) == asked + 1
        # Another bound is another question, as is another wording.
        await agent.call("sub_rlm", question="How many?", max_llm_calls=9)
        assert len(model.requests) > asked + 1


async def test_a_fault_of_the_loop_is_one_of_the_run(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def heading(*_: object) -> str:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("rlm_mcp.recursion._loop.heading", heading)
    async with connect(RootModel(code("found = 7"))) as agent:
        text = await agent.fails("sub_rlm", question="How many?")
        assert text.startswith("NO ANSWER (failed): rlm-mcp failed at it (ZeroDivisionError)")
        fork = text.partition("reached is in space ")[2].partition(":")[0]
        assert "=> 7" in await agent.run("found", space=fork)
    assert "a fault" in caplog.text
