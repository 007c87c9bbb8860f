"""Budgets of each kind, for a sub-LLM call, an execution, a run and a space."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from rlm_mcp.lm import Answer, Budget, Failure, LocalOpenAIServer, Request, ScriptedModel
from rlm_mcp.settings import load_settings

from ..conftest import Connect
from ..recursion._roots import RootModel, code, is_root

pytestmark = pytest.mark.anyio

CONCLUDE = "No more code can be run"


def echo(request: Request) -> str:
    return f"<{request.prompt.text}>"


class Silent(ScriptedModel):
    """Never answers but what begins with `now`, and what concludes a run."""

    def __init__(self) -> None:
        super().__init__(lambda request: "about 40")
        self.waiting = 0

    async def ask(self, request: Request) -> Answer:
        text = request.prompt.text
        if text.startswith("now") or CONCLUDE in text:
            return await super().ask(request)
        self.waiting += 1
        try:
            await anyio.sleep_forever()
        finally:
            self.waiting -= 1
        raise AssertionError


async def test_tokens_in_and_out_have_budgets_of_their_own(connect: Connect) -> None:
    model = ScriptedModel(echo)
    async with connect(model, max_input_tokens=100, max_output_tokens=700) as agent:
        reply = await agent.run("sub_llm('a')")
        assert "left of the budget: 99 input tokens, 699 output tokens]" in reply
        # A longer answer would not fit, so that is as long as this one may be.
        assert model.requests[0].max_tokens == 256
        text = await agent.fails("exec_code", code="sub_llm('b' * 600)")
        assert "space main has used 1 of 100 input tokens and this call may use 200" in text
        assert "Raise RLM_MCP_MAX_INPUT_TOKENS" in text
        text = await agent.fails("exec_code", code="sub_llm('c', max_tokens=700)")
        assert "has used 1 of 700 output tokens and this call may use 700" in text
        assert "Raise RLM_MCP_MAX_OUTPUT_TOKENS" in text
        text = await agent.fails(
            "exec_code", code="sub_llm('d', max_tokens=20)", budget={"output_tokens": 10}
        )
        assert "this execution may use 10 output tokens and this call may use 20" in text
        assert "Raise budget.output_tokens" in text
    assert len(model.requests) == 1


async def test_the_seconds_of_a_space_are_those_that_its_calls_take_together(
    connect: Connect,
) -> None:
    model = Silent()
    ask = "sub_llm_map(['1', '2', '3'], on_error='return')"
    async with connect(model, max_seconds=1.5) as agent:
        await agent.run("sub_llm('now')")
        reply = await agent.run(f"r = {ask}; sorted({{e.kind for e in r}}), str(r[0])")
        assert "['budget']" in reply
        assert "the sub-LLM calls of space main have taken their 1.5 s" in reply
        assert "Raise RLM_MCP_MAX_SECONDS" in reply
        assert "left of the budget: 0 s]" in reply
        assert model.waiting == 0
        info = (await agent.call("spaces", action="info")).text
        assert " s of calls; budget: 1.5 s" in info
    async with connect(model, max_seconds=1.5) as agent:
        assert "have taken their 1.5 s" in await agent.fails("exec_code", code="sub_llm('now!')")
        # What is known takes no time.
        assert "=> 'about 40'" in await agent.run("sub_llm('now')")
    async with connect(model, max_seconds=1000) as agent:
        assert "=> 'about 40'" in await agent.run("sub_llm('now!')")


async def test_seconds_of_an_execution_pass_from_its_beginning(connect: Connect) -> None:
    model = Silent()
    async with connect(model) as agent:
        late = "import time\nbegin = time.time()\nwhile time.time() < begin + 0.5: pass\n"
        text = await agent.fails("exec_code", code=f"{late}sub_llm('now')", budget={"seconds": 0.3})
        assert "the 0.3 s of this execution have passed. Raise budget.seconds" in text
        assert model.requests == []
        text = await agent.fails("exec_code", code="sub_llm('x')", budget={"seconds": 0.3})
        assert "the 0.3 s of this execution have passed" in text
        assert model.waiting == 0
        # The next one has time of its own.
        assert "=> 'about 40'" in await agent.run("sub_llm('now')", budget={"seconds": 300})


async def test_a_setting_bounds_each_execution_whatever_the_agent_allows_itself(
    connect: Connect,
) -> None:
    model = ScriptedModel(echo)
    ask = "sub_llm_map([str(i) for i in range({})], concurrency=9, on_error='return', fresh=True)"
    async with connect(model, execution_budget=Budget(calls=3)) as agent:
        reply = await agent.run(f"str({ask.format(9)}[-1])", budget={"calls": 100})
        assert "this execution has made 3 of 3 sub-LLM calls" in reply
        assert "Raise calls in RLM_MCP_EXECUTION_BUDGET" in reply
        assert len(model.requests) == 3
        await agent.run(ask.format(9))
        assert len(model.requests) == 6
        await agent.run("four = list('abcd')")
        text = await agent.fails("sub_llm", prompt="{{item}}", over="four", into="r")
        assert "RLM_MCP_EXECUTION_BUDGET" in text


async def test_each_call_has_a_budget(connect: Connect) -> None:
    model = ScriptedModel(echo)
    async with connect(model, call_budget=Budget(input_tokens=100, output_tokens=50)) as agent:
        await agent.run("sub_llm_map(['a', 'b', 'c'])")
        assert [request.max_tokens for request in model.requests] == [50] * 3
        text = await agent.fails("exec_code", code="sub_llm('x' * 500)")
        assert "one sub-LLM call may use 100 input tokens and this call may use 167" in text
        assert "Raise input_tokens in RLM_MCP_CALL_BUDGET, or ask for less in one call" in text


async def test_a_run_concludes_within_what_it_may_use(connect: Connect) -> None:
    model = Silent()
    async with connect(model) as agent:
        reply = await agent.call("sub_rlm", question="How many?", budget={"seconds": 3}, into="n")
        assert reply.text.startswith("NOT SUBMITTED (the budget ran out); the best answer so far:")
        assert "=> 'about 40'" in await agent.run("n")
    assert "50 LLM calls, 3 s in all" in model.requests[0].prompt.text


async def test_code_of_a_run_ends_in_time_for_a_conclusion(connect: Connect) -> None:
    def root(request: Request) -> str:
        return (
            "about 40" if CONCLUDE in request.prompt.text else code("import time; time.sleep(99)")
        )

    async with connect(RootModel(root), run_budget=Budget(seconds=5)) as agent:
        reply = await agent.run("sub_rlm('How many?')")
        assert "=> 'about 40'" in reply
        assert "the budget ran out; this is its best answer so far" in reply


async def test_a_budget_holds_for_all_runs_of_a_tree(connect: Connect) -> None:
    def root(request: Request) -> str:
        if "level two" in request.prompt.text:
            return code("SUBMIT(len(sub_llm_map([f'{i} {i}' for i in range(20)])))")
        if "level one" in request.prompt.text:
            return code(
                "try: sub_rlm('level two')",
                "except SubLLMError as error: SUBMIT([error.kind, str(error)])",
            )
        return "nothing"

    model = RootModel(root)
    async with connect(model, run_budget=Budget(calls=8)) as agent:
        reply = await agent.run("sub_rlm('level one', budget={'tokens': 100_000})")
        assert "=> ['budget', 'sub_rlm came to no answer after 1 iteration (the LLM calls" in reply
        assert "this run has made 6 of 8 sub-LLM calls" in reply
        assert "Raise calls in RLM_MCP_RUN_BUDGET" in reply
        assert len(model.requests) == 6
        assert "8 LLM calls, 100,000 tokens in all" in model.asked[0].prompt.text
        for wrong in ("budget={'dollars': 1}", "budget={'usd': -1}", "budget={'calls': 1.5}"):
            assert "budget of" in await agent.fails("exec_code", code=f"sub_rlm('x', {wrong})")
        assert "under another" in await agent.fails("exec_code", code="sub_rlm('x', budget=[1])")


async def test_a_call_is_what_is_sent_in_a_run_as_in_a_space(
    connect: Connect, server: LocalOpenAIServer
) -> None:
    server.answer = lambda messages: code("SUBMIT('done')")
    server.fail_next(Failure(500), Failure(500))
    async with connect(sub_model="openai/any") as agent:
        reply = await agent.call("sub_rlm", question="How many?")
        assert "1 iteration, " in reply.text and "3 sub-LLM calls" in reply.text
        assert "spent: 3 sub-LLM calls" in (await agent.call("spaces", action="info")).text
        server.fail_next(*[Failure(500)] * 9)
        reply = await agent.call("sub_rlm", question="How many now?", max_llm_calls=3)
        # Two for its turns and one to conclude: nine tries were never made.
        assert "3 sub-LLM calls" in reply.text
        assert "the LLM calls ran out" in reply.text
    assert len(server.requests) == 6


async def test_a_space_that_was_closed_pays_for_nothing_more(connect: Connect) -> None:
    class Closing(RootModel):
        async def ask(self, request: Request) -> Answer:
            answer = await super().ask(request)
            if is_root(request) and len(self.asked) == 2:
                await agent.call("spaces", action="close", space="main")
                async with connect(max_calls=5) as other:
                    # What was spent is there for the next one that opens it.
                    info = (await other.call("spaces", action="info")).text
                    spent.append(info)
            return answer

    spent: list[str] = []
    model = Closing(code("x = 1"), code("x = 2"))
    async with connect(model, max_calls=5) as agent:
        reply = await agent.call("sub_rlm", question="How many?")
        assert "space main was closed, and nothing is asked for it any more" in reply.text
        assert "What was reached is in space main.rlm-" in reply.text
    assert len(model.asked) == 2
    assert "spent: 2 sub-LLM calls" in spent[0]


def test_budgets_are_read_from_variables_and_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rlm-mcp.toml"
    file.write_text("run_budget = {usd = 2.5, calls = 200}\nmax_seconds = 3600\n")
    environ = {
        "RLM_MCP_CONFIG": str(file),
        "RLM_MCP_CALL_BUDGET": "output_tokens=500, usd=0.05",
        "RLM_MCP_EXECUTION_BUDGET": "seconds=600",
    }
    settings = load_settings(environ=environ)
    assert settings.run_budget == Budget(calls=200, usd=2.5)
    assert settings.call_budget == Budget(output_tokens=500, usd=0.05)
    assert settings.execution_budget == Budget(seconds=600)
    assert settings.space_budget == replace(Budget(), seconds=3600)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", "RLM_MCP_RUN_BUDGET: a budget is written usd=0.5,seconds=600, not '5'"),
        ("dollars=5", "there is no budget of 'dollars'; there are calls, tokens"),
        ("usd=lots", "the budget of usd must be a number above 0, not lots"),
        ("usd=0", "the budget of usd must be a number above 0, not 0.0"),
        ("calls=1.5", "the budget of calls must be a whole number above 0, not 1.5"),
        ("usd=nan", "must be a number above 0"),
        ("usd=1,usd=2", "a budget is written"),
    ],
)
def test_a_budget_that_cannot_be_one_is_named(text: str, expected: str) -> None:
    with pytest.raises(Exception, match="budget") as caught:
        load_settings(environ={"RLM_MCP_CONFIG": "/dev/null", "RLM_MCP_RUN_BUDGET": text})
    assert expected in str(caught.value)


def test_the_seconds_of_a_call_have_one_name() -> None:
    with pytest.raises(Exception, match="RLM_MCP_CALL_SECONDS"):
        load_settings(environ={"RLM_MCP_CONFIG": "/dev/null", "RLM_MCP_CALL_BUDGET": "seconds=5"})
