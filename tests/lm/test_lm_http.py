"""The whole path: requests through litellm's settings over real HTTP to a local server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Never

import anyio
import pytest
from anyio import to_thread

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import (
    SMALL_MODELS,
    Answer,
    BatchProgress,
    Failure,
    LiteLLMModel,
    LocalOpenAIServer,
    Prompt,
    Request,
    ask_all,
)

pytestmark = pytest.mark.anyio

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def in_turn(*answers: str) -> Callable[[list[dict[str, Any]]], str]:
    left = iter(answers)
    return lambda messages: next(left)


async def test_a_call_returns_text_tokens_and_an_unknown_price(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    answer = await model.ask(Request(Prompt("12345678", system="be brief"), max_tokens=7))
    assert answer == Answer("12345678", None, "openai/any", 4, 2, None)
    (sent,) = server.requests
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert (sent["model"], sent["max_tokens"]) == ("any", 7)


async def test_a_known_model_has_a_price(server: LocalOpenAIServer, model: LiteLLMModel) -> None:
    answer = await model.ask(Request(Prompt("x" * 400), model="openai/gpt-4o-mini"))
    assert answer.usd == pytest.approx(100 * 0.15e-6 + 100 * 0.6e-6)


async def test_nothing_is_printed(
    server: LocalOpenAIServer, model: LiteLLMModel, capfd: pytest.CaptureFixture[str]
) -> None:
    await model.ask(Request(Prompt("hello")))
    with pytest.raises(SubLLMError):
        await model.ask(Request(Prompt("hello"), model="no-such-provider/x"))
    assert capfd.readouterr().out == ""


async def test_retry_after_of_a_429_is_waited_for(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    await model.load()
    server.fail_next(Failure(429, retry_after=0.5))
    start = time.monotonic()
    assert (await model.ask(Request(Prompt("hello")))).text == "hello"
    assert time.monotonic() - start >= 0.5
    assert len(server.requests) == 2


async def test_a_wait_longer_than_the_timeout_ends_the_call_at_once(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    server.fail_next(Failure(429, retry_after=3600))
    with pytest.raises(SubLLMError, match="tried again in 3600 s") as caught:
        await model.ask(Request(Prompt("hello")))
    assert caught.value.kind == "rate_limit"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "failure",
    [
        Failure(500),
        Failure(503),
        Failure(drop=True),
        Failure(broken=True),
        Failure(malformed=True),
        Failure(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
        Failure(429, retry_after="Wed, 21 Oct 2015 07:28:00 +99999999999999999999"),
        Failure(503, retry_after="soon"),
    ],
    ids=str,
)
async def test_a_passing_failure_is_tried_again(
    server: LocalOpenAIServer, model: LiteLLMModel, failure: Failure
) -> None:
    server.fail_next(failure)
    assert (await model.ask(Request(Prompt("hello")))).text == "hello"
    assert len(server.requests) == 2


async def test_it_gives_up_after_four_tries(server: LocalOpenAIServer, model: LiteLLMModel) -> None:
    server.fail_next(*[Failure(500, message="out of cheese")] * 4)
    with pytest.raises(SubLLMError, match="out of cheese, after 4 tries") as caught:
        await model.ask(Request(Prompt("hello")))
    assert (caught.value.kind, caught.value.provider, caught.value.model) == (
        "failed",
        "openai",
        "openai/any",
    )
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure(401), "refused"),
        (Failure(403), "refused"),
        (Failure(429, code="insufficient_quota", message="insufficient_quota: pay"), "refused"),
        (Failure(400, code="context_length_exceeded", message="maximum context length"), "context"),
        (Failure(400, message="no"), "failed"),
        (Failure(404, message="no model"), "failed"),
    ],
    ids=str,
)
async def test_a_lasting_failure_is_not_tried_again(
    server: LocalOpenAIServer, model: LiteLLMModel, failure: Failure, kind: str
) -> None:
    server.fail_next(failure)
    with pytest.raises(SubLLMError) as caught:
        await model.ask(Request(Prompt("hello")))
    assert caught.value.kind == kind
    assert len(server.requests) == 1


async def test_a_missing_key_is_named_before_anything_is_sent(
    server: LocalOpenAIServer, model: LiteLLMModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(SubLLMError, match=r"no key for openai\. Set OPENAI_API_KEY") as caught:
        await model.ask(Request(Prompt("hello")))
    assert caught.value.kind == "no_key"
    assert server.requests == []


async def test_a_thousand_calls_without_a_key_are_not_tried(
    server: LocalOpenAIServer, model: LiteLLMModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    await model.load()
    results = await ask_all(model, [Request(Prompt("hello"))] * 1000, concurrency=100)
    assert {getattr(result, "kind", None) for result in results} == {"no_key"}
    assert {getattr(result, "calls", None) for result in results} == {0}
    assert server.requests == []


async def test_a_provider_with_an_interactive_login_is_refused(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    with pytest.raises(SubLLMError, match="logs in through a terminal"):
        await model.ask(Request(Prompt("hello"), model="github_copilot/gpt-4o"))


async def test_a_key_is_never_in_an_error(
    server: LocalOpenAIServer, model: LiteLLMModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "correct-horse-battery")
    server.api_key = "another"
    with pytest.raises(SubLLMError, match=r"\[secret\]") as caught:
        await model.ask(Request(Prompt("hello")))
    assert os.environ["OPENAI_API_KEY"] not in str(caught.value)
    server.api_key = None
    server.fail_next(Failure(400, message="you sent correct-horse-battery and sk-proj-abc***xyz"))
    with pytest.raises(SubLLMError) as caught:
        await model.ask(Request(Prompt("hello")))
    assert "correct-horse" not in str(caught.value)
    assert "sk-proj" not in str(caught.value)


async def test_a_dead_server_is_a_connection_error(
    server: LocalOpenAIServer, model: LiteLLMModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
    with pytest.raises(SubLLMError) as caught:
        await model.ask(Request(Prompt("hello")))
    assert caught.value.kind == "connection"


async def test_the_timeout_ends_the_request(server: LocalOpenAIServer, model: LiteLLMModel) -> None:
    await model.load()
    server.delay_s = 30
    with pytest.raises(SubLLMError, match=r"no answer within 0\.5 s") as caught:
        await model.ask(Request(Prompt("hello"), timeout_s=0.5))
    assert caught.value.kind == "timeout"
    assert await to_thread.run_sync(server.wait_until, lambda now: now.in_flight == 0, 30)


async def test_a_misspelt_model_is_an_error(server: LocalOpenAIServer, model: LiteLLMModel) -> None:
    with pytest.raises(SubLLMError, match="Write provider/model"):
        await model.ask(Request(Prompt("hello"), model="no-such-provider/x"))


async def test_an_answer_that_fits_the_schema_comes_back_as_data(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    server.answer = in_turn('Here it is:\n```json\n{"n": 3}\n```')
    assert (await model.ask(Request(Prompt("count"), schema=NUMBER))).data == {"n": 3}
    assert json.dumps(NUMBER) in server.requests[0]["messages"][-1]["content"]


@pytest.mark.parametrize(
    "said",
    [
        'As [1] says, the set {a, b} has {"n": 3} and no more.',
        'For example {"n": 1}:\n```json\n{"n": 2}\n```\nNo, it is\n```\n{"n": 3}\n```\nDone {x}.',
        '```json\n{"n": 3}',
        '{"m": 3} {"n": "three"} {"n": 3}',
    ],
)
async def test_the_value_that_fits_is_found_among_words(
    server: LocalOpenAIServer, model: LiteLLMModel, said: str
) -> None:
    server.answer = in_turn(said)
    assert (await model.ask(Request(Prompt("count"), schema=NUMBER))).data == {"n": 3}


async def test_an_answer_that_does_not_fit_is_asked_for_again_with_the_error(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    server.answer = in_turn("three", '{"n": "three"}', '{"n": 3}')
    answer = await model.ask(Request(Prompt("count"), schema=NUMBER))
    assert answer.data == {"n": 3}
    assert answer.output_tokens == 2 + 4 + 2
    assert "at $.n: 'three' is not of type 'integer'" in str(server.requests[-1]["messages"][-1])


async def test_after_two_repeats_the_schema_error_is_raised(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    server.answer = lambda messages: "NaN"
    with pytest.raises(SubLLMError, match="does not fit the schema after 3 tries") as caught:
        await model.ask(Request(Prompt("count"), schema=NUMBER))
    assert caught.value.kind == "schema"
    assert len(server.requests) == 3


async def test_a_date_that_there_is_not_is_asked_for_again(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    server.answer = in_turn('"2026-02-30"', '"2026-02-28"')
    answer = await model.ask(Request(Prompt("when?"), schema={"type": "string", "format": "date"}))
    assert answer.data == "2026-02-28"
    assert "at $: '2026-02-30' is not a 'date'" in str(server.requests[-1]["messages"][-1])
    server.answer = in_turn('"2026-02-28T25:00"', '"2026-02-28T23:00:00Z"', '"no address"')
    moment = {"type": "string", "format": "date-time"}
    answer = await model.ask(Request(Prompt("when exactly?"), schema=moment))
    assert answer.data == "2026-02-28T23:00:00Z"
    mail = {"type": "string", "format": "email"}  # other formats only describe
    assert (await model.ask(Request(Prompt("who?"), schema=mail))).data == "no address"


async def test_an_answer_that_is_cut_off_is_asked_for_shorter_and_the_error_says_so(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    server.answer = in_turn('{"n": 3, "why": "' + "x" * 100 + '"}', '{"n": 3}')
    request = Request(Prompt("count"), schema=NUMBER, max_tokens=10)
    assert (await model.ask(request)).data == {"n": 3}
    assert "cut off at the limit of its tokens" in str(server.requests[-1]["messages"][-1])
    server.answer = lambda messages: '{"n": 3, "why": "' + "x" * 100 + '"}'
    with pytest.raises(SubLLMError, match=r"cut off at .* Raise max_tokens") as caught:
        await model.ask(request)
    assert caught.value.kind == "schema"


async def test_tokens_that_a_server_does_not_count_are_estimated(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    server.counts = False
    answer = await model.ask(Request(Prompt("x" * 4000), model="openai/gpt-4o-mini"))
    assert (answer.input_tokens, answer.output_tokens) == (1000, 1000)
    assert answer.usd == pytest.approx(1000 * 0.15e-6 + 1000 * 0.6e-6)


async def test_a_count_that_is_no_number_costs_no_answer_and_shows_no_path(
    server: LocalOpenAIServer, model: LiteLLMModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_mcp.lm._openai_replies._tokens", lambda text: float("nan"))
    try:
        answer = await model.ask(Request(Prompt("x" * 40)))
    except SubLLMError as error:  # litellm takes no such reply, and says so with a traceback
        assert "Traceback" not in str(error)
        assert os.sep + "site-packages" not in str(error)
    else:
        assert (answer.text, answer.input_tokens) == ("x" * 40, 10)


async def test_an_error_in_a_reply_of_status_200_is_an_error_with_its_text(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    server.fail_next(*[Failure(200, message="the upstream said no")] * 4)
    with pytest.raises(SubLLMError, match="the upstream said no"):
        await model.ask(Request(Prompt("hello")))


async def test_a_model_with_structured_output_gets_the_schema_as_a_parameter(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    server.answer = in_turn('{"n": 3}')
    request = Request(Prompt("count"), model="openai/gpt-4o-mini", schema=NUMBER)
    assert (await model.ask(request)).data == {"n": 3}
    sent = server.requests[0]
    assert sent["response_format"]["json_schema"]["schema"] == NUMBER
    assert sent["messages"][-1]["content"] == "count"


async def test_a_server_that_refuses_the_schema_parameter_gets_it_in_the_prompt(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    server.answer = in_turn('{"n": 3}')
    server.fail_next(Failure(400, message="response_format json_schema is not supported"))
    request = Request(Prompt("count"), model="openai/gpt-4o-mini", schema=NUMBER)
    assert (await model.ask(request)).data == {"n": 3}
    assert "response_format" not in server.requests[1]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"type": "object", "properties": {"a": {"pattern": "(a+)+$"}}},
        {"$ref": "http://127.0.0.1:9/secret"},
        {
            "$defs": {
                f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2}
                for level in range(40)
            }
            | {"d40": {}},
            "$ref": "#/$defs/d0",
        },
        {"unknown": {"patternProperties": {"(a+)+$": {}, "b": 5}}, "$ref": "#/unknown"},
        {"unknown": {"type": 5}, "$ref": "#/unknown"},
        {"allOf": [{"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#"}]},
        {"unevaluatedProperties": False},
        {"enum": [[n] for n in range(501)]},
        {"properties": {f"p{n}": {} for n in range(2_001)}},
    ],
    ids=[
        "invalid", "regular expression", "remote reference", "exponential",
        "regular expression where no schema is", "no schema where one is", "another dialect",
        "search without a bound", "long list", "many parts",
    ],
)  # fmt: skip
async def test_a_hostile_schema_is_an_error(
    server: LocalOpenAIServer, model: LiteLLMModel, schema: dict[str, Any]
) -> None:
    server.answer = lambda messages: "{}"
    with pytest.raises(SubLLMError) as caught:
        await model.ask(Request(Prompt("count"), schema=schema))
    assert caught.value.kind == "schema"
    assert len(server.requests) <= 1


async def test_a_batch_keeps_order_bounds_concurrency_and_returns_errors(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    server.delay_s = 0.02

    def answer(messages: list[dict[str, Any]]) -> str:
        return str(messages[-1]["content"])

    server.answer = answer
    told: list[BatchProgress] = []

    async def on_progress(progress: BatchProgress) -> None:
        told.append(progress)

    requests = [Request(Prompt(f"{number}")) for number in range(60)]
    requests[7] = Request(Prompt("7"), model="no-such-provider/x")
    results = await ask_all(model, requests, concurrency=8, on_progress=on_progress)
    texts = [result.text if isinstance(result, Answer) else result.kind for result in results]
    assert texts == [str(number) if number != 7 else "failed" for number in range(60)]
    assert 2 <= server.max_concurrency <= 8
    assert (told[-1].done, told[-1].failed, told[-1].total) == (60, 1, 60)
    assert (told[-1].usage.calls, told[-1].usage.failed) == (59, 1)


async def test_cancelling_a_batch_leaves_no_request_running(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    await model.load()
    server.delay_s = 60
    with anyio.move_on_after(60) as scope:
        async with anyio.create_task_group() as group:
            requests = [Request(Prompt("hello"))] * 20
            group.start_soon(lambda: ask_all(model, requests, concurrency=5))
            arrived = await to_thread.run_sync(
                server.wait_until, lambda now: now.in_flight == 5, 30
            )
            assert arrived
            group.cancel_scope.cancel()
    assert not scope.cancelled_caught
    assert await to_thread.run_sync(server.wait_until, lambda now: now.in_flight == 0, 30)
    assert (len(server.requests), server.abandoned) == (5, 5)


@pytest.mark.parametrize("name", ["openai/any", "openai/gpt-4o-mini"])
async def test_a_plain_call_to_an_openai_server_does_not_import_litellm(
    server: LocalOpenAIServer, name: str
) -> None:
    code = (
        "import sys, anyio\n"
        "from rlm_mcp.lm import LiteLLMModel, Prompt, Request\n"
        "async def ask():\n"
        f"    model = LiteLLMModel({name!r})\n"
        "    answer = await model.ask(Request(Prompt('hello')))\n"
        "    await model.aclose()\n"
        "    return answer\n"
        "assert anyio.run(ask).text == 'hello'\n"
        "sys.exit('litellm' in sys.modules)"
    )
    await anyio.run_process([sys.executable, "-W", "error", "-c", code], stderr=subprocess.STDOUT)
    assert server.requests == [
        {"model": name.removeprefix("openai/"), "messages": [{"role": "user", "content": "hello"}]}
    ]


async def test_what_is_asked_without_litellm_is_what_litellm_says(
    server: LocalOpenAIServer,
) -> None:
    import litellm

    named = [
        name if name.startswith("openai/") else f"openai/{name}"
        for name, entry in litellm.model_cost.items()
        if entry.get("litellm_provider") == "openai" and entry.get("mode") == "chat"
    ]
    assert len(named) > 50
    for name in [*named, "openai/any", "openai/meta-llama/Llama-3:8b", "openai/ft:gpt-4o:me::x"]:
        plain, learned = LiteLLMModel(name), LiteLLMModel(name)
        # Which parameters a model takes only litellm knows, so this one asks it for the way.
        await learned.ask(Request(Prompt("first"), max_tokens=5))
        del server.requests[:]
        answers = [await model.ask(Request(Prompt("hello"))) for model in (plain, learned)]
        assert answers[0] == answers[1], name
        assert len(server.requests) == 2
        assert server.requests[0] == server.requests[1], name
        await plain.aclose()
        await learned.aclose()


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "USE_LITELLM_PROXY"])
async def test_where_the_name_does_not_say_all_litellm_is_asked(
    monkeypatch: pytest.MonkeyPatch, server: LocalOpenAIServer, variable: str
) -> None:
    asked: list[str] = []

    def note(_litellm: object, model: str, **_: object) -> Never:
        asked.append(model)
        raise SubLLMError("as litellm says", kind="failed")

    monkeypatch.setattr("rlm_mcp.lm._litellm.find_route", note)
    # OpenAI itself answers some models by another API, and tables are older than models.
    monkeypatch.setenv(variable, "" if variable == "OPENAI_BASE_URL" else "true")
    for name in ("openai/no-such-model", "openai/gpt-5-codex", "any", "openai/"):
        with pytest.raises(SubLLMError, match="as litellm says"):
            await LiteLLMModel(name).ask(Request(Prompt("hello")))
    assert len(asked) == 4


async def test_the_small_models_are_in_litellms_table_and_not_retired() -> None:
    import litellm

    for _, name in SMALL_MODELS:
        provider, _, short = name.partition("/")
        if provider == "openrouter":  # not in the table at all
            continue
        entry = litellm.model_cost.get(name) or litellm.model_cost[short]
        assert entry["mode"] == "chat"
        assert entry["supports_response_schema"]
        assert "deprecation_date" not in entry
