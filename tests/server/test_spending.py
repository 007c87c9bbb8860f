"""What sub-LLM calls cost, what a space may spend, and what is not paid for twice."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from anyio import to_thread

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import LocalOpenAIServer, Request, ScriptedModel
from rlm_mcp.settings import Settings

from ..conftest import PATIENCE, Connect

pytestmark = pytest.mark.anyio


def echo(request: Request) -> str | SubLLMError:
    text = request.prompt.text
    return SubLLMError("no", kind="refused") if text == "bad" else f"<{text}>"


async def test_another_space_and_another_server_know_the_answers(connect: Connect) -> None:
    model = ScriptedModel(echo)
    async with connect(model) as agent:
        reply = await agent.run("r = sub_llm_map(['a', 'b', 'a'])\nr")
        assert "=> ['<a>', '<b>', '<a>']" in reply
        assert "2 sub-LLM calls, 1 cached, 2 tokens in, 2 out, $0.0000]" in reply
        await agent.call("spaces", action="open", space="other")
        reply = await agent.run("sub_llm('a')", space="other")
        assert "0 sub-LLM calls, 1 cached" in reply
    async with connect(model) as agent:
        assert "0 sub-LLM calls, 2 cached" in await agent.run("sub_llm_map(['a', 'b'])")
    assert len(model.requests) == 2


async def test_the_spending_of_a_space_is_known_after_a_restart(connect: Connect) -> None:
    async with connect(ScriptedModel(echo)) as agent:
        await agent.run("sub_llm_map(['a', 'b', 'a', 'bad'], on_error='return')")
        await agent.call("spaces", action="fork", name="copy")
    async with connect(ScriptedModel(echo)) as agent:
        await agent.run("sub_llm('c')")
        info = (await agent.call("spaces", action="info")).text
        assert "spent: 4 sub-LLM calls (1 failed), 1 cached, 3 tokens in, 3 out" in info
        await agent.call("spaces", action="open", space="copy")
        info = (await agent.call("spaces", action="info", space="copy")).text
        assert "spent: 0 sub-LLM calls, 0 tokens in" in info
        # A space that begins anew under an old name owes nothing.
        await agent.run("sub_llm('d')", space="copy")
        await agent.call("spaces", action="delete", space="copy")
        await agent.call("spaces", action="open", space="copy")
        info = (await agent.call("spaces", action="info", space="copy")).text
        assert "spent: 0 sub-LLM calls, 0 tokens in" in info


async def test_a_budget_of_calls_holds_over_executions_and_restarts(connect: Connect) -> None:
    model = ScriptedModel(echo)
    async with connect(model, max_calls=5) as agent:
        reply = await agent.run("sub_llm_map(['a', 'b', 'c'])")
        assert "left of the budget: 2 calls]" in reply
        info = (await agent.call("spaces", action="info")).text
        assert "; budget: 5 calls" in info
    async with connect(model, max_calls=5) as agent:
        text = await agent.fails(
            "exec_code", code="sub_llm_map([str(i) for i in range(50)], concurrency=50)"
        )
        assert "space main has made 5 of 5 sub-LLM calls. Raise RLM_MCP_MAX_CALLS" in text
        assert "2 sub-LLM calls (48 failed)" in text
        assert "left of the budget: 0 calls]" in text
        code = "try: sub_llm('more')\nexcept SubLLMError as e: kind = e.kind\nkind"
        assert "=> 'budget'" in await agent.run(code)
        # Known answers cost nothing.
        assert "=> ['<a>', '<b>']" in await agent.run("sub_llm_map(['a', 'b'])")
        # The next space has a budget of its own.
        await agent.call("spaces", action="open", space="other")
        assert "left of the budget: 4 calls" in await agent.run("sub_llm('x')", space="other")
    assert len(model.requests) == 6


async def test_budgets_of_tokens_and_dollars_over_a_real_path(
    connect: Connect, server: LocalOpenAIServer
) -> None:
    async with connect(sub_model="openai/gpt-4o-mini", max_tokens=3000) as agent:
        reply = await agent.run("sub_llm('x' * 400)")
        assert "1 sub-LLM call, 100 tokens in, 100 out, $0.0001" in reply
        assert "left of the budget: 2,800 tokens]" in reply
        assert server.requests[0]["max_tokens"] == 1024
        text = await agent.fails("exec_code", code="sub_llm('y' * 12_000)")
        assert "used 200 of 3,000 tokens" in text
        assert "RLM_MCP_MAX_TOKENS" in text
    async with connect(sub_model="openai/unpriced", max_usd=1.0) as agent:
        text = await agent.fails("sub_llm", prompt="hello", into="r")
        assert "price of this model is unknown" in text
        assert "RLM_MCP_MAX_USD" in text
        assert "left of the budget: $0.9999]" in text
    assert len(server.requests) == 1


async def test_a_map_that_is_cancelled_goes_on_where_it_was(
    connect: Connect, server: LocalOpenAIServer
) -> None:
    left = 6

    def answer(messages: list[dict[str, Any]]) -> str:
        nonlocal left
        left -= 1
        if left == 0:
            server.delay_s = 600
        return "yes"

    server.answer = answer
    code = "len(sub_llm_map([f'{i}' for i in range(12)], concurrency=3))"
    async with connect(sub_model="openai/any") as agent:
        await agent.run("sub_llm('before')")
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: agent.call("exec_code", code=code))
            assert await to_thread.run_sync(
                server.wait_until, lambda now: left <= 0 and now.in_flight == 3, PATIENCE
            )
            group.cancel_scope.cancel()
        assert await to_thread.run_sync(server.wait_until, lambda now: now.in_flight == 0, PATIENCE)
        known = len(server.requests) - 1 - 3
        server.delay_s = 0
        reply = await agent.run(code)
        assert "=> 12" in reply
        assert f"{12 - known} sub-LLM calls, {known} cached" in reply


async def test_a_thousand_known_answers_come_without_a_request(
    connect: Connect, server: LocalOpenAIServer
) -> None:
    code = "r = sub_llm_map([f'question {i}' for i in range(1000)], concurrency=100)\nlen(set(r))"
    server.delay_s = 0.1
    async with connect(sub_model="openai/any") as agent:
        assert "1,000 sub-LLM calls, " in await agent.run(code)
        assert 64 <= server.max_concurrency <= 100
        assert "0 sub-LLM calls, 1000 cached, 0 tokens in, 0 out, $0.0000" in await agent.run(code)
    assert len(server.requests) == 1000


async def test_a_call_of_a_tool_can_have_a_budget_of_its_own(connect: Connect) -> None:
    model = ScriptedModel(echo)
    async with connect(model, max_calls=100) as agent:
        code = "sub_llm_map([f'x{i}' for i in range(20)], concurrency=20, on_error='return')"
        reply = await agent.run(f"sum(type(a) is str for a in {code})", budget={"calls": 7})
        assert "=> 7" in reply
        assert "left of the budget: 0 calls]" in reply
        assert len(model.requests) == 7
        text = await agent.fails("exec_code", code="sub_llm('y', fresh=True)\nsub_llm('z')",
                                 budget={"calls": 1})  # fmt: skip
        assert "this execution has made 1 of 1 sub-LLM calls. Raise budget.calls" in text
        reply = await agent.run("sub_llm('u')", budget={"calls": 2})
        assert "left of the budget: 1 call]" in reply
        # The next call is not bound by it, and the space has paid for all.
        assert "left of the budget: 90 calls]" in await agent.run("sub_llm('w')")
        text = await agent.fails("exec_code", code="1", budget={"dollars": 1})
        wanted = "'calls', 'tokens', 'input_tokens', 'output_tokens', 'usd' or 'seconds'"
        assert f"`budget` has no `dollars`; it may have {wanted}. Arguments: " in text


async def test_a_budget_of_a_run_holds_for_the_calls_of_its_code(connect: Connect) -> None:
    def root(request: Request) -> str:
        if request.prompt.system is None:
            return "yes"
        if "No more code can be run" in request.prompt.text:
            return "at least two"
        return "```python\nSUBMIT([sub_llm(f'{i}?') for i in range(9)])\n```"

    model = ScriptedModel(root)
    async with connect(model) as agent:
        text = (await agent.call("sub_rlm", question="How many?", budget={"calls": 4})).text
        assert len(model.requests) == 4
        assert "NOT SUBMITTED (the LLM calls ran out)" in text
    shown = "\n".join(turn.text for request in model.requests for turn in request.prompt.history)
    assert "this run has made 2 of 4 sub-LLM calls, and the last 2 calls of it are kept" in shown
    assert "Raise budget.calls, or submit what you have" in shown


async def test_a_key_that_a_provider_repeats_reaches_nobody(
    connect: Connect, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-repeated-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", key)

    def repeat(request: Request) -> str | SubLLMError:
        if request.prompt.text == "bad":
            return SubLLMError(f"wrong key {key}", kind="no_key")
        return json.dumps({"said": f"your key is {key}"})

    async with connect(ScriptedModel(repeat)) as agent:
        schema = {"type": "object", "properties": {"said": {"type": "string"}}}
        reply = await agent.run(f"sub_llm('a'), sub_llm('b', schema={schema})")
        assert "your key is [secret]" in reply
        assert key not in reply
        text = await agent.fails("exec_code", code="sub_llm('bad')")
        assert "wrong key [secret]" in text
        assert key not in text
    for path in settings.home.rglob("*"):
        assert path.is_dir() or key.encode() not in path.read_bytes(), path


async def test_data_without_its_secrets_is_still_data(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "123456")
    monkeypatch.setenv("OTHER_TOKEN", 'a"secret\\value')
    monkeypatch.setenv("OPENAI_API_KEY", "ollama")  # as its documentation says: it wants none
    said = {"n": 123456, "t": ["123456", 'a"secret\\value', "ollama"]}
    escaped = json.dumps(said).replace('"123456"', '"\\u00312345\\u0036"')
    async with connect(ScriptedModel([json.dumps(said), escaped])) as agent:
        for question in ("a", "b"):
            reply = await agent.run(f"sub_llm({question!r}, schema={{}})")
            assert "=> {'n': 123456, 't': ['[secret]', '[secret]', 'ollama']}" in reply
