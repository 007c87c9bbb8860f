"""Half of a surrogate pair, which JSON and Python can name and nothing else takes."""

from __future__ import annotations

import pytest

from rlm_mcp.lm import LocalOpenAIServer
from rlm_mcp.settings import Settings

from ..conftest import Connect
from ..recursion._roots import RootModel, code
from .test_stdio import raw_server, receive, send

pytestmark = pytest.mark.anyio

HALF = "\ud83d"


def test_a_client_that_sends_one_is_answered_and_can_go_on(settings: Settings) -> None:
    sent = {
        "question": ("sub_rlm", {"question": f"what {HALF}"}),
        "value": ("load_variable", {"name": "x", "value": {"a": [1, HALF]}}),
        "answers": ("answer_sub_llm", {"answers": {HALF: "b"}}),
        "schema": ("sub_llm", {"prompt": "p", "into": "x", "schema": {"title": HALF}}),
        "?": ("exec_code", {"code": "1", HALF: 2}),
    }
    with raw_server(settings) as process:
        for number, (named, (tool, arguments)) in enumerate(sent.items(), 2):
            send(
                process, "tools/call", number, name=tool, arguments=arguments,
                _meta={"progressToken": HALF},
            )  # fmt: skip
            reply = receive(process, lambda message, n=number: message.get("id") == n)
            text = reply["result"]["content"][0]["text"]
            assert text.startswith(f"`{named}` holds half of a surrogate pair at character")
        send(process, "tools/call", 20, name=f"peek{HALF}", arguments={})
        reply = receive(process, lambda message: message.get("id") == 20)
        assert "there is no tool 'peek?'" in reply["result"]["content"][0]["text"]
        deep = "[" * 400 + "]" * 400  # the SDK reads 200 levels
        assert process.stdin is not None
        process.stdin.write(
            '{"jsonrpc": "2.0", "id": 21, "method": "tools/call", "params": {"name": '
            f'"load_variable", "arguments": {{"name": "deep", "value": {deep}}}}}}}\n'
        )
        process.stdin.flush()
        reply = receive(process, lambda message: message.get("id") == 21)
        assert "deep: list 1 item" in reply["result"]["content"][0]["text"]


async def test_code_is_told_where_it_is_and_how_to_mend_it(
    connect: Connect, server: LocalOpenAIServer
) -> None:
    half = "'what ' + chr(0xd83d)"
    async with connect(sub_model="openai/any") as agent:
        for ask in ("sub_llm({})", "sub_llm_map(['a', {}])", "await asub_llm({})", "sub_rlm({})"):
            text = await agent.fails("exec_code", code=ask.format(half))
            assert "holds a lone surrogate at 5, which no model can read: mend it with" in text
        for ask in ("sub_llm('a', schema={})", "sub_rlm('a', schema={})"):
            schema = "{'type': 'object', 'title': " + half + "}"
            text = await agent.fails("exec_code", code=ask.format(schema))
            assert "the schema holds half of a surrogate pair" in text
    assert server.requests == []


async def test_what_a_model_writes_reaches_the_code_and_the_store_whole(
    connect: Connect, server: LocalOpenAIServer
) -> None:
    server.answer = lambda messages: (
        '{"said": "\\ud83d!"}' if "schema" in str(messages).lower() else f"yes{HALF}!"
    )
    ask = "sub_llm('a'), sub_llm('b', schema={'type': 'object', 'required': ['said']})['said']"
    async with connect(sub_model="openai/any") as agent:
        assert r"=> ('yes?!', '\ud83d!')" in await agent.run(ask)
    async with connect(sub_model="openai/any") as agent:
        reply = await agent.run(ask)
        assert r"=> ('yes?!', '\ud83d!')" in reply
        assert "2 cached" in reply


async def test_a_root_model_may_write_read_and_submit_one(connect: Connect) -> None:
    said = (
        code(f"x = 'half {HALF}'", "bad = chr(0xd83d)", "print(bad); globals()[bad] = 1"),
        code("print(undefined)"),
        code("SUBMIT(bad + x)"),
    )
    model = RootModel(*said)
    async with connect(model) as agent:
        assert r"=> '\ud83dhalf ?'" in await agent.run("bad = chr(0xd83d)\nsub_rlm('what?')")
        model.say(*said)
        reply = await agent.call("sub_rlm", question="What now?", into="answer")
        assert not reply.failed, reply.text
        assert r"=> '\ud83dhalf ?'" in await agent.run("answer")
    for request in model.asked:
        request.prompt.text.encode()
    assert "variables: " in model.seen
    async with connect(model) as agent:
        assert r"=> '\ud83d'" in await agent.run("bad")
