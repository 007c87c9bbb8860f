"""Choosing a model, scripted models, what the guest may send, and what importing costs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import anyio
import pytest

from rlm_mcp.errors import BadRequestError, SubLLMError
from rlm_mcp.lm import (
    Answer,
    BatchProgress,
    CallLimits,
    Prompt,
    Request,
    SchemaMismatchError,
    ScriptedModel,
    UnusableSchemaError,
    Usage,
    answer_guest,
    ask_all,
    check_schema,
    choose,
    read_data,
)

pytestmark = pytest.mark.anyio


async def test_importing_the_package_does_not_import_litellm() -> None:
    code = (
        "import sys, rlm_mcp.lm, rlm_mcp.server, rlm_mcp.cli; "
        "sys.exit(bool({'litellm', 'openai', 'aiohttp'} & set(sys.modules)))"
    )
    await anyio.run_process([sys.executable, "-W", "error", "-c", code], stderr=subprocess.STDOUT)


@pytest.mark.parametrize(
    ("setting", "environ", "chosen"),
    [
        ("ollama_chat/qwen3:8b", {"OPENAI_API_KEY": "k"}, "ollama_chat/qwen3:8b"),
        (None, {"RLM_MCP_SUB_MODEL": "a/b", "OPENAI_API_KEY": "k"}, "a/b"),
        (None, {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": ""}, "openai/gpt-6-luna"),
        (None, {}, "agent"),
    ],
)
async def test_the_model_is_the_setting_then_the_first_provider_with_a_key(
    setting: str | None, environ: dict[str, str], chosen: str
) -> None:
    assert choose(setting, environ) == chosen


async def test_a_scripted_model_answers_in_order_and_then_fails() -> None:
    model = ScriptedModel(["one", SubLLMError("no", kind="refused")])
    assert (await model.ask(Request(Prompt("a")))).text == "one"
    for kind in ("refused", "failed"):
        with pytest.raises(SubLLMError) as caught:
            await model.ask(Request(Prompt("b")))
        assert caught.value.kind == kind
    assert [request.prompt.text for request in model.requests] == ["a", "b", "b"]


async def test_a_scripted_answer_that_is_not_json_is_said_where_a_schema_asks_for_it() -> None:
    model = ScriptedModel(["words", "[1]"])
    with pytest.raises(SubLLMError, match=r"request 1 has a schema.*not JSON: 'words'") as caught:
        await model.ask(Request(Prompt("a"), schema={"type": "array"}))
    assert caught.value.kind == "schema"
    assert (await model.ask(Request(Prompt("a"), schema={"type": "array"}))).data == [1]


async def test_usage_adds_up_and_an_unknown_price_stays_unknown() -> None:
    known = Usage.of(Answer("", None, "m", 3, 4, 0.5))
    assert known + known == Usage(2, 0, 6, 8, 1.0)
    assert (known + Usage.of(Answer("", None, "m", 1, 1, None))).usd is None


async def test_a_fault_in_one_call_or_in_the_progress_does_not_lose_the_others() -> None:
    def answer(request: Request) -> str:
        if request.prompt.text == "1":
            raise RuntimeError("secret details")
        return request.prompt.text

    async def broken(progress: BatchProgress) -> None:
        raise ConnectionError

    requests = [Request(Prompt(str(number))) for number in range(3)]
    first, second, third = await ask_all(
        ScriptedModel(answer), requests, concurrency=2, on_progress=broken
    )
    assert isinstance(first, Answer)
    assert isinstance(third, Answer)
    assert isinstance(second, SubLLMError)
    assert "secret" not in str(second)


async def test_the_guests_call_is_answered_in_order_with_errors_as_errors() -> None:
    def answer(request: Request) -> str | SubLLMError:
        text = request.prompt.text
        return SubLLMError("no", kind="refused", model="m") if text == "b" else text.upper()

    requests = [{"prompt": letter, "model": None, "schema": None} for letter in "abc"]
    found = await answer_guest({"requests": requests, "concurrency": 2}, ScriptedModel(answer))
    assert found == {
        "results": [
            {"text": "A", "data": None, "model": "scripted", "spent": [1, 1, 0.0]},
            {
                "error": {"kind": "refused", "provider": "", "model": "m", "message": "no"},
                "spent": [0, 0, 0.0],
            },
            {"text": "C", "data": None, "model": "scripted", "spent": [1, 1, 0.0]},
        ]
    }


def one(**fields: Any) -> dict[str, Any]:
    return {"requests": [{"prompt": "p", **fields}], "concurrency": 1}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"requests": "p"},
        {"requests": [{"prompt": 1}]},
        one(prompt="  "),
        one(prompt="\ud800"),
        one(prompt="x" * 1001),
        one(prompt="\u00e9" * 600),
        one(extra=1),
        one(fresh=1),
        one(attachments=[{"mime": "image/svg+xml", "data": ""}]),
        one(attachments=[{"mime": "image/png", "data": "not base64"}]),
        one(attachments=[{"mime": "image/png", "data": "A" * 4000}]),
        one(attachments=[{"mime": "image/png", "data": ""}] * 101),
        one(max_tokens=0),
        one(max_tokens=True),
        one(max_tokens=1.0),
        one(model="huggingface/https://evil.example"),
        one(model=""),
        one(model="openai/other"),
        one(schema=[]),
        one(schema={"const": float("nan")}),
        one(schema={"type": 3}),
        one(schema={"enum": ["x" * 200_000]}),
        {**one(), "concurrency": 0},
        {**one(), "concurrency": 257},
        {**one(), "concurrency": float("nan")},
        {**one(), "more": 1},
        {"requests": [{"prompt": "p"}] * 11, "concurrency": 1},
    ],
    ids=lambda fields: repr(fields)[:60],
)
async def test_what_the_guest_may_not_send_is_refused_before_a_call(fields: dict[str, Any]) -> None:
    model = ScriptedModel(lambda request: "yes")
    limits = CallLimits(
        max_requests=10,
        max_prompt_bytes=1000,
        max_attached_bytes=2000,
        models=frozenset({"openai/x"}),
    )
    with pytest.raises(BadRequestError) as caught:
        await answer_guest(fields, model, limits=limits)
    assert len(str(caught.value)) < 1200
    assert model.requests == []


async def test_entries_are_compared_in_linear_time_as_json_schema_compares_them() -> None:
    unique = {"uniqueItems": True}
    many = json.dumps([{"a": [n]} for n in range(30_000)])
    assert len(read_data(many, unique)) == 30_000
    assert read_data('[1, true, "1", {"a": 1}, {"a": true}, [0], [false]]', unique)
    for twice in ("[1, 1.0]", '[{"a": [1]}, {"a": [1.0]}]', '["a", "a"]', "[null, null]"):
        with pytest.raises(SchemaMismatchError, match="there twice"):
            read_data(twice, unique)


async def test_an_answer_that_would_hold_up_the_server_is_not_read() -> None:
    # Ten seconds and more than a gigabyte, in which nothing else in the process runs.
    with pytest.raises(SchemaMismatchError, match="over a million values"):
        read_data("[" + "[]," * 2_000_000 + "0]", {"type": "array"})
    with pytest.raises(UnusableSchemaError, match="too large to convert"):
        read_data("1" + "0" * 400, {"multipleOf": 0.5})


async def test_a_schema_as_tools_make_them_can_be_used() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/person",
        "$defs": {"Name": {"$anchor": "name", "type": "string"}},
        "properties": {
            "pattern": {"$ref": "#/$defs/Name"},
            "again": {"$ref": "#/properties/pattern"},
            "once": {"$ref": "#name"},
            "list": {"type": "array", "items": {"$ref": "#"}},
        },
    }
    check_schema(schema)
    assert read_data('{"pattern": "a", "list": [{"again": "b"}]}', schema)
    for wrong in ('{"list": [{"again": 5}]}', '{"once": 5}'):
        with pytest.raises(SchemaMismatchError):
            read_data(wrong, schema)
