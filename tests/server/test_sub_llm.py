"""Sub-LLM calls, from the tool and from code, by a scripted model and over real HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import Failure, LocalOpenAIServer, Request, ScriptedModel

from ..conftest import Agent, Connect

pytestmark = pytest.mark.anyio

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
KEY = "sk-test-0123456789abcdef"


def answer(request: Request) -> str | SubLLMError:
    text = request.prompt.text
    if "bad" in text:
        return SubLLMError("the provider refused", kind="refused", provider="p", model="m")
    return json.dumps({"n": len(text)}) if request.schema else f"<{text}>"


async def ask(agent: Agent, prompt: str, into: str = "r", **arguments: Any) -> str:
    reply = await agent.call("sub_llm", prompt=prompt, into=into, **arguments)
    assert not reply.failed, reply.text
    return reply.text


async def test_the_template_takes_variables_and_the_answer_is_stored(connect: Connect) -> None:
    model = ScriptedModel(answer)
    async with connect(model) as agent:
        await agent.run("t = 'text'; rows = [{'k': 'v'}]")
        reply = await ask(agent, "about {{t}} and {{ rows[0]['k'] }} {{unclosed")
        assert "r: str" in reply
        assert "1 sub-LLM call," in reply
        assert "=> '<about text and v {{unclosed>'" in await agent.run("r")
        await ask(agent, "{{rows}}")
        assert json.loads(model.requests[-1].prompt.text) == [{"k": "v"}]


async def test_over_asks_once_for_each_item(connect: Connect) -> None:
    model = ScriptedModel(answer)
    async with connect(model) as agent:
        await agent.run("t = 'T'; items = ['a', 'b', 'c']; d = {'k': 'a'}; none = []")
        reply = await ask(agent, "{{item}} {{t}}", over="items")
        assert "3 sub-LLM calls" in reply
        assert "=> ['<a T>', '<b T>', '<c T>']" in await agent.run("r")
        await ask(agent, "{{item}}", over="d", into="r2")
        assert "=> ['<a>']" in await agent.run("r2")
        await ask(agent, "{{item}}", over="none", into="r3")
        assert "=> []" in await agent.run("r3")
        text = await agent.fails("sub_llm", prompt="{{item}}", into="z", over="t")
        assert "wants a list" in text
        text = await agent.fails("sub_llm", prompt="{{item}}", into="z")
        assert "`over`" in text


async def test_over_takes_the_rows_of_a_table_and_parts_of_each_item(connect: Connect) -> None:
    model = ScriptedModel(answer)
    async with connect(model) as agent:
        await agent.run(
            "import pandas as pd; df = pd.DataFrame({'id': [1, 2], 'text': ['a', 'b']})\n"
            "rows = [{'t': ['x', 'y']}, {'t': []}]"
        )
        await ask(agent, '{{item["text"]}}: {{item}}', over="df")
        sent = [request.prompt.text.partition(": ") for request in model.requests]
        assert [first for first, _, _ in sent] == ["a", "b"]
        assert json.loads(sent[1][2]) == {"id": 2, "text": "b"}
        text = await agent.fails("sub_llm", prompt='{{item["t"][1]}}', into="z", over="rows")
        assert '{{item["t"][1]}} at rows, item 1: ' in text
        assert "out of range" in text
        assert len(model.requests) == 2


async def test_values_reach_the_model_whole(connect: Connect) -> None:
    model = ScriptedModel(answer)
    async with connect(model) as agent:
        await agent.run(
            "import pandas as pd, numpy as np, datetime, dataclasses\n"
            "df = pd.DataFrame({'n': range(500), 't': ['x' * 200] * 500})\n"
            "many = np.arange(5000)\n"
            "@dataclasses.dataclass\nclass Row:\n    name: str\n    day: datetime.date\n"
            "rows = [Row('a', datetime.date(2026, 3, 1))]; o = object()"
        )
        await agent.run(
            "for value in (df, many, rows, {'t': df[:1]}, o): sub_llm('q', context=value)"
        )
        table, numbers, rows, nested, other = (
            request.prompt.text.split("<context>\n")[1].removesuffix("\n</context>")
            for request in model.requests
        )
        assert table.splitlines()[:2] == ["n,t", "0," + "x" * 200]
        assert len(table.splitlines()) == 501
        assert json.loads(numbers) == list(range(5000))
        assert json.loads(rows) == [{"name": "a", "day": "2026-03-01"}]
        assert json.loads(nested) == {"t": [{"n": 0, "t": "x" * 200}]}
        assert other.startswith("<object object")


async def test_prompts_and_answers_that_fit_no_single_message_come_in_several(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_mcp.lm._guest_calls.MAX_REPLY_CHARS", 25)
    model = ScriptedModel(lambda request: request.prompt.text[:10])
    async with connect(model) as agent:
        code = (
            "import rlm_guest._llm_ask as l; l.MAX_SENT = 5000\n"
            "ps = [f'{i:010}' + 'x' * 500 for i in range(40)]\n"
            "r = sub_llm_map(ps, fresh=True)\n"
            "[a == p[:10] for a, p in zip(r, ps, strict=True)].count(True), "
            "sub_llm_map(ps, estimate=True).calls"
        )
        reply = await agent.run(code)
        assert "=> (40, 0)" in reply
        assert "40 sub-LLM calls" in reply
        assert len(model.requests) == 40
        text = await agent.fails("exec_code", code="sub_llm_map(['x'] * 10_001)")
        assert "10,001 prompts in one call; at most 10,000" in text
        code = "import rlm_guest._door as d\nd.ask('sub_llm_rest', rest='no such')"
        assert "not kept here" in await agent.fails("exec_code", code=code)


async def test_what_can_be_read_once_only_is_no_context(connect: Connect) -> None:
    async with connect(ScriptedModel(answer)) as agent:
        text = await agent.fails("exec_code", code="sub_llm('q', context=(i for i in range(3)))")
        assert "context is a generator, which can be read once only: pass list(...) of it" in text


async def test_a_table_of_prompts_and_an_await_too_many_are_explained(connect: Connect) -> None:
    model = ScriptedModel(answer)
    async with connect(model) as agent:
        await agent.run("import asyncio, pandas as pd; df = pd.DataFrame({'p': ['a', 'b']})")
        text = await agent.fails("exec_code", code="sub_llm_map(df)")
        assert "prompts is a DataFrame; pass a column of it" in text
        assert model.requests == []
        assert "=> ['<a>', '<b>']" in await agent.run("sub_llm_map(df['p'])")
        for code in ("await sub_llm('c')", "await asyncio.gather(sub_llm('c'), sub_llm('d'))"):
            text = await agent.fails("exec_code", code=code)
            assert "sub_llm(...) gives its answer at once; what is awaited is asub_llm(...)" in text


async def test_braces_that_are_no_path_are_explained(connect: Connect) -> None:
    async with connect(ScriptedModel(answer)) as agent:
        text = await agent.fails("sub_llm", prompt='Reply {{"n": 1}}', into="z")
        assert text.startswith("""{{"n": 1}} in the prompt: '"n": 1' is no access path""")
        assert text.endswith("Braces that are meant as text need a blank between them: { {")


async def test_progress_says_how_far_a_map_is_for_as_long_as_it_takes(
    connect: Connect, server: LocalOpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_mcp.server._progress.INTERVAL_SECONDS", 0.02)
    told: list[str] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")

    async with connect(sub_model="openai/any") as agent:
        await agent.run("sub_llm('warm up')")
        server.delay_s = lambda messages: 0.6 if "slow" in str(messages) else 0.0
        code = "import time\nr = sub_llm_map(['a', 'b', 'slow'])\ntime.sleep(0.3)"
        await agent.client.call_tool("exec_code", {"code": code}, progress_callback=tell)
    far = [number for number, text in enumerate(told) if text.startswith("sub-LLM: 2 of 3 done")]
    assert len(far) > 3
    assert far == list(range(far[0], far[-1] + 1))
    assert "2 sub-LLM calls, 2 tokens in, 2 out" in told[far[0]]
    assert any(text.startswith("an execution") for text in told[far[-1] + 1 :])


async def test_answers_that_were_cut_off_are_told(
    connect: Connect, server: LocalOpenAIServer
) -> None:
    async with connect(sub_model="openai/any") as agent:
        reply = await agent.run("r = sub_llm_map(['x' * 400, 'y'], max_tokens=10); len(r[0])")
        assert "=> 40" in reply
        assert "2 sub-LLM calls, 1 answer CUT OFF (raise max_tokens)" in reply
        assert "1 answer CUT OFF" in await agent.run("sub_llm('x' * 400, max_tokens=10)")
        assert "CUT OFF" not in await agent.run("sub_llm('z')")


async def test_with_a_schema_the_answer_is_data(connect: Connect) -> None:
    async with connect(ScriptedModel(answer)) as agent:
        await agent.run("items = ['a', 'bb']")
        await ask(agent, "{{item}}", over="items", schema=NUMBER)
        assert "=> [{'n': 1}, {'n': 2}]" in await agent.run("r")
        assert "=> 4" in await agent.run(f"sub_llm('four', schema={NUMBER})['n']")


async def test_a_failure_is_an_error_and_never_data(connect: Connect) -> None:
    async with connect(ScriptedModel(answer)) as agent:
        await agent.run("items = ['a', 'bad', 'c']")
        text = await agent.fails("sub_llm", prompt="bad", into="z")
        assert text.startswith("the provider refused")
        text = await agent.fails("sub_llm", prompt="{{item}}", into="z", over="items")
        assert "1 of 3 prompts failed (index 1); the first: the provider refused." in text
        assert "Nothing was stored. The other answers are known now" in text
        assert "3 sub-LLM calls (1 failed)" in text
        assert "=> False" in await agent.run("'z' in globals()")
        text = await agent.fails("exec_code", code="before = 1\nsub_llm('bad')")
        assert "\nSubLLMError: the provider refused" in text
        assert "1 sub-LLM call (1 failed)" in text
        code = (
            "try: sub_llm_map(items)\n"
            "except SubLLMError as e: got = e.answers, list(e.failed), e.kind\ngot"
        )
        assert "=> (['<a>', None, '<c>'], [1], 'refused')" in await agent.run(code)
        code = "[type(x).__name__ for x in sub_llm_map(items, on_error='return')]"
        assert "=> ['str', 'SubLLMError', 'str']" in await agent.run(code)


async def test_calls_that_cannot_be_made_say_what_is_wrong(connect: Connect) -> None:
    model = ScriptedModel(answer)
    async with connect(model) as agent:
        await agent.run("t = 'x'; b = b'x'")
        for prompt, into, expected in (
            ("{{tt}}", "z", "'t'"),
            ("", "z", "empty"),
            ("x", "grep", "helper"),
            ("x", "not a name", "such as not_a_name"),
            ("x", "class", "such as class_"),
        ):
            text = await agent.fails("sub_llm", prompt=prompt, into=into)
            assert expected in text, (prompt, into, text)
        for code, expected in (
            ("sub_llm(5)", "prompt must be a str"),
            ("sub_llm(['a', 'b'])", "sub_llm_map"),
            ("sub_llm_map('text')", "for one prompt use sub_llm"),
            ("sub_llm('x', context=b)", "decode"),
            ("sub_llm('x', schema=bytes)", "bytes cannot be the type of an answer"),
            ("sub_llm('x', model='http://evil/')", "not a model's name"),
            ("sub_llm_map(['x'], concurrency=0)", "at least 1"),
            ("sub_llm('\\ud800')", "surrogate"),
        ):
            assert expected in await agent.fails("exec_code", code=code), code
        assert model.requests == []


async def test_a_real_server_is_asked_through_litellm(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalOpenAIServer(api_key=KEY) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        async with connect(sub_model="openai/any") as agent:
            reply = await agent.run("sub_llm('question', context='the text')")
            assert "the text" in reply
            assert "1 sub-LLM call," in reply
            assert "tokens in" in reply
            server.delay_s = 0.2
            reply = await agent.run("r = sub_llm_map([f'p{i}' for i in range(8)]); r[0], r[7]")
            assert "=> ('p0', 'p7')" in reply
            assert server.max_concurrency >= 6
            server.delay_s = 0
            await agent.run("items = ['1', '2']")
            await ask(agent, '{"n": {{item}}}', over="items", schema=NUMBER)
            assert "=> [{'n': 1}, {'n': 2}]" in await agent.run("r")


async def test_no_reply_ever_holds_the_key(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalOpenAIServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        async with connect(sub_model="openai/any") as agent:
            server.fail_next(Failure(status=401, message=f"Incorrect API key provided: {KEY}"))
            replies = [await agent.fails("sub_llm", prompt="x", into="r")]
            server.fail_next(Failure(status=400, message=f"the header was Bearer {KEY}"))
            replies.append(await agent.fails("exec_code", code="sub_llm('x')"))
            server.fail_next(Failure(status=400, message=f"echo {KEY}"))
            code = "try: sub_llm('x')\nexcept SubLLMError as e: print(e, repr(e), vars(e))"
            replies.append(await agent.run(code))
            replies.append(await agent.run("import os; print(os.environ)\nshow_vars()"))
            replies.append((await agent.call("spaces", action="info")).text)
    for reply in replies:
        assert KEY not in reply
        assert KEY[3:] not in reply
