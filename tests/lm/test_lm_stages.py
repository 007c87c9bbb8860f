"""Who is asked, how many at once, and what is refused before it is sent."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import (
    Account,
    Answer,
    Attachment,
    Calls,
    Failure,
    LiteLLMModel,
    LocalOpenAIServer,
    Prompt,
    Request,
    Router,
    ScriptedModel,
    Turn,
    ask_all,
)
from rlm_mcp.store import Store

pytestmark = pytest.mark.anyio

SMALL_WINDOW = "openai/gpt-4o-mini"  # 128,000 tokens


async def test_a_request_goes_to_the_model_that_it_names(server: LocalOpenAIServer) -> None:
    agent = ScriptedModel(["by the agent", "by the agent"])
    router = Router("agent", {"agent": agent})
    assert (await router.ask(Request(Prompt("a")))).text == "by the agent"
    assert (await router.ask(Request(Prompt("by a server"), model="openai/x"))).text == (
        "by a server"
    )
    assert (await router.ask(Request(Prompt("b"), model="agent"))).text == "by the agent"
    assert len(server.requests) == 1
    await router.aclose()
    await router.aclose()


async def test_an_unknown_notation_says_what_can_be_written() -> None:
    router = Router("agent")
    with pytest.raises(SubLLMError, match="cli/claude, cli/codex, cli/gemini, or agent"):
        await router.ask(Request(Prompt("a"), model="no-such-model"))
    with pytest.raises(SubLLMError, match="Set RLM_MCP_SUB_MODEL") as caught:
        await router.ask(Request(Prompt("a")))
    assert (caught.value.kind, caught.value.calls) == ("no_model", 0)


async def test_calls_in_flight_to_one_provider_are_bounded_over_all_maps(
    server: LocalOpenAIServer, tmp_path: Path
) -> None:
    server.delay_s = 0.02
    store = Store(tmp_path)
    calls = Calls(Router("openai/x"), "openai/x", store.answers, in_flight=6)

    async def run(number: int) -> None:
        requests = [Request(Prompt(f"{number} {index}")) for index in range(20)]
        await ask_all(calls.model(Account("test")), requests, concurrency=20)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(run, number)
    assert len(server.requests) == 60
    assert 2 <= server.max_concurrency <= 6
    await calls.aclose()
    store.close()


async def test_a_429_holds_up_all_calls_to_the_provider(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    server.fail_next(Failure(429, retry_after=50))
    with pytest.raises(SubLLMError, match="tried again in 50 s"):
        await model.ask(Request(Prompt("first"), timeout_s=30))
    # Nobody else is sent until that time has passed.
    with anyio.move_on_after(0.5) as waiting:
        await ask_all(model, [Request(Prompt(f"{n}")) for n in range(5)], concurrency=5)
    assert waiting.cancelled_caught
    assert len(server.requests) == 1


async def test_a_prompt_over_the_window_is_refused_with_its_size(
    server: LocalOpenAIServer, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    calls = Calls(Router(SMALL_WINDOW), SMALL_WINDOW, store.answers)
    model = calls.model(Account("test"))
    long = Prompt("words " * 100_000, history=(Turn("user", "x" * 4000),))
    with pytest.raises(SubLLMError, match=r"about 151,000 tokens.*reads 128,000.*chunks") as caught:
        await model.ask(Request(long))
    assert (caught.value.kind, caught.value.calls) == ("context", 0)
    assert server.requests == []
    assert isinstance(await model.ask(Request(long, model="openai/unknown")), Answer)
    await calls.aclose()
    store.close()


async def test_a_window_is_known_without_importing_litellm() -> None:
    code = (
        "import sys, anyio\n"
        "from rlm_mcp.lm import LiteLLMModel, Prompt, Request\n"
        "model = LiteLLMModel('openai/gpt-4o-mini')\n"
        "found = anyio.run(model.estimate, Request(Prompt('x' * 400), max_tokens=100))\n"
        "assert (found.input_tokens, found.output_tokens) == (100, 100)\n"
        "assert abs(found.usd - 75e-6) < 1e-9, found\n"
        "sys.exit(bool({'litellm', 'openai', 'aiohttp'} & set(sys.modules)))"
    )
    await anyio.run_process([sys.executable, "-W", "error", "-c", code], stderr=subprocess.STDOUT)


async def test_the_price_of_a_long_prompt_is_that_of_its_step() -> None:
    model = LiteLLMModel("anthropic/claude-haiku-5-5")
    short = await model.estimate(Request(Prompt("x" * 400_000), max_tokens=10))
    long = await model.estimate(Request(Prompt("x" * 400_004), max_tokens=10))
    assert short.usd is not None
    assert long.usd is not None
    assert long.usd > 4 * short.usd


async def test_earlier_turns_and_attachments_are_sent(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    prompt = Prompt(
        "And this?",
        system="Look.",
        history=(Turn("user", "What is it?"), Turn("assistant", "A cat.")),
        attachments=(Attachment("image/png", b"\x89PNG"), Attachment("application/pdf", b"%PDF")),
    )
    await model.ask(Request(prompt))
    messages = server.requests[0]["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"] == "A cat."
    text, image, file = messages[3]["content"]
    assert text == {"type": "text", "text": "And this?"}
    assert image["image_url"]["url"] == "data:image/png;base64,iVBORw=="
    assert file["file"]["file_data"] == "data:application/pdf;base64,JVBERg=="


@pytest.mark.parametrize(
    ("name", "mime", "words"),
    [
        ("openai/gpt-3.5-turbo", "image/png", "takes no images"),
        ("openai/gpt-3.5-turbo", "application/pdf", "takes no PDF"),
        ("openai/any", "audio/wav", "images and application/pdf can"),
    ],
)
async def test_an_attachment_that_a_model_does_not_take_is_refused_before_it_is_sent(
    server: LocalOpenAIServer, model: LiteLLMModel, name: str, mime: str, words: str
) -> None:
    prompt = Prompt("what?", attachments=(Attachment(mime, b"x"),))
    with pytest.raises(SubLLMError, match=words) as caught:
        await model.ask(Request(prompt, model=name))
    assert (caught.value.kind, caught.value.calls) == ("refused", 0)
    assert server.requests == []


async def test_the_next_call_does_not_wait_until_an_answer_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    writing, second = threading.Event(), threading.Event()
    write = store.answers.write

    def slow_write(*arguments: Any) -> None:
        writing.set()
        assert second.wait(20), "the second question was not asked meanwhile"
        write(*arguments)

    monkeypatch.setattr(store.answers, "write", slow_write)

    class Model(ScriptedModel):
        async def ask(self, request: Request) -> Answer:
            if request.prompt.text == "second":
                assert await to_thread.run_sync(writing.wait, 20)
                second.set()
            return await super().ask(request)

    calls = Calls(Model(["yes", "yes"]), "scripted", store.answers)
    requests = [Request(Prompt("first")), Request(Prompt("second"))]
    results = await ask_all(calls.model(Account("test")), requests, concurrency=1)
    assert all(isinstance(result, Answer) for result in results)
    await calls.aclose()
    store.close()
